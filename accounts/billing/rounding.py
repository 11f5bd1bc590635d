"""Rounding: once, half to even. No I/O, no clock, no grpc."""

from __future__ import annotations


def half_even(numerator: int, denominator: int) -> int:
    """The quotient, rounded half to even. Integers: a night rounds millions of them."""
    assert denominator > 0, "rates and years are positive"
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return whole + (twice > denominator or (twice == denominator and whole % 2 == 1))
