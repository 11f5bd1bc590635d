"""The scripts' text: what their headers promise, and that the journal is written first."""

from __future__ import annotations

import re

import pytest

from authz import scripts
from authz.scripts import Script


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_header_numbers_every_key_and_argument(script: Script) -> None:
    head = script.text[script.text.index("--[[") : script.text.index("]]")]
    body = script.text[script.text.index("]]") :]
    keys, arguments = head.split("ARGV")
    for name, text in (("KEYS", keys), ("ARGV", arguments.split("Returns")[0])):
        used = {int(number) for number in re.findall(rf"{name}\[(\d+)\]", body)}
        listed = {int(number) for number in re.findall(r"(?:^|\s)(\d+) (?=[a-z])", text)}
        assert used <= listed
        assert listed == set(range(1, max(listed) + 1))


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_the_journal_is_the_first_write(script: Script) -> None:
    """What can fail fails there, with nothing written; only a repeated clearing's record may come
    before, and it is the last command of its branch.
    """
    body = script.text[script.text.index("]]") :]
    before, _, after = body.partition("-- After this point nothing can fail.")
    assert after.strip().startswith("redis.call('XADD', journal")
    writes = re.findall(r"redis\.call\('(\w+)'", before)
    assert set(writes) <= {"HGET", "HMGET", "GET", "ZCARD", "SET"}
    assert writes.count("SET") == (script.name == "capture_hold")
