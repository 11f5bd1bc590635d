"""The check digit of card numbers (ISO/IEC 7812-1, annex B). No I/O, no clock, no grpc."""

from __future__ import annotations


def luhn_digit(digits: str) -> str:
    """The check digit that follows `digits`."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 if place % 2 else 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004 - the sum of its two digits
    return str(-total % 10)


def is_luhn(number: str) -> bool:
    """True if the last digit is the check digit of the others."""
    is_number = number.isascii() and number.isdigit() and len(number) > 1
    return is_number and luhn_digit(number[:-1]) == number[-1]
