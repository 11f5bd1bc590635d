"""How much a payment may be: what is owed, what is under way, and the rule about more. No I/O, no
clock, no grpc.
"""

from __future__ import annotations

from dataclasses import dataclass

from payments.payment import Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What an account owes, in minor units."""

    #: The balance; negative: the issuer owes.
    posted_minor: int
    #: Payments that were begun and have not lowered the balance yet.
    under_way_minor: int
    #: Left of the last statement's balance and minimum; None: there is no statement.
    statement_minor: int | None = None
    minimum_minor: int | None = None

    @property
    def rest_minor(self) -> int:
        """What is owed once everything under way has come."""
        return max(self.posted_minor - self.under_way_minor, 0)


def most_minor(owed: Owed, *, credit_minor: int) -> int:
    """The most that may be paid: until the issuer owes `credit_minor`."""
    return max(owed.posted_minor - owed.under_way_minor + credit_minor, 0)


def amount_of(basis: Basis, owed: Owed, *, fixed_minor: int | None) -> int | None:
    """What a payment comes to; 0: nothing is owed; None: there is no statement to go by. What
    follows from a statement is never more than is owed now.
    """
    match basis:
        case Basis.FIXED:
            assert fixed_minor is not None, "checked with the request"
            return fixed_minor
        case Basis.CURRENT_BALANCE:
            return owed.rest_minor
        case Basis.STATEMENT_BALANCE:
            asked = owed.statement_minor
        case Basis.MINIMUM:
            asked = owed.minimum_minor
    if asked is None:
        return None
    return max(min(asked - owed.under_way_minor, owed.rest_minor), 0)
