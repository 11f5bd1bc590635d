"""A year of one account, computed the long way: day by day, in decimals, without any code of what
it checks. One amount is one charge, which remembers when it came and what is left of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, getcontext

getcontext().prec = 60


@dataclass
class Charge:
    """One debit, or what is left of it."""

    kind: str
    on: date
    left: int


@dataclass
class PlainStatement:
    """What a statement says."""

    closing: int
    interest: int
    minimum: int


@dataclass
class PlainAccount:
    """An account whose product charges `rates` (percent, as text) and no fees of its own."""

    rates: dict[str, str]
    floor: int
    share: str
    charges: list[Charge] = field(default_factory=list)
    surplus: int = 0
    #: Of the last statement.
    due: date | None = None
    balance: int = 0
    minimum: int = 0
    free_before: bool = True

    def cycle(
        self, start: date, end: date, due: date, events: list[tuple[date, str, str, int]]
    ) -> PlainStatement:
        """One cycle. Events are (day, 'debit' | 'credit' | 'payment' | 'return', kind, amount)."""
        rank = {"return": 0, "debit": 1, "credit": 2, "payment": 3}
        paid = settled = paid_in_time = 0
        rows: list[list[tuple[str, date, int, int]]] = []
        fees = waived = 0
        day = start
        while day <= end:
            for _, what, kind, amount in sorted(
                (one for one in events if one[0] == day), key=lambda one: rank[one[1]]
            ):
                in_time = self.due is None or day <= self.due
                if what in ("debit", "return"):
                    self._add(kind, day, amount)
                    fees += amount if what == "debit" and kind == "FEE" else 0
                if what == "credit":
                    waived += amount if kind == "FEE" else 0
                    self._lower(amount, [kind, *self._dear()])
                if what == "payment":
                    asked = min(amount, max(self.minimum - paid, 0))
                    self._lower(asked, list(reversed(self._dear())))
                    self._lower(amount - asked, self._dear())
                signed = -amount if what == "return" else amount
                if what in ("payment", "return"):
                    paid += signed
                    paid_in_time += signed if in_time else 0
                if what != "debit" and in_time:
                    settled += signed
            rows.append([(one.kind, one.on, one.left, id(one)) for one in self.charges])
            day += timedelta(days=1)
        free_now = settled >= self.balance
        interest = self._interest(start, rows, free_now=free_now)
        if interest:
            self._add("INTEREST", end, interest)
        closing = sum(one.left for one in self.charges) - self.surplus
        past_due = max(self.minimum - paid, 0) if self.due is not None else 0
        asked = self._share(closing) + max(fees - waived, 0) + interest
        minimum = min(max(asked, self.floor) + past_due, closing) if closing > 0 else 0
        for one in self.charges:
            one.on = date.min  # from now on it is of an old statement
        self.due, self.balance, self.minimum = due, max(closing, 0), minimum
        self.free_before = free_now
        return PlainStatement(closing=closing, interest=interest, minimum=minimum)

    def _interest(
        self,
        start: date,
        rows: list[list[tuple[str, date, int, int]]],
        *,
        free_now: bool,
    ) -> int:
        total = 0
        at_due = rows[-1]
        if self.due is not None:
            at_due = rows[min((self.due - start).days, len(rows) - 1)]
        for kind, rate in self.rates.items():
            unpaid = sum(left for what, on, left, _ in at_due if what == kind and on < start)
            exact = Decimal(0)
            for row in rows:
                old = sum(left for what, on, left, _ in row if what == kind and on < start)
                new = sum(left for what, on, left, _ in row if what == kind and on >= start)
                if kind != "CASH":
                    if self.free_before:
                        old = 0 if free_now else min(old, unpaid)
                    if free_now:
                        new = 0
                exact += Decimal(old + new) * Decimal(rate)
            total += int((exact / Decimal(36500)).to_integral_value(ROUND_HALF_EVEN))
        return total

    def _share(self, closing: int) -> int:
        exact = Decimal(closing) * Decimal(self.share) / 100
        return int(exact.to_integral_value(ROUND_HALF_EVEN))

    def _dear(self) -> list[str]:
        order = ["FEE", "INTEREST", "PURCHASE", "CASH"]
        return sorted(order, key=lambda kind: -Decimal(self.rates.get(kind, "0")))

    def _add(self, kind: str, on: date, amount: int) -> None:
        used = min(self.surplus, amount)
        self.surplus -= used
        self.charges.append(Charge(kind, on, amount - used))

    def _lower(self, amount: int, kinds: list[str]) -> None:
        for kind in kinds:
            for one in sorted(self.charges, key=lambda one: one.on):
                if one.kind == kind:
                    taken = min(amount, one.left)
                    one.left -= taken
                    amount -= taken
        self.surplus += amount
