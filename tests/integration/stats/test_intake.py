"""Counting: once, whatever dies, and the same again."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest

from holdfast.authz.v1.authorization_pb2 import Merchant
from holdfast.stats.v1 import stat_pb2 as pb
from tests.stats_mesh import (
    ACCOUNT,
    COMPANY,
    DEPARTMENT,
    NOON,
    OTHER_ACCOUNT,
    PROGRAMME,
    USER,
    StatsMesh,
)
from tests.unit.stats.histories import Model, counted, movement

DAY = timedelta(days=1)
TOTALS = (
    "SELECT day, sum(purchase_minor)::bigint AS minor, sum(correction_count)::bigint AS corrections"
    " FROM live_total WHERE subject_id = $1 GROUP BY day ORDER BY day"
)


async def same_again(mesh: StatsMesh) -> None:
    """What was counted again is what was counted."""
    for name in ("total", "cell", "origin"):
        rows = [await mesh.rows(f"SELECT * FROM {kind}_{name}") for kind in ("live", "again")]
        assert sorted(map(str, rows[0])) == sorted(map(str, rows[1]))


async def test_a_later_reversal_corrects_the_day_it_belongs_to(mesh: StatsMesh) -> None:
    """In other pages, as after a restart: the origin is remembered."""
    entry = mesh.book.entry
    await mesh.take(entry("AUTHORIZATION", 900, authorization_id="auth_1"))
    await mesh.take(entry("REFUND", 70, authorization_id="auth_1"))
    later = NOON + 3 * DAY
    await mesh.take(
        entry("REVERSAL", 900, at=later, authorization_id="auth_1"),
        entry("REFUND_REVERSAL", 70, at=later, authorization_id="auth_1"),
    )
    (found, *others) = await mesh.daily(ACCOUNT, "2026-11-20", "2026-11-23")
    totals = found.totals
    assert (totals.reversed.count, totals.reversed.amount.amount_minor) == (1, 900)
    assert (totals.refunds.count, totals.refunds.amount.amount_minor) == (0, 0)
    assert totals.correction_count == 2
    assert totals.last_correction_time.ToMilliseconds() == int(later.timestamp() * 1000)
    assert not any(one.totals.reversed.count or one.totals.correction_count for one in others)


async def test_what_is_left_of_no_refund_is_broken_down_too(mesh: StatsMesh) -> None:
    """Of a refund that names no purchase a part is taken back: nobody knows of which."""
    entry = mesh.book.entry
    await mesh.take(entry("REFUND", 70), entry("REFUND_REVERSAL", 20))
    (found,) = await mesh.daily(ACCOUNT, "2026-11-20", breakdowns=[pb.DIMENSION_CARD])
    assert (found.totals.refunds.count, found.totals.refunds.amount.amount_minor) == (0, 50)
    ((shown,),) = [one.slices for one in found.breakdowns]
    assert shown.refunds == found.totals.refunds


async def test_the_order_of_the_same_amounts_is_that_of_their_bytes(mesh: StatsMesh) -> None:
    """In every language of the database, and of its machine: closed periods depend on it."""
    keys = ["b", "Z", "_", "\u00e9", "a b", "ab", "A", "10", "9"]
    for key in keys:
        await mesh.take(mesh.book.entry("FORCE_POST", 5, merchant=Merchant(id=key)))
    (found,) = await mesh.daily(
        ACCOUNT, "2026-11-20", breakdowns=[pb.DIMENSION_MERCHANT], top=len(keys) - 1
    )
    (shown,) = found.breakdowns
    assert [one.key for one in shown.slices] == sorted(keys, key=str.encode)[:-1]
    assert shown.more_count == 1


async def test_who_dies_in_between_has_counted_nothing(mesh: StatsMesh) -> None:
    entry = mesh.book.entry("FORCE_POST", 5)
    await mesh.pool.execute(
        "ALTER TABLE live_cell ADD CONSTRAINT broken CHECK (purchase_minor < 0) NOT VALID"
    )
    with pytest.raises(asyncpg.CheckViolationError):
        await mesh.take(entry)
    await mesh.pool.execute("ALTER TABLE live_cell DROP CONSTRAINT broken")
    assert await mesh.rows(TOTALS, ACCOUNT) == []
    await mesh.take(entry)
    assert [row["minor"] for row in await mesh.rows(TOTALS, ACCOUNT)] == [5]


async def test_a_page_with_nothing_to_count_is_passed(mesh: StatsMesh) -> None:
    """As all pages are cut, one may have only reversals of what was never held."""
    await mesh.take(mesh.book.entry("REVERSAL", 0, authorization_id="auth_1"))
    assert await mesh.rows(TOTALS, ACCOUNT) == []


async def test_what_came_to_nothing_is_the_same_however_pages_are_cut(mesh: StatsMesh) -> None:
    entries = [
        mesh.book.entry("PAYMENT_CREDIT", 7, payment_id="pay_1"),
        mesh.book.entry("PAYMENT_RETURN", 7, payment_id="pay_1"),
    ]
    for entry in entries:
        await mesh.take(entry)
    await mesh.take(*entries, again=True)
    await same_again(mesh)


async def test_without_accounts_nothing_is_counted(mesh: StatsMesh) -> None:
    mesh.accounts.down = True
    entry = mesh.book.entry("FORCE_POST", 5)
    with pytest.raises(grpc.aio.AioRpcError):
        await mesh.take(entry)
    mesh.accounts.down = False
    await mesh.take(entry)
    assert len(await mesh.rows(TOTALS, ACCOUNT)) == 1


async def test_an_account_keeps_the_timezone_that_it_was_first_counted_in(mesh: StatsMesh) -> None:
    mesh.accounts.zones[ACCOUNT] = "Asia/Tokyo"
    evening = datetime(2026, 11, 20, 20, tzinfo=UTC)
    await mesh.take(mesh.book.entry("FORCE_POST", 5, at=evening))
    mesh.accounts.zones[ACCOUNT] = "UTC"
    await mesh.take(mesh.book.entry("FORCE_POST", 6, at=evening))
    assert [tuple(row) for row in await mesh.rows(TOTALS, ACCOUNT)] == [(date(2026, 11, 21), 11, 0)]
    assert mesh.accounts.asked == [{ACCOUNT}]


async def test_an_account_keeps_it_also_when_another_forgets_meanwhile(mesh: StatsMesh) -> None:
    """Both shares remember in one place: who counts one of them may forget everything while the
    other looks up an account that is new to it.
    """
    mesh.accounts.zones[ACCOUNT] = "Asia/Tokyo"
    evening = datetime(2026, 11, 20, 20, tzinfo=UTC)
    for _ in range(2):
        await mesh.take(mesh.book.entry("FORCE_POST", 5, at=evening))
    mesh.accounts.zones[ACCOUNT] = "UTC"

    class Forgetting:
        def __init__(self, connection: Any) -> None:
            self.execute, self._connection = connection.execute, connection

        async def fetch(self, *query: Any) -> Any:
            rows = await self._connection.fetch(*query)
            mesh.intake._zones.clear()
            return rows

    async with mesh.pool.acquire() as connection, connection.transaction():
        entries = [
            mesh.book.entry("FORCE_POST", 1, at=evening),
            mesh.book.entry("FORCE_POST", 1, at=evening, account_id=OTHER_ACCOUNT),
        ]
        await mesh.intake.take(Forgetting(connection), entries)
    assert [tuple(row) for row in await mesh.rows(TOTALS, ACCOUNT)] == [(date(2026, 11, 21), 11, 0)]
    assert mesh.accounts.asked == [{ACCOUNT}, {OTHER_ACCOUNT}]


async def test_who_has_prepared_needs_accounts_no_more(mesh: StatsMesh) -> None:
    """What accounts has said is used once: a page that came to nothing is asked about again."""
    accounts, entry = mesh.accounts, mesh.book.entry
    accounts.zones[ACCOUNT], accounts.departments[COMPANY, USER] = "Asia/Tokyo", "dept_old"
    page = [entry("FORCE_POST", 5, at=datetime(2026, 11, 20, 20, tzinfo=UTC))]
    await mesh.intake.prepare(mesh.pool, page)
    accounts.departments[COMPANY, USER] = DEPARTMENT
    await mesh.intake.prepare(mesh.pool, page)
    accounts.down = True
    await mesh.take(*page)
    assert [tuple(row) for row in await mesh.rows(TOTALS, DEPARTMENT)] == [
        (date(2026, 11, 21), 5, 0)
    ]
    # Nothing new is needed for the next page,
    page = [entry("FORCE_POST", 6)]
    await mesh.intake.prepare(mesh.pool, page)
    await mesh.take(*page)
    # until departments may have changed.
    mesh.clock.advance(60_000)
    page = [entry("FORCE_POST", 7)]
    with pytest.raises(grpc.aio.AioRpcError):
        await mesh.intake.prepare(mesh.pool, page)
    accounts.down, accounts.departments[COMPANY, USER] = False, "dept_new"
    await mesh.intake.prepare(mesh.pool, page)
    await mesh.take(*page)
    assert [row["minor"] for row in await mesh.rows(TOTALS, "dept_new")] == [7]
    assert await mesh.rows(TOTALS, "dept_old") == []


async def test_a_member_counts_for_the_department_of_then(mesh: StatsMesh) -> None:
    member, other = (COMPANY, USER), "dept_0a" + "9" * 32
    entries = [mesh.book.entry("FORCE_POST", 10**number) for number in range(4)]
    mesh.accounts.departments[member] = DEPARTMENT
    await mesh.take(entries[0])
    mesh.accounts.departments[member] = other
    await mesh.take(entries[1])  # believed for a minute
    mesh.clock.advance(61_000)
    await mesh.take(entries[2])
    del mesh.accounts.departments[member]
    mesh.clock.advance(61_000)
    await mesh.take(entries[3])

    async def spent() -> list[int]:
        return [
            row["minor"]
            for one in (DEPARTMENT, other, COMPANY)
            for row in await mesh.rows(TOTALS, one)
        ]

    assert await spent() == [11, 100, 1_111]
    # Counted again, with what is known now, all counts where it did.
    await mesh.take(*entries, again=True)
    await same_again(mesh)


async def test_partitions_count_for_one_programme_at_the_same_time(mesh: StatsMesh) -> None:
    pages = [
        [mesh.book.entry("FORCE_POST", 1, account_id=account) for _ in range(20)]
        for account in (ACCOUNT, OTHER_ACCOUNT)
        for _ in range(5)
    ]
    await asyncio.gather(*(mesh.take(*page) for page in pages))
    assert [row["minor"] for row in await mesh.rows(TOTALS, PROGRAMME)] == [200]


async def test_random_histories_come_to_what_the_model_has(mesh: StatsMesh) -> None:
    """Goal: whatever happens, in pages of any size, days and breakdowns are what a model that
    shares no code with the fold has. Method: 400 entries on ten days of two accounts.
    """
    chance = random.Random(7)
    models, entries = {ACCOUNT: Model(), OTHER_ACCOUNT: Model()}, []
    for number in range(400):
        account = chance.choice([ACCOUNT, OTHER_ACCOUNT])
        day, amount = chance.randrange(10), chance.randrange(1, 5_000)
        kind = chance.choice(["AUTHORIZATION", "CAPTURE", "REVERSAL", "REFUND", "FEE", "DECLINE"])
        known = models[account].approved
        fields: dict[str, Any] = {}
        if kind == "AUTHORIZATION":
            fields["authorization_id"] = f"auth_{number}"
        elif kind in {"CAPTURE", "REVERSAL"} and known:
            fields["authorization_id"] = chance.choice(sorted(known))
        approved = known.get(fields.get("authorization_id", ""), (None, amount))[1]
        entries.append(
            mesh.book.entry(
                kind,
                amount,
                at=NOON + day * DAY,
                account_id=account,
                approved_minor=approved,
                **fields,
            )
        )
        models[account].take(
            movement(
                kind,
                day=day,
                number=number,
                amount_minor=amount,
                approved_minor=approved,
                **fields,
            )
        )
    while entries:
        size = chance.randrange(1, 60)
        await mesh.take(*entries[:size])
        entries = entries[size:]
    for account, model in models.items():
        rows = await mesh.rows("SELECT * FROM live_total WHERE subject_id = $1", account)
        found = {
            row["day"]: {name: value for name, value in row.items() if name in KEPT and value}
            for row in rows
        }
        assert found == {
            NOON.date() + (day - date(2026, 1, 30)): {k: v for k, v in facts.items() if v}
            for day, facts in model.facts.items()
            if any(facts.values())
        }
        cells = await mesh.rows(
            "SELECT sum(purchase_minor)::bigint AS minor FROM live_cell WHERE account_id = $1",
            account,
        )
        assert cells[0]["minor"] == sum(one["purchase_minor"] for one in model.facts.values())
    assert counted([]) == {}


KEPT = frozenset(
    f"{name}_{what}"
    for name in ("authorized", "reversed", "purchase", "refund", "fee", "declined")
    for what in ("count", "minor")
)
