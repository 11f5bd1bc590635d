"""What is counted of a day, and what follows from it. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

_BASIS = 10_000


@dataclass(slots=True)
class Measures:
    """Counts and amounts in minor units; all add up, but for the last two, whose largest counts."""

    authorized_count: int = 0
    authorized_minor: int = 0
    reversed_count: int = 0
    reversed_minor: int = 0
    expired_count: int = 0
    expired_minor: int = 0
    declined_count: int = 0
    purchase_count: int = 0
    purchase_minor: int = 0
    #: Of the purchases.
    cash_count: int = 0
    cash_minor: int = 0
    refund_count: int = 0
    refund_minor: int = 0
    payment_count: int = 0
    payment_minor: int = 0
    fee_count: int = 0
    fee_minor: int = 0
    interest_count: int = 0
    interest_minor: int = 0
    adjustment_count: int = 0
    adjustment_minor: int = 0
    charge_off_count: int = 0
    charge_off_minor: int = 0
    recovery_count: int = 0
    recovery_minor: int = 0
    correction_count: int = 0
    #: The largest purchase; 0: none.
    largest_minor: int = 0
    #: When what came later corrected something for the last time; 0: never.
    corrected_ms: int = 0

    def add(self, other: Measures) -> None:
        """Adds another's."""
        for name in SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.largest_minor = max(self.largest_minor, other.largest_minor)
        self.corrected_ms = max(self.corrected_ms, other.corrected_ms)

    @property
    def net_spend_minor(self) -> int:
        """Purchases less refunds."""
        return self.purchase_minor - self.refund_minor

    @property
    def average_minor(self) -> int | None:
        """The average purchase, rounded half away from zero; None: there was none."""
        if self.purchase_count <= 0:
            return None
        return rounded(self.purchase_minor, self.purchase_count)

    @property
    def approval_basis_points(self) -> int | None:
        """Approved of what was decided; None: nothing was."""
        asked = self.authorized_count + self.declined_count
        return rounded(self.authorized_count * _BASIS, asked) if asked else None


#: In the order of the tables' columns.
COLUMNS = tuple(one.name for one in fields(Measures))
SUMMED = COLUMNS[:-2]


def total(several: Iterable[Measures]) -> Measures:
    """The sum of several."""
    found = Measures()
    for one in several:
        found.add(one)
    return found


def change_basis_points(now_minor: int, before_minor: int) -> int | None:
    """By how much an amount has changed; None: there was nothing to compare with."""
    if not before_minor:
        return None
    return rounded((now_minor - before_minor) * _BASIS, abs(before_minor))


def rounded(dividend: int, divisor: int) -> int:
    """The quotient, rounded half away from zero; the divisor is positive."""
    quotient = (2 * abs(dividend) + divisor) // (2 * divisor)
    return quotient if dividend >= 0 else -quotient
