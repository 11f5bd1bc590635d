"""Which periods are closed, of what, and when. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from runtime import ids
from stats.period import MONDAY, Period, PeriodType, after, over_everywhere_ms, period_of

_ALL = frozenset(PeriodType)
#: By prefix of the subject. Cards and people are many, and few of their days are ever looked at.
_CLOSED = {
    ids.ACCOUNT: _ALL,
    ids.COMPANY: _ALL,
    ids.DEPARTMENT: _ALL,
    ids.PROGRAMME: _ALL,
    ids.CARD: frozenset({PeriodType.MONTH}),
    ids.USER: frozenset({PeriodType.MONTH}),
}


def closes(subject_id: str, kind: PeriodType) -> bool:
    """True if periods of this length are closed for the subject."""
    return kind in _CLOSED[subject_id.partition("_")[0]]


def due_ms(period: Period, *, delay_ms: int) -> int:
    """When a period may be closed: some time after its last day has ended in every timezone."""
    return over_everywhere_ms(period.end) + delay_ms


def next_period(kind: PeriodType, closed_until: date, *, week_start: int = MONDAY) -> Period:
    """The one to close next."""
    return period_of(kind, closed_until, week_start=week_start)


def closed_until(period: Period) -> date:
    """The first day that is not closed once this one is."""
    return after(period).start


def reopened(
    touched: Iterable[tuple[str, date]],
    until: Mapping[PeriodType, date],
    *,
    week_start: int = MONDAY,
) -> list[tuple[str, Period]]:
    """The closed periods that days of subjects are in, and those after them, which are compared
    with them.
    """
    found = set[tuple[str, PeriodType, date]]()
    for subject, day in touched:
        for kind, end in until.items():
            if day >= end or not closes(subject, kind):
                continue
            period = period_of(kind, day, week_start=week_start)
            # A week that began on another day when it was closed may not be over as it is now.
            found.update(
                (subject, kind, one.start) for one in (period, after(period)) if one.end < end
            )
    return [
        (subject, period_of(kind, start, week_start=week_start))
        for subject, kind, start in sorted(found)
    ]
