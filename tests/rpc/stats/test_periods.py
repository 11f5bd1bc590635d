"""GetDailyStats, GetWeeklyStats, GetMonthlyStats: what was counted, to those whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from holdfast.authz.v1 import authorization_pb2 as authz
from holdfast.authz.v1 import decline_reason_pb2
from holdfast.stats.v1 import stat_pb2 as pb
from holdfast.stats.v1 import stats_service_pb2 as rpc
from tests.accounts_mesh import Refused, refusal_of
from tests.stats_mesh import (
    ACCOUNT,
    ADMIN,
    AUDITOR,
    CARD,
    COMPANY,
    DEPARTMENT,
    HOLDER,
    MANAGER,
    MERCHANT,
    NOON,
    OTHER_ACCOUNT,
    OTHER_CARD,
    OTHER_COMPANY,
    PERSONAL,
    PROGRAMME,
    UNKNOWN_ACCOUNT,
    USER,
    Headers,
    StatsMesh,
)

DAY = timedelta(days=1)
SHOP = authz.Merchant(id="m-1", descriptor="Shop", category_code="5411", country_code="GB")


async def refused(method: Any, request: Any, caller: Headers = ADMIN) -> Refused:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await method(request, metadata=caller)
    return refusal_of(error.value)


def amounts(periods: Any, name: str = "purchases") -> list[tuple[str, int, int]]:
    return [
        (
            one.start_date,
            getattr(one.totals, name).count,
            getattr(one.totals, name).amount.amount_minor,
        )
        for one in periods
    ]


async def test_a_day_has_everything_that_happened(mesh: StatsMesh) -> None:
    entry = mesh.book.entry
    await mesh.take(
        entry("ACCOUNT_APPLIED", 0),
        entry("AUTHORIZATION", 900, authorization_id="auth_1", merchant=SHOP),
        entry("AUTHORIZATION", 300, authorization_id="auth_2", merchant=SHOP),
        entry(
            "DECLINE", 0, merchant=SHOP, decline_reason=decline_reason_pb2.DECLINE_REASON_CARD_LOST
        ),
        entry("CAPTURE", 850, authorization_id="auth_1", approved_minor=900),
        entry("REVERSAL", 300, authorization_id="auth_2"),
        entry("REFUND", 1_000, merchant=SHOP),
        entry("PAYMENT_CREDIT", 500, payment_id="pay_1"),
        entry("FEE", 25),
        entry("INTEREST", 7),
        entry("ADJUSTMENT_CREDIT", 10),
    )
    (found,) = await mesh.daily(ACCOUNT, "2026-11-20")
    totals = found.totals
    assert (found.type, found.start_date, found.end_date, found.currency_code) == (
        pb.PERIOD_TYPE_DAY,
        "2026-11-20",
        "2026-11-20",
        "USD",
    )
    assert [
        (one.count, one.amount.amount_minor)
        for one in (
            *(totals.authorized, totals.reversed, totals.expired, totals.purchases),
            *(totals.refunds, totals.payments, totals.fees, totals.interest, totals.adjustments),
        )
    ] == [(2, 1_200), (1, 300), (0, 0), (1, 850), (1, 1_000), (1, 500), (1, 25), (1, 7), (1, -10)]
    assert (totals.declined_count, totals.approval_basis_points) == (1, 6_667)
    # More came back than was spent.
    assert totals.net_spend.amount_minor == -150
    assert totals.largest_purchase.amount_minor == totals.average_purchase.amount_minor == 850
    assert not totals.HasField("last_correction_time")
    assert not found.breakdowns


async def test_cash_charge_offs_and_recoveries_are_told_apart(mesh: StatsMesh) -> None:
    """What is rare is absent where there is none: periods that are closed stay what they are."""
    entry = mesh.book.entry
    machine = authz.Merchant(id="atm", descriptor="Machine", category_code="6011")
    await mesh.take(entry("FORCE_POST", 30, merchant=SHOP), entry("FORCE_POST", 500, at=NOON - DAY))
    await mesh.take(
        entry("FORCE_POST", 200, merchant=machine),
        entry("CHARGE_OFF", 90),
        entry("CHARGE_OFF", 10),
        entry("PAYMENT_CREDIT", 40, payment_id="pay_1"),
        entry("RECOVERY", 40),
    )
    before, found = await mesh.daily(
        ACCOUNT, "2026-11-19", "2026-11-20", breakdowns=[pb.DIMENSION_CATEGORY]
    )
    names = ("purchases", "cash_advances", "charge_offs", "recoveries", "payments")
    tallies = [getattr(found.totals, name) for name in names]
    assert [(one.count, one.amount.amount_minor) for one in tallies] == [
        *((2, 230), (1, 200), (2, 100), (1, 40), (1, 40)),
    ]
    told = {field.name for field, _ in before.totals.ListFields()}
    assert told.intersection(names) == {"purchases", "payments"}
    (categories,) = found.breakdowns
    assert {
        one.key: one.cash_advances.amount.amount_minor if one.HasField("cash_advances") else None
        for one in categories.slices
    } == {"6011": 200, "5411": None}


async def test_each_dimension_by_itself_is_what_it_is_among_all(mesh: StatsMesh) -> None:
    entry, lost = mesh.book.entry, decline_reason_pb2.DECLINE_REASON_CARD_LOST
    await mesh.take(
        *(
            entry("FORCE_POST", 10**number, merchant=SHOP, entry_mode=authz.ENTRY_MODE_CHIP)
            for number in range(3)
        ),
        entry("DECLINE", 0, merchant=SHOP, decline_reason=lost),
    )
    every = [one for one in pb.Dimension.values() if one]
    (found,) = await mesh.daily(COMPANY, "2026-11-20", breakdowns=every)
    assert [one.dimension for one in found.breakdowns] == every
    assert all(one.slices for one in found.breakdowns)
    for one in found.breakdowns:
        (alone,) = await mesh.daily(COMPANY, "2026-11-20", breakdowns=[one.dimension])
        assert list(alone.breakdowns) == [one]


@pytest.mark.parametrize("subject_id", [ACCOUNT, CARD, USER, COMPANY, DEPARTMENT, PROGRAMME])
async def test_of_everything_that_it_belongs_to(mesh: StatsMesh, subject_id: str) -> None:
    mesh.accounts.departments[COMPANY, USER] = DEPARTMENT
    await mesh.take(mesh.book.entry("FORCE_POST", 40, merchant=SHOP))
    assert amounts(await mesh.daily(subject_id, "2026-11-20")) == [("2026-11-20", 1, 40)]


async def test_days_without_anything_have_zeros_and_the_day_before_counts(mesh: StatsMesh) -> None:
    entry = mesh.book.entry
    await mesh.take(
        entry("FORCE_POST", 100, at=NOON - DAY), entry("FORCE_POST", 150), entry("FORCE_POST", 1)
    )
    found = await mesh.daily(ACCOUNT, "2026-11-20", "2026-11-22")
    assert amounts(found) == [("2026-11-20", 2, 151), ("2026-11-21", 0, 0), ("2026-11-22", 0, 0)]
    assert [one.previous.net_spend.amount_minor for one in found] == [100, 151, 0]
    assert found[0].previous.net_spend_change_basis_points == 5_100
    assert found[1].previous.net_spend_change_basis_points == -10_000
    assert not found[2].previous.HasField("net_spend_change_basis_points")
    assert not found[2].totals.HasField("average_purchase")
    # Nothing has ever happened: the account's currency is known, a company has none of its own.
    (nothing,) = await mesh.daily(PERSONAL, "2026-11-20")
    assert (nothing.currency_code, nothing.totals.purchases.count) == ("USD", 0)
    assert await mesh.daily(OTHER_COMPANY, "2026-11-20") == []


async def test_weeks_begin_as_asked_and_months_end_where_they_do(mesh: StatsMesh) -> None:
    entry = mesh.book.entry
    ends = [datetime(2026, 12, day, 12, tzinfo=UTC) for day in (27, 28, 31)]
    await mesh.take(*[entry("FORCE_POST", 10**n, at=at) for n, at in enumerate(ends)])
    await mesh.take(entry("FORCE_POST", 1_000, at=datetime(2027, 1, 3, 12, tzinfo=UTC)))
    request = rpc.GetWeeklyStatsRequest(
        subject_id=ACCOUNT, start_date="2026-12-26", end_date="2027-01-01"
    )
    weeks = (await mesh.stats.GetWeeklyStats(request, metadata=ADMIN)).periods
    assert amounts(weeks) == [("2026-12-21", 1, 1), ("2026-12-28", 3, 1_110)]
    request.week_start = pb.WEEK_START_SUNDAY
    weeks = (await mesh.stats.GetWeeklyStats(request, metadata=ADMIN)).periods
    assert amounts(weeks) == [("2026-12-20", 0, 0), ("2026-12-27", 3, 111)]
    months = await mesh.monthly(ACCOUNT, "2026-12-15", "2027-01-01")
    assert amounts(months) == [("2026-12-01", 3, 111), ("2027-01-01", 1, 1_000)]
    assert months[1].previous.net_spend.amount_minor == 111


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        # Of 23 hours: clocks go forward, and what happens at 23:30 UTC is of the next day.
        ("2026-03-29", (-1, 0, 22, 23)),
        # Of 25 hours: it begins at 23:00 UTC of the day before and goes on until midnight there.
        ("2026-10-25", (-2, -1, 23, 24)),
    ],
)
async def test_days_are_those_of_the_accounts_timezone(
    mesh: StatsMesh, day: str, hours: Sequence[int]
) -> None:
    """Days in London on which clocks change."""
    mesh.accounts.zones[ACCOUNT] = "Europe/London"
    entry, midnight = mesh.book.entry, datetime.fromisoformat(f"{day}T00:00Z")
    await mesh.take(*[entry("FORCE_POST", 1, at=midnight + timedelta(hours=one)) for one in hours])
    before, after = (str(midnight.date() + timedelta(days=one)) for one in (-1, 1))
    found = await mesh.daily(ACCOUNT, before, after)
    assert [number for _, number, _ in amounts(found)] == [1, 2, 1]


@pytest.mark.parametrize(("currency", "average"), [("JPY", 2), ("KWD", 2)])
async def test_currencies_are_told_apart(mesh: StatsMesh, currency: str, average: int) -> None:
    entry = mesh.book.entry
    other = "acct_0a" + "6" * 32
    await mesh.take(
        entry("FORCE_POST", 1, currency=currency, account_id=other),
        entry("FORCE_POST", 2, currency=currency, account_id=other),
        entry("FORCE_POST", 500),
    )
    found = await mesh.daily(COMPANY, "2026-11-20")
    assert {one.currency_code: one.totals.average_purchase.amount_minor for one in found} == {
        currency: average,
        "USD": 500,
    }
    (only,) = await mesh.daily(COMPANY, "2026-11-20", currency_code=currency)
    assert only.currency_code == currency


async def test_breakdowns_have_the_largest_first(mesh: StatsMesh) -> None:
    entry = mesh.book.entry
    for number, amount in enumerate((30, 500, 20)):
        merchant = authz.Merchant(
            id=f"m-{number}", descriptor=f"Shop {number}", category_code="5411", country_code="GB"
        )
        await mesh.take(entry("FORCE_POST", amount, merchant=merchant))
    for reason in ("CARD_LOST", "CARD_LOST", "INSUFFICIENT_CREDIT"):
        value = decline_reason_pb2.DeclineReason.Value(f"DECLINE_REASON_{reason}")
        await mesh.take(entry("DECLINE", 0, decline_reason=value, merchant=SHOP))
    await mesh.take(
        entry(
            "AUTHORIZATION",
            9,
            authorization_id="auth_1",
            merchant=SHOP,
            entry_mode=authz.ENTRY_MODE_CHIP,
        )
    )
    (found,) = await mesh.monthly(
        COMPANY,
        "2026-11-01",
        breakdowns=[
            pb.DIMENSION_MERCHANT,
            pb.DIMENSION_CATEGORY,
            pb.DIMENSION_DECLINE_REASON,
            pb.DIMENSION_CHANNEL,
        ],
        top=2,
    )
    merchants, categories, reasons, channels = found.breakdowns
    assert [
        (one.key, one.label, one.purchases.amount.amount_minor) for one in merchants.slices
    ] == [
        ("m-1", "Shop 1", 530 - 30),
        ("m-0", "Shop 0", 30),
    ]
    assert merchants.more_count == 1
    assert [(one.key, one.purchases.count, one.declined_count) for one in categories.slices] == [
        ("5411", 3, 3)
    ]
    assert [(one.key, one.declined_count) for one in reasons.slices] == [
        ("CARD_LOST", 2),
        ("INSUFFICIENT_CREDIT", 1),
    ]
    assert {one.key: one.authorized.count for one in channels.slices} == {"": 0, "CHIP": 1}


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (ADMIN, {ACCOUNT, OTHER_ACCOUNT, PERSONAL, CARD, COMPANY, DEPARTMENT, USER, PROGRAMME}),
        (AUDITOR, {ACCOUNT, OTHER_ACCOUNT, PERSONAL, CARD, COMPANY, DEPARTMENT, USER, PROGRAMME}),
        (MANAGER, {ACCOUNT, CARD, COMPANY, DEPARTMENT}),
        (HOLDER, {PERSONAL, USER}),
        (MERCHANT, set()),
    ],
)
async def test_to_each_what_is_theirs(mesh: StatsMesh, caller: Headers, seen: set[str]) -> None:
    for subject_id in (
        ACCOUNT,
        OTHER_ACCOUNT,
        PERSONAL,
        CARD,
        COMPANY,
        DEPARTMENT,
        USER,
        PROGRAMME,
    ):
        request = rpc.GetDailyStatsRequest(subject_id=subject_id, start_date="2026-11-20")
        if subject_id in seen:
            await mesh.stats.GetDailyStats(request, metadata=caller)
            continue
        error = await refused(mesh.stats.GetDailyStats, request, caller)
        if caller == MERCHANT:
            assert error.reason == "PERMISSION_DENIED"
        elif subject_id == PROGRAMME:
            assert error.fields == ["subject_id"]
        else:
            assert error.code is grpc.StatusCode.NOT_FOUND


async def test_whom_the_company_has_removed_sees_nothing(mesh: StatsMesh) -> None:
    mesh.accounts.dismissed = {"usr_0b" + "2" * 32}
    request = rpc.GetDailyStatsRequest(subject_id=ACCOUNT, start_date="2026-11-20")
    error = await refused(mesh.stats.GetDailyStats, request, MANAGER)
    assert error.reason == "ACCOUNT_NOT_FOUND"


@pytest.mark.parametrize(
    ("subject_id", "reason"),
    [
        (UNKNOWN_ACCOUNT, "ACCOUNT_NOT_FOUND"),
        ("card_0a" + "0" * 32, "CARD_NOT_FOUND"),
        ("usr_0a" + "0" * 32, "USER_NOT_FOUND"),
        ("co_0a" + "0" * 32, "COMPANY_NOT_FOUND"),
        ("dept_0a" + "0" * 32, "DEPARTMENT_NOT_FOUND"),
        ("prog_unknown", "PROGRAMME_NOT_FOUND"),
    ],
)
async def test_unknown_ids(mesh: StatsMesh, subject_id: str, reason: str) -> None:
    for method, request in (
        (
            mesh.stats.GetDailyStats,
            rpc.GetDailyStatsRequest(subject_id=subject_id, start_date="2026-11-20"),
        ),
        (mesh.stats.ListStats, rpc.ListStatsRequest(subject_id=subject_id)),
    ):
        error = await refused(method, request)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, reason)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, ["subject_id", "start_date"]),
        (
            {"subject_id": "acct_1", "start_date": "yesterday"},
            ["subject_id", "start_date"],
        ),
        ({"start_date": "2026-02-30"}, ["start_date"]),
        ({"start_date": "20261120"}, ["start_date"]),
        ({"start_date": "1999-12-31", "end_date": "2000-01-01"}, ["start_date"]),
        ({"start_date": "2026-11-21", "end_date": "2026-11-20"}, ["end_date"]),
        ({"start_date": "2000-01-01", "end_date": "2099-12-31"}, ["end_date"]),
        ({"start_date": "2026-11-20", "currency_code": "XXX"}, ["currency_code"]),
        ({"start_date": "2026-11-20", "top": 101}, ["top"]),
        ({"start_date": "2026-11-20", "breakdowns": [0, 99]}, ["breakdowns[0]", "breakdowns[1]"]),
        (
            {"start_date": "2026-01-01", "end_date": "2026-03-01", "breakdowns": [1]},
            ["end_date"],
        ),
    ],
)
async def test_what_cannot_be_meant(
    mesh: StatsMesh, fields: dict[str, Any], wrong: list[str]
) -> None:
    given = fields if "subject_id" in fields or not fields else {"subject_id": ACCOUNT, **fields}
    error = await refused(mesh.stats.GetDailyStats, rpc.GetDailyStatsRequest(**given))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == wrong


async def test_accounts_is_away(mesh: StatsMesh) -> None:
    mesh.accounts.down = True
    request = rpc.GetDailyStatsRequest(subject_id=ACCOUNT, start_date="2026-11-20")
    for caller in (ADMIN, MANAGER):
        error = await refused(mesh.stats.GetDailyStats, request, caller)
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "CHECK_UNAVAILABLE")
    assert OTHER_CARD
