"""The sweep finds what it looks for, however it is written."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode

import pytest

from tests.sweep import card_numbers, leaks

SECRET = "battery?staple>41"


@pytest.mark.parametrize(
    "written",
    [
        SECRET.encode(),
        f'{{"password": "{SECRET}"}}'.encode(),
        SECRET.encode().hex().encode(),
        SECRET.encode().hex().upper().encode(),
        SECRET.encode("utf-16-le"),
        *(b64encode(b"x" * number + SECRET.encode() + b"yz") for number in range(7)),
        *(urlsafe_b64encode(b"x" * number + SECRET.encode()) for number in range(7)),
        b64encode(json.dumps({"password": SECRET}).encode()),
    ],
)
def test_it_finds_each_form(written: bytes) -> None:
    assert leaks({"a log": b"before " + written + b" after"}, {"the password": SECRET})


def test_it_finds_nothing_else() -> None:
    texts = {"a log": b"battery?staple<41 " + b64encode(b"battery?stable>41")}
    assert leaks(texts, {"the password": SECRET}) == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"pan=4111111111111111;", True),
        (b"4111 1111 1111 1111", True),
        (b"5555-5555-5555-4444", True),
        (b"378282246310005", True),
        (b"3782 822463 10005", True),
        # No check digit, no issuer, part of something longer.
        (b"4111111111111112", False),
        (b"1763742123123456", False),
        (b"00004111111111111111000011112222", False),
        (b"a4111111111111111f", False),
    ],
)
def test_it_knows_card_numbers(text: bytes, found: bool) -> None:
    assert bool(card_numbers({"a log": text})) == found
