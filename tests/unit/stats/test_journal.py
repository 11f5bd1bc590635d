"""Journals for accounting: whatever the ledger books, debits are credits, in everybody's books."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.reports.journal import ISSUER, Account, Daily, Entry, lines_of, rows_of
from stats.reports.journal_writers import journal_writer
from stats.reports.report import Books, Format, Report, State, Type, Wanted

DAY = date(2026, 11, 20)
ACCOUNTS = sorted(ISSUER)


def entry(lines: list[tuple[str, int]], number: int = 1, **fields: Any) -> Entry:
    named = dict.fromkeys(Entry.__dataclass_fields__, "")
    return Entry(
        **{
            **named,
            "id": f"ent_0a{number:032x}",
            "document": f"10-{number}",
            "type": "CAPTURE",
            "day": DAY,
            "currency": "USD",
            "lines": lines,
            **fields,
        }
    )


@st.composite
def balanced(draw: st.DrawFn) -> Entry:
    """An entry with any lines that come to zero."""
    names = draw(st.lists(st.sampled_from([*ACCOUNTS, "not.known"]), min_size=1, max_size=4))
    amounts = draw(st.lists(st.integers(-(2**53), 2**53), min_size=len(names), max_size=len(names)))
    lines = list(zip(names, amounts, strict=True))
    lines.append((draw(st.sampled_from(ACCOUNTS)), -sum(amounts)))
    return entry(
        lines,
        draw(st.integers(1, 9)),
        day=draw(st.dates(date(2026, 1, 1), date(2026, 1, 5))),
        currency=draw(st.sampled_from(["USD", "JPY", "KWD"])),
    )


@given(one=balanced(), books=st.sampled_from(Books))
def test_each_entry_is_balanced(one: Entry, books: Books) -> None:
    assert sum(line.amount_minor for line in lines_of(one, books)) == 0
    rows = list(rows_of(one, books))
    assert sum(row[5] or 0 for row in rows) == sum(row[6] or 0 for row in rows)


@given(several=st.lists(balanced(), max_size=12), books=st.sampled_from(Books))
def test_days_are_the_sums_of_their_entries(several: list[Entry], books: Books) -> None:
    daily, expected = Daily(books), defaultdict[Any, Counter[Account]](Counter)
    for one in several:
        daily.take(one)
        for account, amount_minor in lines_of(one, books):
            expected[one.day, one.currency][account] += amount_minor
    found = {(day, currency): lines for day, currency, lines in daily.journals()}
    assert list(found) == sorted(found)
    for key, lines in found.items():
        assert sum(amount_minor for _, amount_minor in lines) == 0
        sums = Counter[Account]()
        for account, amount_minor in lines:
            sums[account] += amount_minor
        assert sums == expected[key]
    assert sum(map(len, found.values())) <= 2 * (len(ISSUER) + 1) * len(found)


def test_every_account_of_the_ledger_has_a_name() -> None:
    """The chart is complete: nothing that the ledger books is unknown here."""
    chart = Path("authz/sql/migrations/0001_create_ledger.sql").read_text()
    assert set(re.findall(r"\('([a-z_.]+)', '(?:ASSET|LIABILITY|INCOME|EXPENSE)'", chart)) == set(
        ISSUER
    )
    assert len({one.code for one in ISSUER.values()}) == len(ISSUER)


def test_a_purchase_in_both_books() -> None:
    one = entry([("receivable.purchase", 700), ("customer_credit", 50), ("network_clearing", -750)])
    assert [(line.account.code, line.amount_minor) for line in lines_of(one, Books.ISSUER)] == [
        ("1100", 700),
        ("2100", 50),
        ("2200", -750),
    ]
    assert [(line.account.name, line.amount_minor) for line in lines_of(one, Books.HOLDER)] == [
        ("Card payable", -750),
        ("Card purchases", 750),
    ]
    # A payment that the issuer moves from one of its accounts to another is no news to who paid.
    moved = entry([("settlement_cash", 10), ("payments_in_transit", -10)])
    assert not lines_of(moved, Books.HOLDER)


def report(format_: Format, books: Books = Books.ISSUER) -> Report:
    return Report(
        id="rpt_0a" + "1" * 32,
        wanted=Wanted(
            subject_id="co_0a" + "1" * 32,
            type=Type.ACCOUNTING,
            format=format_,
            currency_code="USD",
            groups=(),
            books=books,
        ),
        start=DAY,
        end=DAY,
        state=State.RUNNING,
        progress_percent=0,
        row_count=0,
        size_bytes=0,
        part_count=0,
        sha256="",
        failure="",
        key=bytes(32),
        schedule_id="",
        principal="",
        owner_id="",
        attempts=1,
        create_time_ms=0,
        end_time_ms=None,
        expire_time_ms=0,
    )


ENTRIES = [
    entry(
        [("receivable.purchase", 123_456), ("network_clearing", -123_456)],
        1,
        merchant_name='=cmd|"/c calc"!A0',
        category="5411",
    ),
    entry([("receivable.fee", 500), ("income.fee", -500)], 2, type="FEE"),
    entry([("payments_in_transit", 200), ("receivable.purchase", -200)], 3),
]
FILES = {
    Format.QUICKBOOKS_IIF: [
        "!TRNS\tTRNSTYPE\tDATE\tACCNT\tAMOUNT\tDOCNUM\tMEMO",
        "!SPL\tTRNSTYPE\tDATE\tACCNT\tAMOUNT\tDOCNUM\tMEMO",
        "!ENDTRNS",
        *(
            f"{'SPL' if number else 'TRNS'}\tGENERAL JOURNAL\t11/20/2026\t{account}\t{amount}"
            "\t20261120USD\tCards 2026-11-20"
            for number, (account, amount) in enumerate(
                [
                    ("Card receivables - purchases", "1234.56"),
                    ("Card receivables - purchases", "-2.00"),
                    ("Card receivables - fees", "5.00"),
                    ("Payments in transit", "2.00"),
                    ("Card network settlement", "-1234.56"),
                    ("Fee income", "-5.00"),
                ]
            )
        ),
        "ENDTRNS",
    ],
    Format.QUICKBOOKS_CSV: [
        "JournalNo,JournalDate,AccountName,Debits,Credits,Description,Currency",
        *(
            f"20261120USD,11/20/2026,{account},{debit},{credit},Cards 2026-11-20,USD"
            for account, debit, credit in [
                ("Card receivables - purchases", "1234.56", ""),
                ("Card receivables - purchases", "", "2.00"),
                ("Card receivables - fees", "5.00", ""),
                ("Payments in transit", "2.00", ""),
                ("Card network settlement", "", "1234.56"),
                ("Fee income", "", "5.00"),
            ]
        ),
    ],
    Format.XERO_CSV: [
        "*Narration,*Date,Description,*AccountCode,*TaxRate,*Amount",
        *(
            f"Cards 2026-11-20 USD,20/11/2026,{account},{code},Tax Exempt,{amount}"
            for account, code, amount in [
                ("Card receivables - purchases", "1100", "1234.56"),
                ("Card receivables - purchases", "1100", "-2.00"),
                ("Card receivables - fees", "1120", "5.00"),
                ("Payments in transit", "1300", "2.00"),
                ("Card network settlement", "2200", "-1234.56"),
                ("Fee income", "4100", "-5.00"),
            ]
        ),
    ],
}


@pytest.mark.parametrize("format_", FILES)
def test_what_accounting_programs_import(format_: Format, tmp_path: Path) -> None:
    """A journal of each day in the columns that the program asks for, its lines in one order."""
    writer = journal_writer(tmp_path / "file", report(format_))
    writer.write(ENTRIES[:2])
    writer.write(ENTRIES[2:])
    writer.end()
    # Debits stand before credits of the same account.
    assert (tmp_path / "file").read_text().splitlines() == FILES[format_]
    assert writer.rows == 6


def test_every_line_as_csv(tmp_path: Path) -> None:
    """Amounts are exact, and what a merchant calls itself is no formula."""
    writer = journal_writer(tmp_path / "file", report(Format.CSV, Books.HOLDER))
    writer.write(ENTRIES)
    writer.end()
    with (tmp_path / "file").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["account"], row["debit"], row["credit"]) for row in rows] == [
        ("Card payable", "", "1234.56"),
        ("Card purchases", "1234.56", ""),
        ("Card payable", "", "5.00"),
        ("Card fees", "5.00", ""),
        ("Bank", "", "2.00"),
        ("Card payable", "2.00", ""),
    ]
    assert {row["merchant_name"] for row in rows} == {'\'=cmd|"/c calc"!A0', ""}
    debits, credits_ = (
        sum(Decimal(row[name] or 0) for row in rows) for name in ("debit", "credit")
    )
    assert debits == credits_ == Decimal("1241.56")
