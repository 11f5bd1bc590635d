"""Writes the loan tape: each day's rows once the day is over everywhere and nothing is left to be
done for it, a page of accounts in a transaction. Who dies in between goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

from accounts.billing.account import BillingAccount, Phase
from accounts.billing.calendar import ends_ms
from accounts.billing.product import Product
from accounts.billing.products import Products, on_day
from accounts.billing.store import Billing
from accounts.billing.tape import TapeRow, tape_row
from accounts.billing.tape_store import PAGE, Kept, Tape, ended_everywhere
from runtime.clock import datetime_of, ms_of
from runtime.log import get_logger

#: How often to look whether another day is over.
INTERVAL_S = 60.0

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What going through a day came to."""

    #: Rows that the day has now; rows that are new; and those of them that replace another.
    rows: int
    added: int
    changed: int
    #: Accounts that cannot be told yet: a step of theirs is still to be done.
    waiting: int
    #: The first accounts whose rows came out otherwise.
    examples: tuple[str, ...] = ()


class Taper:
    """Works for ever (`run`), or on one day (`write`, `compare`)."""

    def __init__(self, pool: Any, *, known_ms: Callable[[], int | None], delay_ms: int) -> None:
        self._pool = pool
        self._known_ms = known_ms
        self._delay_ms = delay_ms

    async def run(self) -> None:
        """No failure ends it."""
        while True:
            try:
                await self.write_due()
            except Exception:
                logger.exception("loan_tape_failed")
            await asyncio.sleep(INTERVAL_S)

    async def write_due(self) -> int:
        """Writes the days that are over; returns how many are complete now that were not."""
        now_ms, complete = self._known_ms(), 0
        if now_ms is None:
            return 0
        async with self._pool.acquire() as connection:
            last = await Tape(connection).last_day()
        over = last_over(now_ms - self._delay_ms)
        day = over if last is None else last + timedelta(days=1)
        while day <= over:
            found = await self.write(day, now_ms=now_ms, again=False)
            if found.waiting:
                break
            async with self._pool.acquire() as connection:
                await Tape(connection).complete(day, now_ms=now_ms)
            complete, day = complete + 1, day + timedelta(days=1)
        return complete

    async def write(self, day: date, *, now_ms: int, again: bool) -> Written:
        """Adds the rows that a day lacks; `again`: makes all of them anew, and adds another version
        of those that come out otherwise.
        """
        return await self._through(day, now_ms=now_ms, again=again, keep=True)

    async def compare(self, day: date, *, now_ms: int) -> Written:
        """The same as `again`, but writes nothing."""
        return await self._through(day, now_ms=now_ms, again=True, keep=False)

    async def _through(self, day: date, *, now_ms: int, again: bool, keep: bool) -> Written:
        rows = added = changed = waiting = 0
        examples = list[str]()
        async for connection, accounts in self._pages():
            tape, products = Tape(connection), Products(Billing(connection))
            kept = await tape.kept([one.account_id for one, _ in accounts], day)
            ready, fresh = list[BillingAccount](), list[Kept]()
            for account, work_time in accounts:
                known = await products.all_of(account.programme_id)
                if account.account_id in kept and not again:
                    rows += 1
                elif _is_waiting(account, work_time, known, day, self._delay_ms):
                    waiting += 1
                else:
                    ready.append(account)
            sources = await tape.sources(ready, day)
            for account in ready:
                # Others wait in this process, too.
                await asyncio.sleep(0)
                known = await products.all_of(account.programme_id)
                row = tape_row(sources[account.account_id], partial(on_day, known), day)
                if row is None:
                    continue
                rows += 1
                before = kept.get(account.account_id)
                if before is not None and before.body == row.body():
                    continue
                fresh.append(_next(row, before))
                changed += before is not None
                if before is not None and len(examples) < _EXAMPLES:
                    examples.append(account.account_id)
            added += len(fresh)
            if keep and fresh:
                await tape.keep(day, fresh, now_ms=now_ms)
        return Written(
            rows=rows, added=added, changed=changed, waiting=waiting, examples=tuple(examples)
        )

    async def _pages(self) -> AsyncIterator[tuple[Any, list[tuple[BillingAccount, Any]]]]:
        """Pages of accounts, each with a connection that sees one moment of everything."""
        after = ""
        while True:
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read"),
            ):
                accounts = await Tape(connection).accounts(after=after)
                if accounts:
                    yield connection, accounts
            if len(accounts) < PAGE:
                return
            after = accounts[-1][0].account_id


_EXAMPLES = 20


def _is_waiting(
    account: BillingAccount, work_time: Any, known: list[Product], day: date, delay_ms: int
) -> bool:
    """Whether something that belongs to the day is still to be done."""
    cycle = account.cycle
    assert cycle is not None, "it has begun"
    if day < cycle.start:
        return False
    if account.phase is Phase.POSTING:
        return True
    ends = ends_ms(day, on_day(known, cycle.start).zone) + delay_ms
    return work_time is not None and ms_of(work_time) <= ends


def _next(row: TapeRow, before: Kept | None) -> Kept:
    version = before.version + 1 if before else 1
    return Kept(account_id=row.account_id, version=version, body=row.body())


def last_over(now_ms: int) -> date:
    """The last day that is over everywhere."""
    day = datetime_of(now_ms).date()
    while ended_everywhere(day) > datetime_of(now_ms):
        day -= timedelta(days=1)
    return day
