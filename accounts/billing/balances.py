"""What is owed, by category, and how payments are spread over it. No I/O, no clock, no grpc.

Of each category there is what the last statement asked for (old) and what came since (new): only
the latter can be free of interest because the former was paid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from accounts.billing.terms import Category

#: Among equal rates: what costs nobody interest first.
_ORDER = (
    Category.FEE,
    Category.INTEREST,
    Category.PURCHASE,
    Category.KEPT_PURCHASE,
    Category.CASH,
    Category.KEPT_CASH,
)

Parts = dict[Category, int]
Rate = Callable[[Category], int]


class Change(StrEnum):
    """What an event does to the balance."""

    #: A purchase, a cash advance, a fee, interest, an adjustment.
    DEBIT = "DEBIT"
    #: A refund, a provisional credit, an adjustment: lowers the balance, and is no payment.
    CREDIT = "CREDIT"
    PAYMENT = "PAYMENT"
    #: A payment that was returned: it counts as not made from this day on.
    RETURN = "RETURN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One posted amount, on the day on which it takes effect for the account."""

    on: date
    change: Change
    amount_minor: int
    category: Category = Category.PURCHASE
    #: The ledger entry.
    entry_id: str = ""
    #: The disputed charge that this is provisional credit for, or takes it back.
    credits: str = ""


def _nothing() -> Parts:
    return dict.fromkeys(Category, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances:
    """What is owed; `surplus` is what the issuer owes. One of the two is always zero."""

    old: Parts = field(default_factory=_nothing)
    new: Parts = field(default_factory=_nothing)
    surplus: int = 0

    @property
    def total(self) -> int:
        """What is owed; negative if the issuer owes."""
        return sum(self.old.values()) + sum(self.new.values()) - self.surplus

    def of(self, category: Category) -> int:
        """Old and new of one category."""
        return self.old[category] + self.new[category]

    def carried(self) -> Balances:
        """As the next cycle begins: all of it is old."""
        return Balances(old={one: self.of(one) for one in Category}, surplus=self.surplus)

    def moved(self, source: Category, target: Category) -> Balances:
        """What is old of one category becomes another's."""
        old = {**self.old, source: 0, target: self.old[target] + self.old[source]}
        return replace(self, old=old)

    def debited(self, category: Category, amount_minor: int) -> Balances:
        """More is owed; what the issuer owes is used up first."""
        used = min(self.surplus, amount_minor)
        new = {**self.new, category: self.new[category] + amount_minor - used}
        return replace(self, new=new, surplus=self.surplus - used)

    def credited(self, category: Category, amount_minor: int, rate: Rate) -> Balances:
        """Less is owed, of this category first, then of the dearest."""
        return _lowered(self, amount_minor, [category, *_dearest_first(rate)])

    def paid(self, amount_minor: int, *, minimum_left_minor: int, rate: Rate) -> Balances:
        """A payment: as far as it is asked for, the cheapest balance first, as products have it;
        all beyond that the dearest first (12 CFR 1026.53(a)).
        """
        asked = min(amount_minor, max(minimum_left_minor, 0))
        cheapest_first = list(reversed(_dearest_first(rate)))
        after = _lowered(self, asked, cheapest_first)
        return _lowered(after, amount_minor - asked, _dearest_first(rate))


def _lowered(balances: Balances, amount_minor: int, order: list[Category]) -> Balances:
    old, new, left = dict(balances.old), dict(balances.new), amount_minor
    for category in order:
        for pool in (old, new):
            taken = min(left, pool[category])
            pool[category] -= taken
            left -= taken
    return Balances(old=old, new=new, surplus=balances.surplus + left)


def _dearest_first(rate: Rate) -> list[Category]:
    return sorted(_ORDER, key=rate, reverse=True)
