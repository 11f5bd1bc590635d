from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import luhn

DIGITS = st.text("0123456789", min_size=1, max_size=18)


@pytest.mark.parametrize(
    "number", ["4242424242424242", "5555555555554444", "378282246310005", "6011111111111117", "00"]
)
def test_known_numbers_are_right(number: str) -> None:
    assert luhn.is_luhn(number)
    assert luhn.luhn_digit(number[:-1]) == number[-1]


@given(DIGITS)
def test_exactly_one_digit_is_right(digits: str) -> None:
    right = [digit for digit in "0123456789" if luhn.is_luhn(digits + digit)]
    assert right == [luhn.luhn_digit(digits)]
