"""How much is paid, what autopay does, and which payment follows which in a series."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from payments import making, owed
from payments.autopay import LOOK_MS, Autopay, Due, look
from payments.calendar import due_ms
from payments.owed import Owed
from payments.payment import Basis, Cause, Interval, Payment, Source, State, Step

ACCOUNT = "acct_0a" + "1" * 32
ZONE = "America/New_York"
NOW = due_ms(date(2027, 1, 4), ZONE)
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("basis", "posted", "under_way", "asked", "amount"),
    [
        (Basis.CURRENT_BALANCE, 10_000, 0, None, 10_000),
        (Basis.CURRENT_BALANCE, 10_000, 4_000, None, 6_000),
        (Basis.CURRENT_BALANCE, -500, 0, None, 0),
        (Basis.STATEMENT_BALANCE, 10_000, 0, (8_000, 3_500), 8_000),
        (Basis.MINIMUM, 10_000, 0, (8_000, 3_500), 3_500),
        # What is under way pays the statement, too.
        (Basis.MINIMUM, 10_000, 3_000, (8_000, 3_500), 500),
        (Basis.MINIMUM, 10_000, 9_000, (8_000, 3_500), 0),
        # More has been given back than the statement knows of.
        (Basis.STATEMENT_BALANCE, 1_000, 0, (8_000, 3_500), 1_000),
        (Basis.MINIMUM, 10_000, 0, None, None),
        (Basis.FIXED, 0, 0, None, 777),
    ],
)
def test_amounts(
    basis: Basis,
    posted: int,
    under_way: int,
    asked: tuple[int, int] | None,
    amount: int | None,
) -> None:
    found = Owed(
        posted_minor=posted,
        under_way_minor=under_way,
        statement_minor=asked[0] if asked else None,
        minimum_minor=asked[1] if asked else None,
    )
    assert owed.amount_of(basis, found, fixed_minor=777) == amount


@pytest.mark.parametrize(
    ("posted", "under_way", "most"),
    [(10_000, 0, 11_000), (10_000, 10_500, 500), (10_000, 11_000, 0), (-1_500, 0, 0)],
)
def test_the_most_that_may_be_paid(posted: int, under_way: int, most: int) -> None:
    found = Owed(posted_minor=posted, under_way_minor=under_way)
    assert owed.most_minor(found, credit_minor=1_000) == most


AUTOPAY = Autopay(
    account_id=ACCOUNT,
    enabled=True,
    basis=Basis.MINIMUM,
    currency_code="USD",
    days_before_due=3,
    funding_source_id="src_0a" + "3" * 32,
    last_number=4,
    version=1,
)


@pytest.mark.parametrize(
    ("due", "pays", "again_ms"),
    [
        (None, False, NOW + LOOK_MS),
        # Paid before.
        (Due(number=4, due_date=date(2027, 1, 7)), False, NOW + LOOK_MS),
        # Its day has come; it came while nobody looked; its due date has passed.
        (Due(number=5, due_date=date(2027, 1, 7)), True, NOW + LOOK_MS),
        (Due(number=5, due_date=date(2027, 1, 5)), True, NOW + LOOK_MS),
        (Due(number=7, due_date=date(2026, 12, 1)), True, NOW + LOOK_MS),
        # Tomorrow: the next look is sooner.
        (Due(number=5, due_date=date(2027, 1, 8)), False, NOW + LOOK_MS),
    ],
)
def test_autopay(due: Due | None, pays: bool, again_ms: int) -> None:
    assert look(AUTOPAY, due, time_zone=ZONE, now_ms=NOW) == (pays, again_ms)


def test_autopay_looks_again_when_the_day_begins() -> None:
    due = Due(number=5, due_date=date(2027, 1, 8))
    at_ms = NOW + DAY_MS
    assert look(AUTOPAY, due, time_zone=ZONE, now_ms=at_ms - 60_000) == (False, at_ms)


def test_a_statement_has_one_payment_whoever_makes_it() -> None:
    made = [
        making.of_statement(AUTOPAY, 5, source=Source.IN_HOUSE, time_zone=ZONE, now_ms=NOW + ms)
        for ms in (0, 5)
    ]
    other = making.of_statement(AUTOPAY, 6, source=Source.IN_HOUSE, time_zone=ZONE, now_ms=NOW)
    assert made[0].id == made[1].id != other.id


def _scheduled(day: date, interval: Interval, end: date | None = None) -> Payment:
    at_once = making.requested(
        payment_id="pay_0a" + "2" * 32,
        account_id=ACCOUNT,
        source=Source.IN_HOUSE,
        funding_source_id="src_0a" + "3" * 32,
        basis=Basis.CURRENT_BALANCE,
        amount_minor=None,
        currency_code="USD",
        time_zone=ZONE,
        now_ms=NOW,
    )
    return making.scheduled(at_once, day=day, interval=interval, end=end)


def test_a_series_goes_on() -> None:
    first = _scheduled(date(2027, 1, 31), Interval.MONTHLY)
    assert (first.state, first.step, first.cause) == (State.SCHEDULED, Step.BEGIN, Cause.SCHEDULE)
    assert first.due_ms == due_ms(date(2027, 1, 31), ZONE)
    # What it came to is not what the next one will come to.
    begun = replace(first, amount_minor=500, state=State.SUCCEEDED, version=7, reason="x")
    second = making.following(begun, now_ms=first.due_ms)
    assert second is not None
    assert (str(second.scheduled_date), second.amount_minor, second.version) == (
        "2027-02-28",
        None,
        1,
    )
    assert (second.series_id, second.reason) == (first.id, "")
    assert second == making.following(first, now_ms=first.due_ms)
    third = making.following(second, now_ms=second.due_ms or 0)
    assert third is not None
    assert str(third.scheduled_date) == "2027-03-31"


def test_dates_that_passed_while_nobody_was_there_are_not_made_up_for() -> None:
    """Goal: who was away for months pays once, and then on the next date."""
    first = _scheduled(date(2027, 1, 31), Interval.MONTHLY)
    late_ms = due_ms(date(2027, 4, 30), ZONE) + 1
    after = making.following(first, now_ms=late_ms)
    assert after is not None
    assert str(after.scheduled_date) == "2027-05-31"


def test_what_comes_once_is_followed_by_nothing() -> None:
    assert making.following(_scheduled(date(2027, 1, 31), Interval.ONCE), now_ms=NOW) is None
    ended = _scheduled(date(2027, 1, 31), Interval.WEEKLY, date(2027, 2, 3))
    assert making.following(ended, now_ms=NOW) is None
