"""CreateReport: what is in the files, and what is refused."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import grpc
import pytest

from holdfast.authz.v1 import authorization_pb2 as authz
from holdfast.authz.v1 import ledger_pb2
from holdfast.stats.v1 import report_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from tests.stats_mesh import (
    ACCOUNT,
    ADMIN,
    CARD,
    COMPANY,
    DEPARTMENT,
    MANAGER,
    MANAGER_USER,
    NOON,
    OTHER_ACCOUNT,
    OTHER_COMPANY,
    PERSONAL,
    USER,
    StatsMesh,
)
from tests.stats_reports import (
    DAY,
    EVIL,
    created,
    made,
    refused,
    rows_of,
    spend,
    wanted,
)


async def test_spending_as_csv(mesh: StatsMesh) -> None:
    await spend(mesh)
    report, file = await made(mesh)
    assert rows_of(file) == [
        {
            "department_id": DEPARTMENT,
            "card_id": CARD,
            "category": category,
            "currency": currency,
            "purchase_count": "1",
            "purchases": bought,
            "refund_count": refunds,
            "refunds": refunded,
            "net_spend": net,
            "declined_count": "0",
            "cash_count": "0",
            "cash_advances": nothing,
        }
        for category, currency, bought, refunds, refunded, net, nothing in (
            ("5411", "JPY", "500", "0", "0", "500", "0"),
            ("5411", "USD", "12.50", "1", "3.00", "9.50", "0.00"),
            ("5812", "USD", "10.50", "0", "0.00", "10.50", "0.00"),
        )
    ]
    assert (report.progress_percent, report.row_count, report.part_count) == (100, 3, 1)
    assert (report.size_bytes, report.sha256) == (len(file), sha256(file).hexdigest())
    assert report.file_name == f"spending-{COMPANY}-2026-11-01-2026-11-30.csv"
    assert report.end_time.ToDatetime() == NOON.replace(tzinfo=None)
    assert report.expire_time.ToDatetime() == (NOON + 30 * DAY).replace(tzinfo=None)


async def test_by_whatever_is_asked_for(mesh: StatsMesh) -> None:
    await spend(mesh)
    groups = [pb.REPORT_GROUP_MONTH, pb.REPORT_GROUP_MERCHANT]
    _, file = await made(mesh, groups=groups, currency_code="USD", start_date="2026-10-01")
    assert [tuple(row.values())[:7] for row in rows_of(file)] == [
        ("2026-10", "m-1", "Shop", "USD", "1", "70.00", "0"),
        # What a merchant calls itself is no formula.
        ("2026-11", "'=m", '\'=HYPERLINK("http://x","y")', "USD", "1", "10.50", "0"),
        ("2026-11", "m-1", "Shop", "USD", "1", "12.50", "1"),
    ]


async def test_spending_as_json_has_the_totals(mesh: StatsMesh) -> None:
    await spend(mesh)
    _, file = await made(mesh, format=pb.REPORT_FORMAT_JSON, groups=[pb.REPORT_GROUP_CARD])
    found = json.loads(file)
    totals = {one["currency"]: one for one in found["totals"]}
    assert totals["USD"]["net_spend_minor"] == 2_000
    assert totals["USD"]["fee_minor"] == 25
    assert [row["net_spend_minor"] for row in found["rows"]] == [500, 2_000]
    assert found["groups"] == ["card"]


async def test_spending_tells_cash_apart(mesh: StatsMesh) -> None:
    """And what was charged off, in the totals."""
    await spend(mesh)
    machine = authz.Merchant(id="atm", descriptor="Machine", category_code="6011")
    entry = mesh.book.entry
    await mesh.take(
        entry("FORCE_POST", 4_000, merchant=machine),
        entry("CHARGE_OFF", 900),
        entry("RECOVERY", 50),
    )
    _, file = await made(mesh, format=pb.REPORT_FORMAT_JSON, groups=[pb.REPORT_GROUP_CATEGORY])
    found = json.loads(file)
    (totals,) = (one for one in found["totals"] if one["currency"] == "USD")
    assert (totals["purchase_minor"], totals["cash_count"], totals["cash_minor"]) == (
        6_300,
        1,
        4_000,
    )
    assert (totals["charge_off_minor"], totals["recovery_minor"]) == (900, 50)
    rows = {row["category"]: row for row in found["rows"] if row["currency"] == "USD"}
    assert {key: (row["cash_count"], row["cash_minor"]) for key, row in rows.items()} == {
        "5411": (0, 0),
        "5812": (0, 0),
        "6011": (1, 4_000),
    }


async def test_a_users_journal_has_everything_of_the_users_accounts(mesh: StatsMesh) -> None:
    """Also what others buy who share them; and nothing of others' accounts that the user shares."""
    own, others = "acct_0a" + "8" * 32, "acct_0a" + "9" * 32
    mesh.accounts.subjects |= {own: (USER, "USD"), others: (MANAGER_USER, "USD")}
    entry = mesh.book.entry

    def lines(*amounts: int) -> list[ledger_pb2.Line]:
        names = ("receivable.purchase", "network_clearing")
        return [
            ledger_pb2.Line(
                ledger_account=name, amount=Money(currency_code="USD", amount_minor=amount)
            )
            for name, amount in zip(names, amounts, strict=True)
        ]

    await mesh.take(
        entry("FORCE_POST", 100, lines=lines(100, -100), account_id=own, company_id=""),
        entry(
            "FORCE_POST",
            20,
            lines=lines(20, -20),
            account_id=own,
            company_id="",
            user_id=MANAGER_USER,
        ),
        entry("FORCE_POST", 3, lines=lines(3, -3), account_id=others, company_id=""),
        entry("FORCE_POST", 4, lines=lines(4, -4)),
    )
    await mesh.pool.execute("UPDATE ledger_position SET pseq = 4 WHERE partition = 10")
    _, file = await made(
        mesh,
        subject_id=USER,
        type=pb.REPORT_TYPE_ACCOUNTING,
        books=pb.REPORT_BOOKS_HOLDER,
    )
    assert [
        (row["account"], row["debit"], row["credit"], row["user_id"]) for row in rows_of(file)
    ] == [
        ("Card payable", "", "1.00", USER),
        ("Card purchases", "1.00", "", USER),
        ("Card payable", "", "0.20", MANAGER_USER),
        ("Card purchases", "0.20", "", MANAGER_USER),
    ]


async def test_a_journal(mesh: StatsMesh) -> None:
    """The ledger's lines of one company on the days that were asked for, balanced."""
    mesh.accounts.zones[ACCOUNT] = "Pacific/Auckland"
    line = ledger_pb2.Line
    usd = [Money(currency_code="USD", amount_minor=amount) for amount in (450, -450)]
    lines = [
        line(ledger_account="receivable.purchase", amount=usd[0]),
        line(ledger_account="network_clearing", amount=usd[1]),
    ]
    entry = mesh.book.entry
    await mesh.take(
        entry("FORCE_POST", 450, merchant=EVIL, lines=lines),
        entry("AUTHORIZATION", 450, authorization_id="auth_1"),
        entry("FORCE_POST", 450, lines=lines, account_id=OTHER_ACCOUNT, company_id=OTHER_COMPANY),
        # The next day where the account is.
        entry("FORCE_POST", 450, lines=lines, at=NOON.replace(hour=11)),
    )
    await mesh.pool.execute("UPDATE ledger_position SET pseq = 3 WHERE partition = 10")
    fields = {"type": pb.REPORT_TYPE_ACCOUNTING, "start_date": "2026-11-20"}
    _, file = await made(mesh, MANAGER, **fields, end_date="2026-11-20")
    assert not rows_of(file)
    report, file = await made(mesh, MANAGER, **fields, end_date="2026-11-21", request_id="r2")
    assert [
        (row["date"], row["document"], row["account"], row["debit"], row["credit"])
        for row in rows_of(file)
    ] == [
        ("2026-11-21", "10-1", "Card receivables - purchases", "4.50", ""),
        ("2026-11-21", "10-1", "Card network settlement", "", "4.50"),
        ("2026-11-21", "10-3", "Card receivables - purchases", "4.50", ""),
        ("2026-11-21", "10-3", "Card network settlement", "", "4.50"),
    ]
    assert rows_of(file)[0]["merchant_name"].startswith("'=")
    assert report.file_name.startswith(f"journal-{COMPANY}")
    fields |= {"format": pb.REPORT_FORMAT_XERO_CSV, "currency_code": "USD"}
    fields |= {"books": pb.REPORT_BOOKS_HOLDER, "end_date": "2026-11-30", "request_id": "r3"}
    _, file = await made(mesh, MANAGER, **fields)
    assert [(row["Description"], row["*Amount"]) for row in rows_of(file)] == [
        ("Card payable", "-9.00"),
        ("Card purchases", "9.00"),
    ]


async def test_spending_as_a_workbook(mesh: StatsMesh) -> None:
    await spend(mesh)
    report, file = await made(mesh, format=pb.REPORT_FORMAT_XLSX)
    assert file.startswith(b"PK")
    assert report.row_count == 3


@pytest.mark.parametrize("days", [0, 60])
async def test_spending_as_a_document(mesh: StatsMesh, days: int) -> None:
    """Also of a period in which nothing was spent."""
    await spend(mesh)
    mesh.clock.advance(days * 86_400_000)
    start = "2026-11-01" if not days else "2027-01-01"
    _, file = await made(mesh, format=pb.REPORT_FORMAT_PDF, start_date=start, end_date="2027-01-31")
    assert file.startswith(b"%PDF-")


async def test_an_empty_period_is_a_file_without_rows(mesh: StatsMesh) -> None:
    report, file = await made(mesh, format=pb.REPORT_FORMAT_JSON)
    assert json.loads(file)["rows"] == []
    assert (report.row_count, report.part_count) == (0, 1)


async def test_the_same_request_makes_one_report(mesh: StatsMesh) -> None:
    first = await created(mesh, wanted())
    call = mesh.reports.CreateReport(wanted(), metadata=ADMIN)
    assert (await call).report == first
    assert dict(await call.initial_metadata())["idempotent-replayed"] == "true"
    error = await refused(mesh.reports.CreateReport, wanted(PERSONAL))
    assert error.reason == "REQUEST_ID_REUSED"
    assert await mesh.rows("SELECT id FROM report") == [(first.id,)]
    entries = await mesh.rows(
        "SELECT code, reason FROM audit.entry WHERE method LIKE '%CreateReport'"
        " ORDER BY id DESC LIMIT 3"
    )
    assert [tuple(one) for one in entries] == [
        ("ALREADY_EXISTS", "REQUEST_ID_REUSED"),
        ("OK", "REPLAYED"),
        ("OK", ""),
    ]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"subject_id": "acct_1"}, {"subject_id"}),
        ({"type": 0}, {"type"}),
        ({"type": 9, "format": 99}, {"type", "format"}),
        ({"format": pb.REPORT_FORMAT_XERO_CSV}, {"format"}),
        ({"books": pb.REPORT_BOOKS_HOLDER}, {"books"}),
        ({"start_date": "2026-11-31"}, {"start_date"}),
        ({"end_date": "2026-10-31"}, {"end_date"}),
        ({"end_date": "2029-11-30"}, {"end_date"}),
        ({"currency_code": "XXX"}, {"currency_code"}),
        ({"groups": [0]}, {"groups[0]"}),
        ({"groups": [1, 2, 3, 4, 5, 6]}, {"groups"}),
        ({"request_id": ""}, {"request_id"}),
        ({"type": pb.REPORT_TYPE_ACCOUNTING, "groups": [1]}, {"groups"}),
        ({"type": pb.REPORT_TYPE_ACCOUNTING, "subject_id": CARD}, {"subject_id"}),
        (
            {"type": pb.REPORT_TYPE_ACCOUNTING, "format": pb.REPORT_FORMAT_QUICKBOOKS_IIF},
            {"currency_code"},
        ),
    ],
)
async def test_what_is_wrong_is_named(
    mesh: StatsMesh, fields: dict[str, Any], named: set[str]
) -> None:
    error = await refused(mesh.reports.CreateReport, wanted(**fields))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(error.fields) == named


async def test_so_many_wait_and_no_more(mesh: StatsMesh) -> None:
    for number in range(20):
        await created(mesh, wanted(request_id=f"r{number}"))
    error = await refused(mesh.reports.CreateReport, wanted(request_id="one more"[:3]))
    assert (error.code, error.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_REPORTS",
    )
    await created(mesh, wanted(PERSONAL, "another"))
    await mesh.report_worker.work_due()
    await created(mesh, wanted(request_id="after"))
