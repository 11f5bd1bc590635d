"""Makes the file of a report, with few rows in memory at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stats.reports import ledger, spending
from stats.reports.journal_writers import journal_writer
from stats.reports.report import Format, Report, Type, percent
from stats.reports.writers import spending_writer

if TYPE_CHECKING:
    import asyncpg

#: Percent and rows.
Reach = Callable[[int, int], None]
#: Kinds of files that show the largest of everything.
_PICTURES = (Format.PDF,)


class Making:
    """Makes files. `week_start` is the first day of weeks, as `date.weekday()`."""

    def __init__(
        self, pool: asyncpg.Pool, books: ledger.Ledger, owners: ledger.Owners, *, week_start: int
    ) -> None:
        self._pool = pool
        self._books = books
        self._owners = owners
        self._week_start = week_start

    async def make(self, report: Report, folder: Path, reach: Reach) -> Path:
        """Makes the file in a folder; `reach` is told how far it is."""
        path = folder / "report"
        if report.wanted.type is Type.SPENDING:
            await self._spending(report, path, reach)
        else:
            await self._journal(report, path, reach)
        return path

    async def _spending(self, report: Report, path: Path, reach: Reach) -> None:
        """Everything is of one moment: the rows come to the totals."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            pictures = report.wanted.format in _PICTURES
            found = await spending.overview(
                connection, report, tops=pictures, week_start=self._week_start
            )
            writer = await asyncio.to_thread(spending_writer, path, report, found)
            done = 0
            try:
                async for rows, whole in spending.groups(
                    connection, report, week_start=self._week_start
                ):
                    await asyncio.to_thread(writer.write, rows)
                    done += len(rows)
                    reach(percent(done, whole), done)
                await asyncio.to_thread(writer.end)
            except BaseException:
                writer.give_up()
                raise

    async def _journal(self, report: Report, path: Path, reach: Reach) -> None:
        writer = await asyncio.to_thread(journal_writer, path, report)
        try:
            async for found, done in ledger.entries(self._books, self._owners, self._pool, report):
                await asyncio.to_thread(writer.write, found)
                reach(percent(done, 100), writer.rows)
            await asyncio.to_thread(writer.end)
            reach(percent(100, 100), writer.rows)
        except BaseException:
            writer.give_up()
            raise
