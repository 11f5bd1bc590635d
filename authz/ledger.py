"""The double entry of each movement. Pure; holds, limits and states move no money.

Positive is a debit, negative a credit; the lines of an entry sum to zero.
"""

from __future__ import annotations

from typing import NamedTuple

from authz.outcome import EntryType, Outcome

RECEIVABLE_PURCHASE = "receivable.purchase"
CUSTOMER_CREDIT = "customer_credit"
NETWORK_CLEARING = "network_clearing"


class Line(NamedTuple):
    """One line of an entry."""

    ledger_account: str
    amount_minor: int


def lines(outcome: Outcome) -> tuple[Line, ...]:
    """The money lines of a movement; empty if it moved none."""
    if outcome.type is not EntryType.CAPTURE:
        return ()
    return _purchase(outcome.amount_minor, posted_minor=outcome.posted_minor)


def _purchase(amount_minor: int, *, posted_minor: int) -> tuple[Line, ...]:
    """A cleared purchase: first from what the issuer owes the customer, the rest is receivable."""
    credit_before = max(-(posted_minor - amount_minor), 0)
    from_credit = min(amount_minor, credit_before)
    found = (
        Line(CUSTOMER_CREDIT, from_credit),
        Line(RECEIVABLE_PURCHASE, amount_minor - from_credit),
        Line(NETWORK_CLEARING, -amount_minor),
    )
    return tuple(line for line in found if line.amount_minor)
