"""Fees and what limits them. No I/O, no clock, no grpc."""

from __future__ import annotations

from datetime import date

from accounts.billing.calendar import months_after
from accounts.billing.rounding import half_even
from accounts.billing.terms import WHOLE_BP, Fees

#: The dearer fee applies if the same happened within this many cycles (12 CFR 1026.52(b)(1)(ii)).
AGAIN_CYCLES = 6


def late_fee(
    fees: Fees, *, minimum_minor: int, paid_by_due_minor: int, cycles_since_last: int | None
) -> int:
    """The fee for a minimum that was not paid by its due date; never more than that minimum
    (12 CFR 1026.52(b)(2)(i)(A)). `cycles_since_last`: None if there was no late payment before.
    """
    if minimum_minor <= 0 or paid_by_due_minor >= minimum_minor:
        return 0
    return min(_tier(fees.late_minor, fees.late_again_minor, cycles_since_last), minimum_minor)


def returned_fee(fees: Fees, *, minimum_minor: int, cycles_since_last: int | None) -> int:
    """The fee for a payment that was returned; never more than the minimum that was due before it.
    (12 CFR 1026.52(b)(2)(i)(A)); and never beside a late fee for the same payment, see `heavier`.
    """
    tier = _tier(fees.returned_minor, fees.returned_again_minor, cycles_since_last)
    return max(min(tier, minimum_minor), 0)


def heavier(late_minor: int, returned_minor: int) -> tuple[int, int]:
    """One event has one penalty fee (12 CFR 1026.52(b)(2)(ii)): the late fee stands, and of the
    returned payment only what it would cost more.
    """
    return late_minor, max(returned_minor - late_minor, 0)


def cash_fee(fees: Fees, amount_minor: int) -> int:
    """The fee for a cash advance: a share of it, at least the floor; nothing for nothing."""
    if amount_minor <= 0:
        return 0
    return max(share_of(amount_minor, fees.cash_share_bp), fees.cash_floor_minor)


def foreign_fee(fees: Fees, amount_minor: int) -> int:
    """The fee for a purchase in another currency."""
    return share_of(max(amount_minor, 0), fees.foreign_share_bp)


def annual_fee_due(opened_on: date, *, start: date, end: date) -> bool:
    """Whether the opening or one of its anniversaries is among the days of a cycle. 29 February has
    its anniversary on the last day of that month.
    """
    years = {start.year - opened_on.year, end.year - opened_on.year}
    return any(start <= months_after(opened_on, 12 * one) <= end for one in years if one >= 0)


def share_of(amount_minor: int, share_bp: int) -> int:
    """A share in basis points, rounded half to even."""
    return half_even(amount_minor * share_bp, WHOLE_BP)


def _tier(first_minor: int, again_minor: int, cycles_since_last: int | None) -> int:
    again = cycles_since_last is not None and cycles_since_last <= AGAIN_CYCLES
    return max(again_minor, first_minor) if again else first_minor
