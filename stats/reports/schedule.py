"""Reports that are made of each period. No I/O, no clock, no grpc."""

from __future__ import annotations

from datetime import date

from runtime import ids
from runtime.record import record
from stats.period import Period, PeriodType, after, over_everywhere_ms, period_of
from stats.reports.report import Wanted

#: How long after a period is over everywhere its report is made: statistics are minutes behind.
DELAY_MS = 3_600_000


@record
class Schedule:
    """What is made again and again."""

    id: str
    wanted: Wanted
    #: Who owns what it is about.
    owner_id: str
    interval: PeriodType
    #: Who is told.
    user_id: str
    #: First day of the period that is next.
    next_date: date
    #: It has not ended.
    active: bool
    create_time_ms: int

    @property
    def period(self) -> Period:
        """The period that is next."""
        # Weeks begin as they did when it was scheduled.
        return period_of(self.interval, self.next_date, week_start=self.next_date.weekday())

    @property
    def due_ms(self) -> int:
        """When its report is made."""
        return over_everywhere_ms(self.period.end) + DELAY_MS

    @property
    def following(self) -> date:
        """First day of the period behind it."""
        return after(self.period).start

    @property
    def report_id(self) -> str:
        """The id of its report: made twice, there is one."""
        tag = ids.tag_of(self.id)
        return ids.derived(ids.REPORT, tag, self.id, self.next_date.isoformat())
