"""Card numbers (PAN, ISO/IEC 7812): made from a BIN, checked by Luhn. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Callable

from runtime.luhn import is_luhn, luhn_digit

#: Digits of the numbers that are made.
PAN_DIGITS = 16
#: Digits of the numbers that networks may ask about.
PAN_DIGITS_MIN, PAN_DIGITS_MAX = 12, 19
#: A BIN (IIN) has six or eight digits.
BIN_DIGITS = (6, 8)
LAST_DIGITS = 4
#: Random bytes of one number: twice as many as its digits need, so that none is favoured.
RANDOM_BYTES = 16


def is_pan(text: str) -> bool:
    """True for 12 to 19 digits with their check digit."""
    return PAN_DIGITS_MIN <= len(text) <= PAN_DIGITS_MAX and is_luhn(text)


def is_bin(text: str) -> bool:
    """True for six or eight digits."""
    return len(text) in BIN_DIGITS and text.isascii() and text.isdigit()


def make_pan(bin_digits: str, random_bytes: Callable[[int], bytes]) -> str:
    """A number of a BIN; whether it is taken is for the store to say."""
    assert is_bin(bin_digits), "convert.py and the programme's own check refuse others"
    count = PAN_DIGITS - len(bin_digits) - 1
    drawn = int.from_bytes(random_bytes(RANDOM_BYTES), "big") % 10**count
    body = f"{bin_digits}{drawn:0{count}d}"
    return body + luhn_digit(body)


def last4_of(number: str) -> str:
    """The digits that people know a card by."""
    return number[-LAST_DIGITS:]
