"""A year of one account with all that it is charged, computed the long way: day by day, in
decimals, without any code of what it checks. A payment that was received in the cycle before has
that cycle computed again, from a copy of the account as it began.
"""

from __future__ import annotations

import copy
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

#: On one day, what is owed comes before what pays.
RANK = ("return", "debit", "credit", "payment")


@dataclass
class Item:
    """One debit, or what is left of it."""

    kind: str
    on: date
    left: int


@dataclass
class Happening:
    """Something that is posted on a day; payments may have been received before it."""

    on: date
    what: str
    kind: str
    amount: int
    received: date
    foreign: bool = False


@dataclass
class Said:
    """What a statement says."""

    end: date
    due: date
    closing: int
    interest: int
    fees: int
    given_back: int
    minimum: int


@dataclass
class Rules:
    """What the product charges: rates in percent as text, amounts in cents."""

    rates: dict[str, str]
    #: Kind: rate and last day.
    promotions: dict[str, tuple[str, date]] = field(default_factory=dict)
    floor: int = 3_500
    share: str = "1"
    late: tuple[int, int] = (2_500, 3_500)
    returned: int = 2_500
    cash: tuple[str, int] = ("5", 1_000)
    foreign: str = "3"
    annual: int = 0
    closing_day: int = 15
    due_days: int = 25

    def rate(self, kind: str, on: date) -> Decimal:
        """Percent per year on a day."""
        standard = Decimal(self.rates.get(kind, "0"))
        promised, until = self.promotions.get(kind, ("", on))
        return min(Decimal(promised), standard) if promised and on <= until else standard


def rounded(value: Decimal) -> int:
    """Half to even."""
    return int(value.to_integral_value(ROUND_HALF_EVEN))


def share(amount: int, percent: str) -> int:
    """A percentage of an amount."""
    return rounded(Decimal(amount) * Decimal(percent) / 100)


def day_in(year: int, month: int, day: int) -> date:
    """That day of the month, or the last one; months count on beyond December."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    return date(year, month, min(day, monthrange(year, month)[1]))


class PlainYear:
    """One account from its opening on."""

    def __init__(self, rules: Rules, opened: date) -> None:
        self.rules, self.opened, self.start = rules, opened, opened
        self.end = day_in(opened.year, opened.month, rules.closing_day)
        if self.end <= opened:
            self.end = day_in(opened.year, opened.month + 1, rules.closing_day)
        self.items: list[Item] = []
        self.surplus = self.balance = self.minimum = self.cycles = self.late_fee = 0
        self.due: date | None = None
        self.free_before = self.free_now = True
        self.late_cycle: int | None = None
        self.late_before: int | None = None
        self.said: list[Said] = []
        #: The cycle before: the account as it began, and what happened in it.
        self.before: tuple[PlainYear, list[Happening]] | None = None

    def run(self, happenings: list[Happening], until: date) -> list[Said]:
        """Lives through the days."""
        cycle: list[Happening] = []
        fresh, day = self._copy(), self.opened
        while day <= until:
            cycle += [one for one in happenings if one.on == day]
            if self.due and day == self.due + timedelta(days=1):
                cycle += self._charged_late(day, cycle)
            if day == self.end:
                self._closed(fresh, cycle)
                cycle, fresh = [], self._copy()
            day += timedelta(days=1)
        return self.said

    def _copy(self) -> PlainYear:
        kept = self.before, self.said
        self.before, self.said = None, []
        found = copy.deepcopy(self)
        self.before, self.said = kept
        return found

    def _received(self, cycle: list[Happening]) -> int:
        """Payments by the due date, less those that came back by then."""
        assert self.due is not None
        signs = {"payment": 1, "return": -1}
        return sum(signs.get(one.what, 0) * one.amount for one in cycle if one.received <= self.due)

    def _asked(self, cycle: list[Happening]) -> int:
        """The minimum, as far as refunds have left it."""
        assert self.due is not None
        refunds = [one for one in cycle if one.what == "credit" and one.on <= self.due]
        return max(min(self.minimum, self.balance - sum(one.amount for one in refunds)), 0)

    def _charged_late(self, day: date, cycle: list[Happening]) -> list[Happening]:
        if self._received(cycle) >= self._asked(cycle):
            return []
        again = self.late_cycle is not None and self.cycles - self.late_cycle <= 6
        self.late_fee = min(self.rules.late[again], self._asked(cycle))
        self.late_before, self.late_cycle = self.late_cycle, self.cycles
        return [Happening(day, "debit", "FEE", self.late_fee, day)]

    def _closed(self, fresh: PlainYear, cycle: list[Happening]) -> None:
        owed_before, paid = self._owed(), self._paid_minimum(cycle)
        back, own = self._given_back(cycle), self._fees(cycle)
        everything = cycle + back + own
        interest = self._lived(everything)
        closing = self._owed()
        fees = sum(one.amount for one in cycle + own if one.kind == "FEE")
        waived = sum(one.amount for one in everything if (one.what, one.kind) == ("credit", "FEE"))
        refunds = sum(one.amount for one in everything if one.what == "credit")
        overdue = max(self.minimum - max(paid, 0), 0)
        overdue = max(min(overdue, self.balance - max(paid, 0) - refunds), 0) if overdue else 0
        asked = share(closing, self.rules.share) + max(fees - waived, 0) + interest
        self.minimum = max(min(max(asked, self.rules.floor) + overdue, closing), 0)
        self.before = (fresh, everything)
        due = self.end + timedelta(days=self.rules.due_days)
        day = min(self.rules.closing_day, 28) + self.rules.due_days
        while due.day != (day - 28 if day > 28 else day):
            due += timedelta(days=1)
        happened = bool(everything or owed_before)
        if happened:
            given = sum(one.amount for one in back)
            self.said.append(Said(self.end, due, closing, interest, fees, given, self.minimum))
        self.due = due if happened else None
        self.balance, self.late_fee, self.free_before = max(closing, 0), 0, self.free_now
        for one in self.items:
            one.on = date.min
        self.cycles += 1
        self.start = self.end + timedelta(days=1)
        self.end = day_in(self.end.year, self.end.month + 1, self.rules.closing_day)

    def _paid_minimum(self, cycle: list[Happening]) -> int:
        return sum(one.amount for one in cycle if one.what == "payment") - sum(
            one.amount for one in cycle if one.what == "return"
        )

    def _fees(self, cycle: list[Happening]) -> list[Happening]:
        found, penalties = list[int](), self.late_fee
        for one in cycle:
            if one.what == "return":
                fee = max(min(self.rules.returned, self.minimum) - penalties, 0)
                penalties += fee
                found.append(fee)
            if (one.what, one.kind) == ("debit", "CASH"):
                found.append(max(share(one.amount, self.rules.cash[0]), self.rules.cash[1]))
            if one.foreign:
                found.append(share(one.amount, self.rules.foreign))
        for year in range(self.start.year, self.end.year + 1):
            if self.start <= day_in(year, self.opened.month, self.opened.day) <= self.end:
                found.append(self.rules.annual)
        return [Happening(self.end, "debit", "FEE", fee, self.end) for fee in found if fee]

    def _given_back(self, cycle: list[Happening]) -> list[Happening]:
        """For payments that were received in the cycle before."""
        late = [one for one in cycle if one.what == "payment" and one.received < self.start]
        if not late:
            return []
        assert self.before is not None
        fresh, happened = self.before
        charged = copy.deepcopy(fresh)._lived(happened)
        again = copy.deepcopy(fresh)._lived(happened + late)
        found = {"INTEREST": charged - again}
        if fresh.due is not None and fresh.late_fee_of(happened):
            known = fresh._received(happened)
            if known < fresh._asked(happened) <= known + fresh._received(late):
                found["FEE"] = fresh.late_fee_of(happened)
        return [
            Happening(self.start, "credit", kind, amount, self.start)
            for kind, amount in found.items()
            if amount > 0
        ]

    def late_fee_of(self, happened: list[Happening]) -> int:
        """What was charged on the day after the due date."""
        assert self.due is not None
        day = self.due + timedelta(days=1)
        return sum(one.amount for one in happened if one.kind == "FEE" and one.on == day)

    def _lived(self, events: list[Happening]) -> int:
        """Goes through the cycle's days; returns its interest, which is owed then."""
        rows, paid, settled, day = list[list[Item]](), 0, 0, self.start
        while day <= self.end:
            today = [one for one in events if max(one.received, self.start) == day]
            for one in sorted(today, key=lambda one: RANK.index(one.what)):
                signed = -one.amount if one.what == "return" else one.amount
                if one.what in ("debit", "return"):
                    self._add(one.kind, day, one.amount)
                elif one.what == "credit":
                    self._lower(one.amount, [one.kind, *self._dear(day)])
                else:
                    asked = min(one.amount, max(self.minimum - paid, 0))
                    self._lower(asked, self._dear(day)[::-1])
                    self._lower(one.amount - asked, self._dear(day))
                paid += signed if one.what in ("payment", "return") else 0
                in_time = self.due is None or day <= self.due
                settled += signed if one.what != "debit" and in_time else 0
            rows.append([copy.copy(one) for one in self.items])
            day += timedelta(days=1)
        self.free_now = settled >= self.balance
        interest = self._interest(rows)
        if interest:
            self._add("INTEREST", self.end, interest)
        return interest

    def _interest(self, rows: list[list[Item]]) -> int:
        at_due = rows[-1]
        if self.due is not None:
            at_due = rows[min((self.due - self.start).days, len(rows) - 1)]

        def of(row: list[Item], kind: str, *, old: bool) -> int:
            found = [one.left for one in row if one.kind == kind and (one.on < self.start) is old]
            return sum(found)

        total = 0
        for kind in self.rules.rates:
            exact = Decimal(0)
            for number, row in enumerate(rows):
                before, new = of(row, kind, old=True), of(row, kind, old=False)
                if kind != "CASH":
                    if self.free_before:
                        before = 0 if self.free_now else min(before, of(at_due, kind, old=True))
                    new = 0 if self.free_now else new
                rate = self.rules.rate(kind, self.start + timedelta(days=number))
                exact += Decimal(before + new) * rate
            total += rounded(exact / Decimal(36_500))
        return total

    def _owed(self) -> int:
        return sum(one.left for one in self.items) - self.surplus

    def _dear(self, on: date) -> list[str]:
        order = ["FEE", "INTEREST", "PURCHASE", "CASH"]
        return sorted(order, key=lambda kind: -self.rules.rate(kind, on))

    def _add(self, kind: str, on: date, amount: int) -> None:
        used = min(self.surplus, amount)
        self.surplus -= used
        self.items.append(Item(kind, on, amount - used))

    def _lower(self, amount: int, kinds: list[str]) -> None:
        for kind in kinds:
            for one in sorted(self.items, key=lambda one: one.on):
                if one.kind == kind:
                    taken = min(amount, one.left)
                    one.left -= taken
                    amount -= taken
        self.surplus += amount
