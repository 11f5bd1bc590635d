"""What charts of spending show. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from runtime.record import record
from stats.measures import Measures
from stats.period import MONDAY, PeriodType, periods

#: Bars of one chart.
BARS_MAX = 40


class DayLike(Protocol):
    """What happened on one day, in one currency."""

    @property
    def currency(self) -> str:
        """The currency."""
        ...

    @property
    def day(self) -> date:
        """The day."""
        ...

    @property
    def measures(self) -> Measures:
        """What happened."""
        ...


@record
class Bar:
    """Net spend of one period, in one currency."""

    currency: str
    label: str
    amount_minor: int


def bars_of(
    days: Sequence[DayLike], start: date, end: date, *, week_start: int = MONDAY
) -> list[Bar]:
    """Bars of days, weeks or months, whichever are the first to fit; by currency."""
    for kind in PeriodType:
        shown = periods(kind, start, end, week_start=week_start, limit=BARS_MAX + 1)
        if len(shown) <= BARS_MAX:
            break
    return [
        Bar(
            currency=currency,
            label=one.label,
            amount_minor=sum(
                day.measures.net_spend_minor
                for day in days
                if day.currency == currency and day.day in one
            ),
        )
        for currency in sorted({one.currency for one in days})
        for one in shown
    ]


def step_minor(whole_minor: int, exponent: int, *, lines_max: int) -> int:
    """A round distance between lines, 1, 2 or 5 and zeros of whole units, so that as many are
    enough for an amount; of minor units, if there is less.
    """
    least = max(-(-whole_minor // lines_max), 1)
    step = 10**exponent if least >= 10**exponent else 1
    while True:
        for factor in (1, 2, 5):
            if step * factor >= least:
                return step * factor
        step *= 10
