"""A year of one account, day by day: each statement to the cent as `plain_year` computes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.billing.account import BillingAccount, Booked, Charge
from accounts.billing.terms import Category
from tests.unit.accounts.billing.life import FEES, KINDS, PRODUCT, Life
from tests.unit.accounts.billing.plain_year import Happening, PlainYear, Rules, Said

OPENED = date(2027, 3, 20)
#: Day, what, how much, and how many days before its posting it was received.
Story = tuple[tuple[str, str, int, int], ...]
BOUGHT = ("2027-04-01", "purchase", 100_000, 0)
STORIES: dict[str, Story] = {
    "grace is kept": (BOUGHT, ("2027-05-10", "payment", 100_000, 0)),
    "grace is lost by a day, and won again": (
        BOUGHT,
        ("2027-05-13", "payment", 100_000, 0),
        ("2027-05-20", "purchase", 30_000, 0),
        ("2027-07-01", "payment", 60_000, 0),
        ("2027-07-20", "purchase", 10_000, 0),
        ("2027-09-02", "payment", 50_000, 0),
        ("2027-09-20", "purchase", 10_000, 0),
    ),
    "partial payments": (
        BOUGHT,
        *((f"2027-{month:02}-05", "payment", 10_000, 0) for month in range(5, 13)),
    ),
    "only minimums, and none": (
        BOUGHT,
        ("2027-05-01", "payment", 3_500, 0),
        ("2027-06-01", "payment", 3_500, 0),
        ("2027-12-01", "payment", 40_000, 0),
    ),
    "cash": (
        BOUGHT,
        ("2027-04-03", "cash", 50_000, 0),
        ("2027-04-20", "cash", 10_000, 0),
        ("2027-05-12", "payment", 60_000, 0),
    ),
    "abroad": (("2027-04-03", "foreign", 33_350, 0), ("2027-05-01", "payment", 34_350, 0)),
    "a returned payment": (
        BOUGHT,
        ("2027-05-05", "payment", 100_000, 0),
        ("2027-05-08", "return", 100_000, 0),
        ("2027-06-10", "payment", 90_000, 0),
    ),
    "a payment that came in late": (
        BOUGHT,
        ("2027-05-20", "payment", 100_000, 10),
    ),
    "a part that came in late": (BOUGHT, ("2027-05-20", "payment", 50_000, 10)),
    "a refund after the statement": (
        BOUGHT,
        ("2027-04-20", "refund", 20_000, 0),
        ("2027-05-12", "payment", 80_000, 0),
    ),
    "everything comes back": (BOUGHT, ("2027-05-02", "refund", 100_000, 0)),
    "too much is paid": (
        BOUGHT,
        ("2027-05-02", "payment", 150_000, 0),
        ("2027-06-20", "purchase", 70_000, 0),
    ),
    "a leap February": (
        ("2028-01-20", "purchase", 123_457, 0),
        ("2028-02-29", "purchase", 7_000, 0),
        ("2028-03-01", "payment", 50_000, 0),
    ),
}


def lived(
    story: Story, *, closing_day: int, promised: int, annual: int, zone: str = "America/New_York"
) -> tuple[Life, date]:
    """The same by the rules that are checked."""
    fees = replace(FEES, annual_minor=annual)
    product = replace(
        PRODUCT,
        terms=replace(PRODUCT.terms, fees=fees, penalty=None, effective_from=date(2027, 1, 1)),
        closing_day=closing_day,
        zone=ZoneInfo(zone),
        offers=((Category.PURCHASE, 0, promised),) if promised else (),
    )
    life = Life(product, in_time=True)
    life.account = BillingAccount(
        account_id=life.account.account_id,
        programme_id="prog_credit",
        currency_code="USD",
        opened_ms=noon_ms(OPENED, zone),
    )
    until, day = date(2028, 4, 20), OPENED
    while day <= until:
        for on, what, amount, days in story:
            if on == str(day):
                received = day - timedelta(days=days)
                happens(life, what, amount, day=day, received=received, zone=zone)
        life.looked_at(noon_ms(day, zone))
        day += timedelta(days=1)
    return life, until


def happens(life: Life, what: str, amount: int, *, day: date, received: date, zone: str) -> None:
    """Something is posted at noon of a day of the account."""
    name, change, category = KINDS[what]
    number = len(life.entries)
    life.entries[f"ent_{number}"] = Booked(
        entry_id=f"ent_{number}",
        account_id=life.account.account_id,
        seq=number,
        type=name,
        change=change,
        category=category,
        amount_minor=amount,
        value_ms=noon_ms(received, zone),
        post_ms=noon_ms(day, zone),
        is_foreign=what == "foreign",
    )


def noon_ms(day: date, zone: str) -> int:
    """Noon of a day there, whatever its clocks do."""
    there = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
    return int(there.astimezone(UTC).timestamp() * 1000)


def plain(story: Story, until: date, *, closing_day: int, promised: int, annual: int) -> list[Said]:
    """The long way."""
    ends = date(2027 + (2 + promised) // 12, (2 + promised) % 12 + 1, OPENED.day)
    rules = Rules(
        rates={"PURCHASE": "18.25", "CASH": "36.50"},
        promotions={"PURCHASE": ("0", ends)} if promised else {},
        annual=annual,
        closing_day=closing_day,
    )
    words = {"purchase": "debit", "foreign": "debit", "cash": "debit", "refund": "credit"}
    return PlainYear(rules, OPENED).run(
        [
            Happening(
                on=date.fromisoformat(on),
                what=words.get(what, what),
                kind="CASH" if what == "cash" else "PURCHASE",
                amount=amount,
                received=date.fromisoformat(on) - timedelta(days=days),
                foreign=what == "foreign",
            )
            for on, what, amount, days in story
        ],
        until,
    )


def said(life: Life) -> list[Said]:
    """What the statements say."""
    back = (Charge.LATE_FEE_WAIVER, Charge.INTEREST_CORRECTION)
    return [
        Said(
            end=made.closed.cycle.end,
            due=made.closed.cycle.due,
            closing=made.closed.closing_minor,
            interest=made.closed.interest_minor,
            fees=made.closed.totals.fees_minor,
            given_back=sum(
                one.amount_minor
                for one in life.postings
                if one.charge in back and one.number == made.number
            ),
            minimum=made.closed.minimum_minor,
        )
        for made in life.made
    ]


@pytest.mark.parametrize(
    ("closing_day", "promised", "annual"), [(15, 0, 0), (31, 3, 0), (31, 0, 950)]
)
@pytest.mark.parametrize("story", STORIES)
def test_each_statement_to_the_cent(
    story: str, closing_day: int, promised: int, annual: int
) -> None:
    """Cycles that end on the 15th, and on the last day of each month; a promotion of three months;
    an annual fee. As far as the account is not charged off.
    """
    product = {"closing_day": closing_day, "promised": promised, "annual": annual}
    life, until = lived(STORIES[story], **product)  # type: ignore[arg-type]
    end = life.account.charged_off_on or until
    expected = [one for one in plain(STORIES[story], until, **product) if one.end < end]
    assert [one for one in said(life) if one.end < end] == expected
    assert expected


@pytest.mark.parametrize(
    "zone",
    ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin", "Australia/Lord_Howe", "UTC"],
)
@pytest.mark.parametrize("story", ["partial payments", "cash", "a leap February"])
def test_a_day_is_the_accounts_own(story: str, zone: str) -> None:
    """The same days have the same statements, wherever: no clock that changes moves one of them."""
    product = {"closing_day": 31, "promised": 0, "annual": 0}
    there, _ = lived(STORIES[story], zone=zone, **product)
    here, _ = lived(STORIES[story], **product)  # type: ignore[arg-type]
    assert said(there) == said(here)
