"""Takes entries of the ledger in: counts them, and writes what was counted.

Whoever takes entries in does so in the transaction that moves the positions (`runtime.follower`):
who dies in between has counted nothing. Counting is adding, so that a page writes each row once,
however many of its entries count there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from holdfast.authz.v1 import ledger_pb2
from runtime.clock import Clock, datetime_of
from runtime.metrics import STATS_ENTRIES, STATS_LAG
from runtime.queries import load_queries
from runtime.validate import milliseconds
from stats import adding, refunds, reversals
from stats.asked import Accounts, Asked
from stats.closing import reopened
from stats.fold import Fold, Origin
from stats.movement import PLACE, Movement, Place
from stats.period import MONDAY, PeriodType
from stats.sources import TIME_ZONE_DEFAULT, Member, counts, movement_of
from stats.watch import touch

#: Shares of the partitions that are counted at the same time, each by whoever has its turn.
SHARES = 2
#: Entries of one page, and how often is looked for them: a page costs much the same for few as for
#: many, so they are gathered for a second.
PAGE, POLL_S = 2_000, 1.0
#: How long a department is believed.
DEPARTMENT_TTL_MS = 60_000
#: Timezones and members that are remembered.
REMEMBERED_MAX = 20_000

_SQL = load_queries(Path(__file__).with_name("sql") / "intake.sql")
_LIVE, _AGAIN = "live_", "again_"
_REFUNDS = frozenset({"REFUND", "REFUND_REVERSAL"})


class Intake:
    """Counts entries as they come."""

    def __init__(
        self,
        accounts: Accounts,
        clock: Clock,
        *,
        correction_delay_s: int = 0,
        week_start: int = MONDAY,
    ) -> None:
        self._week_start = week_start
        self._accounts = Asked(accounts)
        self._clock = clock
        self._correction_delay_ms = correction_delay_s * 1000
        self._zones: dict[str, str] = {}
        self._asked_ms: dict[Member, int] = {}
        #: Departments that the page before has written, and when they were asked.
        self._written: dict[Member, tuple[str, int]] = {}

    async def prepare(self, where: Any, entries: Sequence[ledger_pb2.Entry]) -> None:
        """Asks accounts what `take` will need for a page, while nothing is locked. What this leaves
        out, `take` asks for.
        """
        counted = [one for one in entries if counts(one)]
        account_ids, members = {one.account_id for one in counted}, _members(counted)
        self._accounts.forget(account_ids, members)
        known = await self._known_zones(where, counted)
        now_ms = self._clock.now_ms()
        wanted = [
            one
            for one in self._not_asked(members, now_ms)
            if self._written.get(one, ("", 0))[1] <= now_ms - DEPARTMENT_TTL_MS
        ]
        await self._accounts.ask(account_ids - known.keys(), wanted)

    async def take(self, connection: Any, entries: Sequence[ledger_pb2.Entry]) -> None:
        """Counts a page."""
        counted = [one for one in entries if counts(one)]
        if not counted:
            return
        zones = await self._learn_zones(connection, counted)
        await self._learn_departments(connection, counted)
        fold = await _count(connection, counted, zones, prefix=_LIVE)
        if fold.names:
            await connection.execute(_SQL["put_names"], *adding.columns_of(fold.names.items()))
        until = await _closed_until(connection)
        last = max(until.values(), default=date.min)
        touched = {
            (subject, one.day)
            for one in fold.cells
            if one.day < last
            for subject in one.place.subjects
        }
        await self._reopen(connection, touched, until, delay_ms=self._correction_delay_ms)
        await touch(connection, fold.cells)
        STATS_ENTRIES.inc(len(counted))
        recorded_ms = milliseconds(counted[-1].record_time)
        STATS_LAG.set(max(self._clock.now_ms() - recorded_ms, 0) / 1000)

    async def take_again(self, connection: Any, entries: Sequence[ledger_pb2.Entry]) -> None:
        """Counts a page beside what was counted, with the same timezones and departments."""
        counted = [one for one in entries if counts(one)]
        if counted:
            zones = await self._known_zones(connection, counted)
            await _count(connection, counted, zones, prefix=_AGAIN)

    async def _known_zones(
        self, connection: Any, entries: Sequence[ledger_pb2.Entry]
    ) -> dict[str, str]:
        wanted = {one.account_id for one in entries}
        # Whoever counts the other share forgets what is remembered, too, and at any time.
        known = {one: self._zones[one] for one in wanted if one in self._zones}
        missing = wanted - known.keys()
        if missing:
            rows = await connection.fetch(_SQL["select_zones"], list(missing))
            found = {row["account_id"]: row["time_zone"] for row in rows}
            if len(self._zones) > REMEMBERED_MAX:
                self._zones.clear()
            self._zones |= found
            known |= found
        return known

    async def _learn_zones(
        self, connection: Any, entries: Sequence[ledger_pb2.Entry]
    ) -> dict[str, str]:
        """The timezones of accounts; asks for those of accounts that were never met. They are
        remembered by the next page: this one may yet come to nothing.
        """
        known = await self._known_zones(connection, entries)
        missing = {one.account_id for one in entries} - known.keys()
        if not missing:
            return known
        found = await self._accounts.zones_of(missing)
        new = {one: found.get(one, TIME_ZONE_DEFAULT) for one in missing}
        await connection.execute(_SQL["insert_zones"], list(new), list(new.values()))
        return known | new

    async def _learn_departments(
        self, connection: Any, entries: Sequence[ledger_pb2.Entry]
    ) -> None:
        """Asks for the departments of members, now and then."""
        now_ms = self._clock.now_ms()
        first, old = _members(entries), now_ms - DEPARTMENT_TTL_MS
        wanted = self._not_asked(first, now_ms)
        if not wanted:
            return
        known = await _departments(connection, entries)
        wanted = [one for one in wanted if not self._is_kept(one, known, old)]
        found = await self._accounts.departments_of(wanted) if wanted else {}
        changed = [one for one in wanted if known.last(one) != found.get(one, "")]
        if changed:
            await connection.execute(
                _SQL["insert_departments"],
                [company for company, _ in changed],
                [user for _, user in changed],
                [first[one] for one in changed],
                [found.get(one, "") for one in changed],
            )
        if len(self._asked_ms) > REMEMBERED_MAX:
            self._asked_ms.clear()
        # What is written now is remembered by the next page: this one may yet come to nothing.
        self._written = {one: (found.get(one, ""), now_ms) for one in changed}
        self._asked_ms |= dict.fromkeys(set(wanted) - set(changed), now_ms)

    def _not_asked(self, members: Iterable[Member], now_ms: int) -> list[Member]:
        """Those whose departments are not believed any more."""
        old = now_ms - DEPARTMENT_TTL_MS
        return [one for one in members if not old < self._asked_ms.get(one, 0) <= now_ms]

    def _is_kept(self, member: Member, known: _Departments, old_ms: int) -> bool:
        """True if what the page before wrote of a member is there; then it is remembered."""
        department, asked_ms = self._written.get(member, ("", 0))
        if asked_ms <= old_ms or known.last(member) != department:
            return False
        self._asked_ms[member] = asked_ms
        return True

    async def reopen(self, connection: Any, touched: Iterable[tuple[str, date]]) -> None:
        """Closed periods that days of subjects are in are looked at again."""
        await self._reopen(connection, set(touched), await _closed_until(connection), delay_ms=0)

    async def _reopen(
        self,
        connection: Any,
        touched: Collection[tuple[str, date]],
        until: Mapping[PeriodType, date],
        *,
        delay_ms: int,
    ) -> None:
        found = reopened(touched, until, week_start=self._week_start)
        if found:
            subjects, periods = zip(*found, strict=True)
            due_time = datetime_of(self._clock.now_ms() + delay_ms)
            await connection.execute(
                _SQL["reopen"],
                subjects,
                [str(one.type) for one in periods],
                [one.start for one in periods],
                due_time,
            )


class _Departments:
    """The departments that members have had."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._found: dict[Member, list[tuple[int, str]]] = {}
        for row in rows:
            member = (row["company_id"], row["user_id"])
            self._found.setdefault(member, []).append((row["from_pseq"], row["department_id"]))

    def of(self, entry: ledger_pb2.Entry) -> str:
        """That for which an entry counts."""
        found = ""
        for from_pseq, department_id in self._found.get((entry.company_id, entry.user_id), ()):
            if from_pseq <= entry.pseq:
                found = department_id
        return found

    def last(self, member: Member) -> str:
        """The last one; '': none."""
        found = self._found.get(member)
        return found[-1][1] if found else ""


def _members(entries: Iterable[ledger_pb2.Entry]) -> dict[Member, int]:
    """Members, each with the first entry of a page."""
    first: dict[Member, int] = {}
    for one in entries:
        if one.company_id and one.user_id:
            first.setdefault((one.company_id, one.user_id), one.pseq)
    return first


async def _count(
    connection: Any, entries: Sequence[ledger_pb2.Entry], zones: dict[str, str], *, prefix: str
) -> Fold:
    departments = await _departments(connection, entries)
    movements = [
        movement_of(
            one,
            zone=zones.get(one.account_id, TIME_ZONE_DEFAULT),
            department_of=departments.of,
        )
        for one in entries
    ]
    fold = Fold(await _origins(connection, movements, prefix))
    for one in movements:
        fold.take(one)
    await _write(connection, fold, prefix)
    return fold


async def _closed_until(connection: Any) -> dict[PeriodType, date]:
    """How far periods are closed; nobody closes more until the end of the transaction."""
    await connection.execute(_SQL["share_closing"])
    rows = await connection.fetch(_SQL["select_closing"])
    return {PeriodType(row["type"]): row["closed_until"] for row in rows}


async def _departments(connection: Any, entries: Sequence[ledger_pb2.Entry]) -> _Departments:
    members = {(one.company_id, one.user_id) for one in entries if one.company_id and one.user_id}
    if not members:
        return _Departments(())
    companies, users = zip(*members, strict=True)
    return _Departments(await connection.fetch(_SQL["select_departments"], companies, users))


async def _origins(
    connection: Any, movements: Sequence[Movement], prefix: str
) -> dict[str, Origin]:
    """What is known of what movements are about."""
    wanted = {name for one in movements for name in (one.authorization_id, one.payment_id) if name}
    wanted |= {
        refunds.count_name(one.authorization_id)
        for one in movements
        if one.type in _REFUNDS and one.authorization_id
    }
    wanted |= {
        reversals.name_of(one.authorization_id) for one in movements if reversals.matter_to(one)
    }
    if not wanted:
        return {}
    known = await _select_origins(connection, wanted, prefix)
    names = {
        name
        for one in movements
        if one.type == "REFUND_REVERSAL"
        and (counted := known.get(refunds.count_name(one.authorization_id)))
        for name in refunds.names_of(one.authorization_id, counted.amount_minor)
    }
    return known | (await _select_origins(connection, names, prefix) if names else {})


async def _select_origins(
    connection: Any, names: Collection[str], prefix: str
) -> dict[str, Origin]:
    rows = await connection.fetch(_query("select_origins", prefix), adding.text_of(names))
    return {
        row["id"]: Origin(
            id=row["id"],
            partition=row["partition"],
            day=row["day"],
            place=Place._make(row[name] for name in PLACE),
            amount_minor=row["amount_minor"],
            counted=row["counted"],
        )
        for row in rows
    }


async def _write(connection: Any, fold: Fold, prefix: str) -> None:
    """Adds what was counted to what was there."""
    if fold.cells:
        totals, cells = adding.counted(fold.cells)
        await connection.execute(_query("add_totals", prefix), *totals)
        await connection.execute(_query("add_cells", prefix), *cells)
    if fold.changed:
        origins = adding.origins(fold.changed.values())
        await connection.execute(_query("put_origins", prefix), *origins)


@cache
def _query(name: str, prefix: str) -> str:
    return _SQL[name].replace(_LIVE, prefix)
