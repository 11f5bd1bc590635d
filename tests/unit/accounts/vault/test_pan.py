from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.vault import cvv, pan
from accounts.vault.guessing import CALLERS_MAX, Guesses
from runtime import ids
from runtime.luhn import is_luhn

BINS = st.sampled_from(["400000", "51000012", "222100", "00000000"])


@given(BINS, st.binary(min_size=16, max_size=16), st.data())
def test_a_mistyped_digit_is_noticed(bin_digits: str, random: bytes, data: st.DataObject) -> None:
    number = pan.make_pan(bin_digits, lambda _: random)
    place = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from("0123456789").filter(lambda digit: digit != number[place]))
    assert not is_luhn(number[:place] + other + number[place + 1 :])


@given(BINS, st.binary(min_size=16, max_size=16))
def test_made_numbers_are_of_their_bin(bin_digits: str, random: bytes) -> None:
    number = pan.make_pan(bin_digits, lambda count: random[:count])
    assert len(number) == pan.PAN_DIGITS
    assert number.startswith(bin_digits)
    assert pan.is_pan(number)
    assert number.endswith(pan.last4_of(number))


def test_numbers_differ() -> None:
    assert len({pan.make_pan("400000", os.urandom) for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize(
    "text",
    ["", "4", "4242424242424241", "4242 4242 4242 4242", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "x" * 16, "0" * 20],
)
def test_what_is_no_number(text: str) -> None:
    assert not pan.is_pan(text)


@pytest.mark.parametrize(
    ("text", "right"), [("400000", True), ("40000012", True), ("4000000", False), ("40000x", False)]
)
def test_bins(text: str, *, right: bool) -> None:
    assert pan.is_bin(text) is right


@given(st.binary(min_size=32, max_size=32), st.integers(1, 12), st.integers(2026, 2040))
def test_a_cvv_follows_from_number_expiry_and_key(key: bytes, month: int, year: int) -> None:
    number = "4242424242424242"
    first = cvv.derive(key, pan=number, expiry_month=month, expiry_year=year)
    assert re.fullmatch(r"[0-9]{3}", first)
    assert first == cvv.derive(key, pan=number, expiry_month=month, expiry_year=year)


def test_a_cvv_never_changes() -> None:
    """Cards are printed: these values are for ever."""
    number = "4242424242424242"
    first, second = b"k" * 32, b"l" * 32
    assert cvv.derive(first, pan=number, expiry_month=1, expiry_year=2031) == "076"
    assert cvv.derive(first, pan=number, expiry_month=2, expiry_year=2031) == "622"
    assert cvv.derive(second, pan=number, expiry_month=1, expiry_year=2031) == "155"


def test_guesses_are_counted_by_caller_and_minute() -> None:
    guesses = Guesses(per_minute=2)
    for _ in range(2):
        assert not guesses.exceeded("a", now_ms=59_999)
        guesses.add("a", now_ms=59_999)
    assert guesses.exceeded("a", now_ms=59_999)
    assert not guesses.exceeded("b", now_ms=59_999)
    assert not guesses.exceeded("a", now_ms=60_000)
    guesses.add("a", now_ms=60_000)
    assert not guesses.exceeded("a", now_ms=60_000)
    for number in range(2 * CALLERS_MAX):
        guesses.add(str(number), now_ms=60_000)
    assert len(guesses._counts) <= CALLERS_MAX


def test_a_token_is_its_cards() -> None:
    card_id = "card_2a" + "0" * 32
    token = ids.pan_token_of(card_id)
    assert token == "ptok_2a" + "0" * 32
    assert ids.is_id(token, ids.PAN_TOKEN)
    assert not ids.is_id(token, ids.CARD)
    assert ids.card_of_pan_token(token) == card_id
