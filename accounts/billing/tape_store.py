"""The loan tape in PostgreSQL: written a page of accounts at a time, each row once per version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from accounts.billing import stored
from accounts.billing.account import BillingAccount, Booked, Phase
from accounts.billing.calendar import Cycle
from accounts.billing.store import account_of, entry_of
from accounts.billing.tape import Source
from runtime.clock import datetime_of
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

#: Accounts of one page.
PAGE = 500
#: A day has ended everywhere so long after it has ended in UTC.
_WESTERNMOST = timedelta(hours=12)

_SQL = load_queries(Path(__file__).parents[1] / "sql" / "loan_tape.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A row of the tape as it is kept."""

    account_id: str
    version: int
    body: str


def ended_everywhere(day: date) -> datetime:
    """The instant at which a day is over for every account."""
    return datetime.combine(day, time(), UTC) + timedelta(days=1) + _WESTERNMOST


class Tape:
    """Reads and writes on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def accounts(self, *, after: str, limit: int = PAGE) -> list[tuple[BillingAccount, Any]]:
        """Accounts whose cycles have begun, with when there is something to do for them."""
        rows = await self._connection.fetch(_SQL["tape_accounts"], after, limit)
        return [(account_of(row), row["work_time"]) for row in rows]

    async def sources(self, accounts: Sequence[BillingAccount], day: date) -> dict[str, Source]:
        """What the rows of a day are made of."""
        ids = [one.account_id for one in accounts]
        covering = {
            row["account_id"]: row
            for row in await self._connection.fetch(_SQL["covering_statements"], ids, day)
        }
        previous = {
            row["account_id"]: Cycle(
                start=row["cycle_start"], end=row["cycle_end"], due=row["due_date"]
            )
            for row in await self._connection.fetch(_SQL["previous_statements"], ids, day)
        }
        entries = await self._entries(
            [(one, covering.get(one)) for one in ids], ended_everywhere(day)
        )
        return {
            one.account_id: Source(
                account=_before(one, covering.get(one.account_id)),
                entries=tuple(entries[one.account_id]),
                previous=previous.get(one.account_id),
            )
            for one in accounts
        }

    async def kept(self, accounts: Sequence[str], day: date) -> dict[str, Kept]:
        """The latest versions of accounts' rows of a day."""
        rows = await self._connection.fetch(_SQL["latest_rows"], day, list(accounts))
        return {row["account_id"]: Kept(**dict(row)) for row in rows}

    async def keep(self, day: date, rows: Sequence[Kept], *, now_ms: int) -> None:
        """Adds versions; those that somebody else has added stay."""
        await self._connection.execute(
            _SQL["insert_rows"],
            day,
            [one.account_id for one in rows],
            [one.version for one in rows],
            [one.body for one in rows],
            datetime_of(now_ms),
        )

    async def complete(self, day: date, *, now_ms: int) -> None:
        """Every account has its row."""
        await self._connection.execute(_SQL["complete_day"], day, datetime_of(now_ms))

    async def last_day(self) -> date | None:
        """The last day that is complete."""
        found: date | None = await self._connection.fetchval(_SQL["last_day"])
        return found

    async def _entries(
        self, wanted: Sequence[tuple[str, Any]], until: datetime
    ) -> dict[str, list[Booked]]:
        found: dict[str, list[Booked]] = {account_id: [] for account_id, _ in wanted}
        numbered = [(one, row["number"]) for one, row in wanted if row is not None]
        rows = await self._connection.fetch(
            _SQL["numbered_entries"],
            [one for one, _ in numbered],
            [number for _, number in numbered],
            until,
        )
        running = [one for one, row in wanted if row is None]
        rows += await self._connection.fetch(_SQL["unnumbered_entries"], running, until)
        for row in rows:
            found[row["account_id"]].append(entry_of(row))
        return found


def _before(account: BillingAccount, statement: Any) -> BillingAccount:
    """The account as its cycle closed, if it has."""
    if statement is None:
        return account
    row = {
        "account_id": account.account_id,
        "programme_id": account.programme_id,
        "currency_code": account.currency_code,
        "account_state": account.account_state,
    }
    return stored.loaded(
        row, opened_ms=account.opened_ms, state=statement["before"], phase=Phase.RUNNING
    )


async def is_complete(pool: Any, day: date) -> bool:
    """Whether every account has its row of a day."""
    with refusing_when_down():
        return bool(await pool.fetchval(_SQL["is_complete"], day))


async def rows_of(pool: Any, day: date, *, after: str, limit: int) -> list[Kept]:
    """The latest versions of a day's rows, in order of their accounts."""
    with refusing_when_down():
        rows = await pool.fetch(_SQL["list_rows"], day, after, limit)
    return [Kept(**dict(row)) for row in rows]
