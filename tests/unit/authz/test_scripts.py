"""The scripts write the journal first, so that what can fail fails with nothing written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authz import scripts
from runtime.script import Script

INCLUDES = Path(scripts.__file__).parent / "lua" / "include"
READS = {"HGET", "HMGET", "GET", "ZCARD", "HGETALL", "EXISTS"}

#: A call to the server, or to one of our own functions that write.
_CALL = re.compile(r"redis\.p?call\('(\w+)'|\b(finish|save_hold|record_clearing|journal_entry)\(")


def calls(text: str) -> list[str]:
    """Commands and writing functions in the order in which the text calls them."""
    return [command or function for command, function in _CALL.findall(text)]


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_the_journal_is_the_first_write(script: Script) -> None:
    """Before the entry is journaled a script only reads. An expiry that turns out not to be due
    ends there, and puts the index right.
    """
    body = script.text[script.text.index("]]", script.text.index("--[[")) :]
    found = calls(re.sub(r"-- The index was wrong.*?return \{'NOT_DUE'", "", body, flags=re.DOTALL))
    writing = next(call for call in found if call not in READS)
    assert writing in ("finish", "XADD")


def test_finish_journals_before_it_writes_anything_else() -> None:
    """The one function that ends movements: the journal first, then the rest."""
    text = (INCLUDES / "movement.lua").read_text()
    finish = text[text.index("local function finish(") :]
    assert calls(finish[finish.index("\n") :])[0] == "journal_entry"


def test_a_new_hold_s_place_is_taken_before_the_journal_and_given_back_if_that_fails() -> None:
    text = (INCLUDES / "movement.lua").read_text()
    start = text.index("local function journal_entry(")
    journal = text[start : text.index("\nend\n", start)]
    assert calls(journal[journal.index("\n") :]) == ["ZADD", "XADD", "ZREM"]


def test_questions_before_a_movement_write_only_the_record_of_a_repeated_clearing() -> None:
    """What stands before the writes reads, but for the record of a clearing posted before."""
    text = (INCLUDES / "movement.lua").read_text()
    before = calls(text[: text.index("local function journal_entry(")])
    clearing = (INCLUDES / "clearing.lua").read_text()
    before += calls(clearing[: clearing.index("local function record_clearing(")])
    assert [call for call in before if call not in READS] == ["SET"]
