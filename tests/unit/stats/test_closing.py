"""Which closed periods are looked at again."""

from __future__ import annotations

from datetime import date

import pytest

from stats.closing import closes, next_period, reopened
from stats.period import MONDAY, SUNDAY, PeriodType

ACCOUNT, CARD = "acct_0a" + "1" * 32, "card_0a" + "1" * 32
DAY, WEEK, MONTH = PeriodType.DAY, PeriodType.WEEK, PeriodType.MONTH


def day(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    ("subject", "touched", "kind", "until", "week_start", "starts"),
    [
        # The day itself, and the one after it, which is compared with it.
        (ACCOUNT, "2026-11-20", DAY, "2026-11-25", MONDAY, ["2026-11-20", "2026-11-21"]),
        # The one after it is not closed yet.
        (ACCOUNT, "2026-11-24", DAY, "2026-11-25", MONDAY, ["2026-11-24"]),
        (ACCOUNT, "2026-11-25", DAY, "2026-11-25", MONDAY, []),
        (ACCOUNT, "2026-11-20", WEEK, "2026-11-30", MONDAY, ["2026-11-16", "2026-11-23"]),
        (ACCOUNT, "2026-11-22", WEEK, "2026-11-29", SUNDAY, ["2026-11-22"]),
        # Weeks began on Mondays until now: this one has only begun.
        (ACCOUNT, "2026-11-22", WEEK, "2026-11-23", SUNDAY, []),
        (ACCOUNT, "2026-10-31", MONTH, "2026-12-01", MONDAY, ["2026-10-01", "2026-11-01"]),
        # Cards have no days and weeks closed.
        (CARD, "2026-11-20", DAY, "2026-11-25", MONDAY, []),
        (CARD, "2026-10-31", MONTH, "2026-11-01", MONDAY, ["2026-10-01"]),
    ],
)
def test_what_is_looked_at_again(
    *, subject: str, touched: str, kind: PeriodType, until: str, week_start: int, starts: list[str]
) -> None:
    found = reopened([(subject, day(touched))], {kind: day(until)}, week_start=week_start)
    assert [(whose, one.type, one.start.isoformat()) for whose, one in found] == [
        (subject, kind, start) for start in starts
    ]
    assert closes(subject, kind) or not starts


def test_weeks_are_closed_from_the_day_that_they_begin_on() -> None:
    assert next_period(WEEK, day("2026-11-22"), week_start=SUNDAY).start == day("2026-11-22")
    # A week that had begun on another day when this was changed is closed whole.
    assert next_period(WEEK, day("2026-11-23"), week_start=SUNDAY).start == day("2026-11-22")
