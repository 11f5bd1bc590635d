"""Reads what was counted, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg

from runtime import ids
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries
from runtime.record import record
from stats.measures import COLUMNS, Measures
from stats.period import Period

_SQL = load_queries(Path(__file__).with_name("sql") / "stats.sql")
_ANOMALIES = load_queries(Path(__file__).with_name("sql") / "anomalies.sql")
#: In which column of the cells subjects are, by prefix.
COLUMN = {
    ids.ACCOUNT: "account_id",
    ids.CARD: "card_id",
    ids.USER: "user_id",
    ids.COMPANY: "company_id",
    ids.DEPARTMENT: "department_id",
    ids.PROGRAMME: "programme_id",
}
SUBJECTS = tuple(COLUMN)
#: In which column of the cells dimensions are, a `Dimension` of the contract without its prefix.
DIMENSIONS = {
    "CATEGORY": "category",
    "MERCHANT": "merchant",
    "COUNTRY": "country",
    "CHANNEL": "channel",
    "CURRENCY": "merchant_currency",
    "DECLINE_REASON": "decline_reason",
    "CARD": "card_id",
    "USER": "user_id",
}


@record
class Day:
    """What happened on one day, in one currency."""

    currency: str
    day: date
    measures: Measures


@record
class Slice:
    """What happened with one value of a dimension."""

    #: A `Dimension` of the contract without its prefix.
    dimension: str
    key: str
    label: str
    #: How many values the dimension has.
    number: int
    authorized_count: int
    authorized_minor: int
    declined_count: int
    purchase_count: int
    purchase_minor: int
    cash_count: int
    cash_minor: int
    refund_count: int
    refund_minor: int


@record
class KeptStat:
    """A closed period."""

    id: str
    subject_id: str
    version: int
    body: bytes
    create_time: Any
    start_date: date


async def days_of(
    connection: Any, subject_id: str, first: date, last: date, *, currency: str = ""
) -> list[Day]:
    """The days of a subject on which something happened, by currency."""
    rows = await connection.fetch(_SQL["select_totals"], subject_id, first, last, currency)
    return [
        Day(
            currency=row["currency"],
            day=row["day"],
            measures=Measures(*(row[name] for name in COLUMNS)),
        )
        for row in rows
    ]


async def slices_of(
    connection: Any,
    subject_id: str,
    period: Period,
    *,
    currency: str,
    dimensions: Collection[str],
    top: int,
) -> list[Slice]:
    """The largest slices of each of these dimensions, the largest first."""
    query = _slices(COLUMN[subject_id.partition("_")[0]], frozenset(dimensions))
    rows = await connection.fetch(query, subject_id, period.start, period.end, currency, top)
    return [Slice(**row) for row in rows]


@cache
def _slices(subject_column: str, dimensions: frozenset[str]) -> str:
    """Groups by what is asked for only: each dimension costs as much as the next."""
    query = _SQL["select_slices"].replace("subject_column", subject_column)
    columns = [
        column if name in dimensions else f"NULL::text AS {column}"
        for name, column in DIMENSIONS.items()
    ]
    sets = [f"({column})" for name, column in DIMENSIONS.items() if name in dimensions]
    return query.replace("dimension_columns", ", ".join(columns)).replace(
        "dimension_sets", ", ".join(sets)
    )


class StatsStore:
    """Reads what was counted."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def days(self, subject_id: str, first: date, last: date, *, currency: str) -> list[Day]:
        """The days of a subject."""
        with refusing_when_down():
            return await days_of(self._pool, subject_id, first, last, currency=currency)

    async def slices(
        self,
        subject_id: str,
        period: Period,
        *,
        currency: str,
        dimensions: Collection[str],
        top: int,
    ) -> Sequence[Slice]:
        """The largest slices of a period."""
        with refusing_when_down():
            return await slices_of(
                self._pool, subject_id, period, currency=currency, dimensions=dimensions, top=top
            )

    async def stat(self, stat_id: str) -> KeptStat | None:
        """One closed period."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_stat"], stat_id)
        return KeptStat(**row) if row else None

    async def stats(
        self, subject_id: str, kind: str, *, before: tuple[date, int, str], limit: int
    ) -> list[KeptStat]:
        """Closed periods of a subject, the latest first, each with its last version first."""
        with refusing_when_down():
            rows = await self._pool.fetch(_SQL["list_stats"], subject_id, kind, *before, limit)
        return [KeptStat(**row) for row in rows]

    async def anomalies(
        self, account_id: str, kind: str, *, before: tuple[datetime, str], limit: int
    ) -> list[Any]:
        """What was unusual about an account, or any, the one that was found last first."""
        with refusing_when_down():
            return list(
                await self._pool.fetch(
                    _ANOMALIES["list_anomalies"], account_id, kind, *before, limit
                )
            )
