"""The double entry of each movement. Pure; holds, limits and states move no money.

Positive is a debit, negative a credit; the lines of an entry sum to zero. What a customer owes is
a receivable by category; what the issuer owes a customer is `customer_credit`. Which category a
payment pays off is decided by billing, later: here it lowers purchases.
"""

from __future__ import annotations

from typing import NamedTuple

from authz.outcome import EntryType, Outcome

PURCHASE = "purchase"
CASH = "cash"
FEE = "fee"
INTEREST = "interest"

CUSTOMER_CREDIT = "customer_credit"
NETWORK_CLEARING = "network_clearing"
PAYMENTS_IN_TRANSIT = "payments_in_transit"
SETTLEMENT_CASH = "settlement_cash"
INCOME_FEE = "income.fee"
INCOME_INTEREST = "income.interest"
WRITE_OFF = "write_off"
CHARGE_OFF = "charge_off"
RECOVERY = "recovery"
SUSPENSE = "suspense"
DISPUTE = "dispute"
PROVISIONAL_CREDIT = "provisional_credit"

#: Debits of the customer → the account that is credited.
DEBITS = {
    EntryType.CAPTURE: NETWORK_CLEARING,
    EntryType.FORCE_POST: NETWORK_CLEARING,
    EntryType.FINANCIAL: NETWORK_CLEARING,
    EntryType.REFUND_REVERSAL: NETWORK_CLEARING,
    EntryType.FEE: INCOME_FEE,
    EntryType.INTEREST: INCOME_INTEREST,
    EntryType.ADJUSTMENT_DEBIT: SUSPENSE,
    EntryType.RECOVERY: RECOVERY,
    EntryType.PROVISIONAL_CREDIT_REVERSAL: PROVISIONAL_CREDIT,
    EntryType.PAYMENT_RETURN: PAYMENTS_IN_TRANSIT,
    EntryType.PAYMENT_RETURN_RELEASED: SETTLEMENT_CASH,
    EntryType.PAYMENT_REFUND: SETTLEMENT_CASH,
}
#: Credits of the customer → the account that is debited.
CREDITS = {
    EntryType.REFUND: NETWORK_CLEARING,
    EntryType.PAYMENT_CREDIT: PAYMENTS_IN_TRANSIT,
    EntryType.PAYMENT_REFUND_REVERSAL: SETTLEMENT_CASH,
    EntryType.ADJUSTMENT_CREDIT: WRITE_OFF,
    EntryType.CHARGE_OFF: CHARGE_OFF,
    EntryType.PROVISIONAL_CREDIT: PROVISIONAL_CREDIT,
}
#: What leaves the customer's balance as it is → the accounts that are debited and credited.
MOVES = {
    EntryType.PAYMENT_RELEASE: (SETTLEMENT_CASH, PAYMENTS_IN_TRANSIT),
    EntryType.DISPUTE_CLAIM: (DISPUTE, PROVISIONAL_CREDIT),
    EntryType.DISPUTE_LOSS: (WRITE_OFF, PROVISIONAL_CREDIT),
}
#: Categories that the kind of an entry implies.
CATEGORIES = {EntryType.FEE: FEE, EntryType.INTEREST: INTEREST}


class Line(NamedTuple):
    """One line of an entry."""

    ledger_account: str
    amount_minor: int


def lines(outcome: Outcome, category: str = PURCHASE) -> tuple[Line, ...]:
    """The money lines of a movement; empty if it moved none."""
    amount, kind = outcome.amount_minor, outcome.type
    found: tuple[Line, ...] = ()
    if kind in MOVES:
        debited, credited = MOVES[kind]
        found = (Line(debited, amount), Line(credited, -amount))
    elif kind in DEBITS:
        credit_before = max(amount - outcome.posted_minor, 0)
        from_credit = min(amount, credit_before)
        found = (
            Line(CUSTOMER_CREDIT, from_credit),
            Line(f"receivable.{category}", amount - from_credit),
            Line(DEBITS[kind], -amount),
        )
    elif kind in CREDITS:
        owed_before = max(outcome.posted_minor + amount, 0)
        from_owed = min(amount, owed_before)
        found = (
            Line(CREDITS[kind], amount),
            Line(f"receivable.{category}", -from_owed),
            Line(CUSTOMER_CREDIT, from_owed - amount),
        )
    return tuple(line for line in found if line.amount_minor)
