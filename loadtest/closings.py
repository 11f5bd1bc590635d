"""Scenario: a night in which many billing cycles close, and another in which accounts is killed.

Accounts and the lines of their first cycle are rows, as billing has them from the ledger; each has
a cash advance, which bears interest, so that each closing has the authorizer post something. The
cycles ended days ago: accounts takes them up as soon as the rows are there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from accounts.billing.account import BillingAccount
from accounts.billing.advance import advance
from accounts.billing.convert_terms import product_of
from accounts.billing.stored import dumped
from accounts.programme import ProgrammeTerms
from holdfast.accounts.v1 import terms_pb2
from holdfast.type.v1.money_pb2 import Money
from loadtest.errors import BenchFailedError, BooksError
from loadtest.mesh import LIMIT_MINOR, Mesh, open_mesh
from loadtest.messages import CURRENCY
from loadtest.processes import used_between
from loadtest.session import Session
from runtime.clock import SystemClock, datetime_of, ms_of
from runtime.queries import load_queries

#: Lines of each cycle; the last one is a cash advance.
LINES = 6
#: The second night has this share of the first one's accounts.
_KILLED_SHARE = 10
#: Shares of the second night after which accounts is killed.
_KILLS = (0.2, 0.5, 0.8)
_INSTANCE = "accounts"
_OPENED_DAYS_AGO = 45
#: Counting a hundred thousand statements costs as much as closing some. Who kills looks closely.
_LOOK_S = 2.0
_LOOK_CLOSELY_S = 0.25
#: Without a single closing for so long, something is wrong.
_PATIENCE_S = 60.0
_MIB = 1024

_SQL = load_queries(Path(__file__).with_name("sql") / "closings.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """What is in the books after a night."""

    accounts: int
    issued: int
    #: Accounts with more than one statement, or more than one posting of interest in the ledger.
    double_billed: int
    #: Statements that say another balance than their lines and the ledger come to.
    wrong: int

    def check(self) -> None:
        """BooksError unless each account has one right statement."""
        if self.issued != self.accounts or self.double_billed or self.wrong:
            raise BooksError(f"closings: {self}")


class Night:
    """Accounts of one mesh whose cycles close."""

    def __init__(self, mesh: Mesh, connection: Any) -> None:
        self._mesh = mesh
        self._connection = connection
        self._accounts = 0
        now_ms = SystemClock().now_ms()
        self._opened = datetime_of(now_ms) - timedelta(days=_OPENED_DAYS_AGO)

    async def begin(self) -> None:
        """The programme with its terms."""
        terms = _terms(str(self._opened.date()))
        await self._connection.execute(_SQL["insert_programme"], self._opened)
        await self._connection.execute(
            _SQL["insert_terms"], self._opened.date(), terms.SerializeToString(), self._opened
        )

    async def fall(self, count: int) -> None:
        """So many cycles are to be closed: billing works on them from now on."""
        names = await self._mesh.open_bare_accounts(count)
        await self._mesh.settle()
        async with self._connection.transaction():
            await self._connection.execute(
                _SQL["insert_accounts"], names, LIMIT_MINOR, self._opened, CURRENCY
            )
            await self._connection.execute(_SQL["insert_lines"], names, LINES, self._opened)
            await self._connection.execute(_SQL["insert_billing"], names, self._state())
            # Rows that came in over a month have been looked at by autovacuum long before.
            await self._connection.execute(_SQL["analyze"])
        self._accounts += count

    def _state(self) -> str:
        """Every account's: its first cycle has begun."""
        opened_ms = ms_of(self._opened)
        stored = ProgrammeTerms(
            programme_id="prog_bench",
            version=1,
            effective_date=self._opened.date(),
            terms=_terms(str(self._opened.date())).SerializeToString(),
            create_time_ms=opened_ms,
        )
        new = BillingAccount(
            account_id="", programme_id="prog_bench", currency_code=CURRENCY, opened_ms=opened_ms
        )
        step = advance(new, (), product_of(stored), now_ms=opened_ms, delay_ms=0)
        return dumped(step.account)

    async def end(self, *, kill_at: Sequence[int] = ()) -> int:
        """Returns once every statement is issued; kills accounts when so many are. Returns how
        often it was.
        """
        kills, issued, changed = list(kill_at), -1, time.monotonic()
        while True:
            found = await self._connection.fetchval(_SQL["count_issued"])
            if found == self._accounts:
                return len(kill_at) - len(kills)
            if found != issued:
                issued, changed = found, time.monotonic()
            elif time.monotonic() - changed > _PATIENCE_S:
                raise BenchFailedError(f"no cycle was closed for {_PATIENCE_S:.0f} s")
            if kills and issued >= kills[0]:
                del kills[0]
                self._mesh.stack.kill(_INSTANCE)
                await self._mesh.stack.wait_ready()
            await asyncio.sleep(_LOOK_CLOSELY_S if kills else _LOOK_S)

    async def billed(self) -> Billed:
        """Everything that was billed, held against the ledger."""
        await self._mesh.settle()
        row = await self._connection.fetchrow(_SQL["billed"])
        return Billed(accounts=self._accounts, **dict(row))


@asynccontextmanager
async def night_on(mesh: Mesh) -> AsyncIterator[Night]:
    """A night on a mesh that has no accounts yet."""
    connection = await asyncpg.connect(mesh.stack.owner_dsn)
    try:
        night = Night(mesh, connection)
        await night.begin()
        yield night
    finally:
        await connection.close()


async def closings(session: Session) -> None:
    """The time of a night; then fewer accounts, and accounts killed again and again."""
    count = session.options.accounts
    async with open_mesh(workers=session.options.workers) as mesh, night_on(mesh) as night:
        await night.fall(count)
        began, before = time.perf_counter(), mesh.processes.cpu_s()
        await night.end()
        seconds = time.perf_counter() - began
        used = used_between(before, mesh.processes.cpu_s())
        memory_mib = _peak_mib(mesh)
        each = {name: round(spent * 1e6 / count) for name, spent in used.items()}
        session.say(
            f"closings: {count:,} in {seconds:.1f} s, {count / seconds:,.0f}/s,"
            f" accounts at most {memory_mib} MiB; CPU µs each: "
            + "  ".join(f"{name} {spent}" for name, spent in each.items())
        )
        few = max(count // _KILLED_SHARE, 1)
        await night.fall(few)
        killed = await night.end(kill_at=[count + int(few * share) for share in _KILLS])
        billed = await night.billed()
        billed.check()
        await session.check_books(mesh, "closings")
    session.say(f"{few:,} more, accounts killed {killed} times: {billed}")
    session.document["closings"] = {
        **asdict(billed),
        "accounts": count,
        "seconds": round(seconds, 2),
        "rate": round(count / seconds, 1),
        "cpu_us": each,
        "memory_mib": memory_mib,
        "killed": killed,
    }


def _peak_mib(mesh: Mesh) -> int:
    """The most memory that accounts has had so far."""
    status = Path(f"/proc/{mesh.pid(_INSTANCE)}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // _MIB


def _terms(effective_date: str) -> terms_pb2.Terms:
    return terms_pb2.Terms(
        effective_date=effective_date,
        annual_rates=[
            terms_pb2.AnnualRate(category=terms_pb2.BALANCE_CATEGORY_PURCHASE, percent="24.99"),
            terms_pb2.AnnualRate(category=terms_pb2.BALANCE_CATEGORY_CASH_ADVANCE, percent="29.99"),
        ],
        interest_method=terms_pb2.INTEREST_METHOD_DAILY,
        cycle=terms_pb2.Cycle(due_days=25, grace=True, time_zone="UTC"),
        minimum_payment=terms_pb2.MinimumPayment(
            floor=Money(currency_code=CURRENCY, amount_minor=3_500),
            percent="1",
            plus_interest_and_fees=True,
            plus_past_due=True,
        ),
    )
