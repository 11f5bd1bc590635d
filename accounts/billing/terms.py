"""Terms of a credit product, as agreed with its cardholders. No I/O, no clock, no grpc.

Rates are annual percentage rates in basis points: 2499 is 24.99 %. Amounts are minor units.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

#: A statement is sent at least this long before its payment is due (12 CFR 1026.5(b)(2)(ii)).
DUE_AFTER_DAYS = 21
#: 100 % in basis points.
WHOLE_BP = 10_000


class Category(StrEnum):
    """What a part of the balance came from; the names are the contract's."""

    PURCHASE = "PURCHASE"
    CASH = "CASH"
    FEE = "FEE"
    INTEREST = "INTEREST"
    #: What was bought or drawn before its rate rose; it keeps the lower one (12 CFR 1026.55).
    KEPT_PURCHASE = "KEPT_PURCHASE"
    KEPT_CASH = "KEPT_CASH"


#: What keeps its rate, by what it was before the rate rose.
KEPT = {Category.PURCHASE: Category.KEPT_PURCHASE, Category.CASH: Category.KEPT_CASH}
#: Drawn as cash: it never has grace.
CASH = frozenset({Category.CASH, Category.KEPT_CASH})
_STANDARD = {kept: standard for standard, kept in KEPT.items()}


def standard(category: Category) -> Category:
    """Whose rate a category has when nothing is kept."""
    return _STANDARD.get(category, category)


class Method(StrEnum):
    """How balances of many days become interest."""

    #: Each day's balance at that day's rate.
    DAILY = "DAILY"
    #: The average of the cycle's balances, at the rate of its last day.
    AVERAGE_DAILY = "AVERAGE_DAILY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A lower rate of one category, up to and including a day."""

    category: Category
    apr_bp: int
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimumRule:
    """The least that a statement asks for: a share of the balance, fees, interest and what is past
    due, but no less than the floor, and no more than the balance.
    """

    floor_minor: int
    share_bp: int
    #: Whether the cycle's fees and interest, and what is past due, come on top.
    plus_charges: bool = True
    plus_past_due: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """The rate of all balances of an account that has been late for long."""

    apr_bp: int
    #: It begins when a payment is this many days late.
    days_late: int = 60
    #: It ends after this many minimum payments in time in a row.
    cure_payments: int = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """Fees in minor units; shares in basis points; 0: none."""

    #: The first violation, and another of the same kind within six cycles (12 CFR 1026.52(b)(1)).
    late_minor: int = 0
    late_again_minor: int = 0
    returned_minor: int = 0
    returned_again_minor: int = 0
    cash_floor_minor: int = 0
    cash_share_bp: int = 0
    foreign_share_bp: int = 0
    annual_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One version of a product's terms, in force from a day on."""

    effective_from: date
    apr_bp: dict[Category, int]
    minimum: MinimumRule
    fees: Fees = field(default_factory=Fees)
    #: None: there is none.
    penalty: Penalty | None = None
    method: Method = Method.DAILY
    #: False: purchases bear interest from the day they are posted, whatever was paid.
    grace: bool = True
    #: Interest of a cycle is at least this, if there is any.
    interest_minimum_minor: int = 0
    #: Days of a year: 365 also in leap years, as most cardholder agreements have it.
    year_days: int = 365

    def rate_bp(
        self, category: Category, on: date, *, promotions: tuple[Promotion, ...], penalty: bool
    ) -> int:
        """The annual rate of a category on a day. A penalty ends every promotion."""
        standard = self.apr_bp.get(category, 0)
        if penalty and self.penalty is not None:
            return max(standard, self.penalty.apr_bp)
        offered = [one.apr_bp for one in promotions if one.category is category and on <= one.until]
        return min([standard, *offered])
