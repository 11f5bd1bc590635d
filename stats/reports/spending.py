"""Reads what a report of spending says, from what was counted, some rows at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from runtime.queries import load_queries
from runtime.record import record
from stats.measures import Measures
from stats.period import MONDAY
from stats.reports.report import Group, Report
from stats.reports.table import Row
from stats.store import COLUMN, Day, days_of

#: Rows that are in memory at once.
BATCH = 5_000
#: The largest of each that pictures show.
TOP = 10
#: Reading the groups may take longer than anything that somebody waits for.
QUERY_TIMEOUT_S = 600.0

_SQL = load_queries(Path(__file__).parents[1] / "sql" / "spending.sql")
_KEYS = {
    Group.DAY: "day::text",
    Group.MONTH: "to_char(day, 'YYYY-MM')",
    Group.ACCOUNT: "account_id",
    Group.DEPARTMENT: "department_id",
    Group.USER: "user_id",
    Group.CARD: "card_id",
    Group.CATEGORY: "category",
    Group.MERCHANT: "merchant",
    Group.COUNTRY: "country",
}
#: What pictures show the largest of.
TOP_GROUPS = (Group.CATEGORY, Group.MERCHANT, Group.DEPARTMENT, Group.CARD)


@record
class Top:
    """One of the largest."""

    currency: str
    key: str
    label: str
    net_minor: int


@record
class Overview:
    """What stands above the rows."""

    #: By currency, in their order.
    totals: dict[str, Measures]
    days: Sequence[Day]
    #: The largest of each kind; only for who shows them.
    tops: Mapping[Group, Sequence[Top]]
    #: The first day of weeks, as `date.weekday()`.
    week_start: int = MONDAY


async def overview(
    connection: Any, report: Report, *, tops: bool, week_start: int = MONDAY
) -> Overview:
    """The totals, and what pictures show."""
    wanted = report.wanted
    days = await days_of(
        connection, wanted.subject_id, report.start, report.end, currency=wanted.currency_code
    )
    totals: dict[str, Measures] = {}
    for one in days:
        totals.setdefault(one.currency, Measures()).add(one.measures)
    found = await _tops(connection, report) if tops else {}
    return Overview(totals=totals, days=days, tops=found, week_start=week_start)


async def groups(
    connection: Any, report: Report, *, week_start: int = MONDAY
) -> AsyncIterator[tuple[Sequence[Row], int]]:
    """The rows, in the order of what they are broken down by; with each batch, how many there are
    in all. The caller has a transaction.
    """
    query = _of(report, _select_groups(report.wanted.groups, week_start))
    await connection.execute(_SQL["plan_for_batches"])
    cursor = await connection.cursor(query, *_days(report), timeout=QUERY_TIMEOUT_S)
    while batch := await cursor.fetch(BATCH, timeout=QUERY_TIMEOUT_S):
        # The last column is how many there are.
        yield [one[:-1] for one in batch], batch[0][-1]


def _select_groups(named: Sequence[Group], week_start: int) -> str:
    keys_of = {**_KEYS, Group.WEEK: _week(week_start)}
    keys = {f"key_{number}": keys_of[one] for number, one in enumerate(named, start=1)}
    has_merchant = Group.MERCHANT in named
    query = _SQL["select_groups"]
    for name, text in (
        ("group_keys", ", ".join(f'({key}) COLLATE "C" AS {name}' for name, key in keys.items())),
        ("group_names", ", ".join(keys)),
        ("group_numbers", ", ".join(str(number + 1) for number in range(len(keys)))),
        ("name_column", "coalesce(m.name, '') AS merchant_name," if has_merchant else ""),
        ("merchant_or_nothing", "merchant" if has_merchant else "''::text"),
    ):
        query = query.replace(name, text)
    return query


def _week(week_start: int) -> str:
    """A week as `Period.label` says it."""
    if week_start == MONDAY:
        return "to_char(day, 'IYYY-\"W\"IW')"
    return f"(day - (extract(isodow FROM day)::int + {6 - week_start}) % 7)::text"


async def _tops(connection: Any, report: Report) -> dict[Group, list[Top]]:
    """The largest of everything that pictures show, in one look."""
    query = _of(report, _SQL["select_tops"])
    rows = await connection.fetch(query, *_days(report), TOP, timeout=QUERY_TIMEOUT_S)
    merchants = [row["key"] for row in rows if row["kind"] == Group.MERCHANT]
    known = await connection.fetch(_SQL["select_names"], merchants)
    names = {row["key"]: row["name"] for row in known}
    found: dict[Group, list[Top]] = {group: [] for group in TOP_GROUPS}
    for row in rows:
        group, key = Group(row["kind"]), row["key"]
        label = (names.get(key) if group is Group.MERCHANT else "") or key
        found[group].append(
            Top(currency=row["currency"], key=key, label=label, net_minor=row["net_minor"])
        )
    return found


def _of(report: Report, query: str) -> str:
    return query.replace("subject_column", COLUMN[report.wanted.subject_id.partition("_")[0]])


def _days(report: Report) -> tuple[str, date, date, str]:
    wanted = report.wanted
    return wanted.subject_id, report.start, report.end, wanted.currency_code
