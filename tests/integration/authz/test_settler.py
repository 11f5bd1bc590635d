"""The settler: every entry once, in order, and what contradicts the ledger stops alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from authz import keys
from authz.continuity import Standing
from authz.settle_store import PositionMovedError, SettleStore
from authz.settle_streams import Streams
from authz.settler import APPLICATION_NAME, NotInitialisableError, Settler, ended
from runtime.clock import datetime_of
from tests.authz_checks import approved, balance, by_network, network_purchase, nothing_written
from tests.authz_mesh import NETWORK, AuthzMesh, capture_of, purchase, reversal_of
from tests.databases import Database

TAG = "0a"


@asynccontextmanager
async def _settler(
    mesh: AuthzMesh, database: Database, number: int, **settings: int
) -> AsyncIterator[tuple[Settler, asyncpg.Connection]]:
    """One more settler, on connections of its own."""
    connection = await asyncpg.connect(
        database.dsn("authz"),
        server_settings={
            "search_path": "authz",
            "application_name": f"{APPLICATION_NAME}-{number}",
        },
    )
    chosen = mesh.settings.model_copy(update=settings)
    streams = await Streams.connect(chosen)
    try:
        yield Settler(chosen, SettleStore(connection), streams, clock=mesh.clock), connection
    finally:
        streams.close()
        await connection.close(timeout=1)


async def _drain(settler: Settler) -> int:
    total = 0
    while settled := await settler.round():
        total += settled
    return total


async def _stopped(mesh: AuthzMesh) -> dict[int, str]:
    rows = await mesh.ledger.fetch(
        "SELECT partition, stopped_because FROM partition WHERE stopped_because IS NOT NULL"
    )
    return {row["partition"]: row["stopped_because"] for row in rows}


async def _entries(mesh: AuthzMesh) -> list[tuple[int, int]]:
    rows = await mesh.ledger.fetch("SELECT partition, pseq FROM journal_entry ORDER BY 1, 2")
    return [(row["partition"], row["pseq"]) for row in rows]


async def _settled(mesh: AuthzMesh, count: int, *, within_s: float) -> None:
    for _ in range(int(within_s / 0.02)):
        if len(await _entries(mesh)) >= count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{count} entries were not settled within {within_s} s")


async def test_two_settlers_share_the_partitions_and_settle_each_entry_once(
    mesh: AuthzMesh, ledger: Database
) -> None:
    cards = [
        await mesh.issue_card(await mesh.open_account(partition=partition))
        for partition in range(0, 64, 8)
    ]
    async with _settler(mesh, ledger, 1) as (one, _), _settler(mesh, ledger, 2) as (two, _):
        await one.share()
        await two.share()
        assert (len(one._owned), len(two._owned)) == (32, 32)
        assert not set(one._owned) & set(two._owned)
        for card in cards:
            await approved(mesh, card, 5)
        settled = await asyncio.gather(_drain(one), _drain(two))
    assert sum(settled) == 24
    assert await _entries(mesh) == [(n, pseq) for n in range(0, 64, 8) for pseq in (1, 2, 3)]


async def test_settler_of_another_database_takes_no_share(
    mesh: AuthzMesh, ledger: Database, database: Database
) -> None:
    """Two installations on one PostgreSQL: each settler has all of its own partitions."""
    async with _settler(mesh, database, 9), _settler(mesh, ledger, 1) as (one, _):
        await one.share()
        assert len(one._owned) == 64


async def test_survivor_takes_over_from_a_dead_settler(mesh: AuthzMesh, ledger: Database) -> None:
    card = await mesh.card()
    async with _settler(mesh, ledger, 1) as (one, connection):
        async with _settler(mesh, ledger, 2) as (two, _):
            await one.share()
            await two.share()
            await approved(mesh, card, 5)
            pid = connection.get_server_pid()
            await mesh.ledger.execute("SELECT pg_terminate_backend($1, 1000)", pid)
            await two.share()
            assert len(two._owned) == 64
            assert await _drain(two) == 3
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await one.share()


@pytest.mark.parametrize("trimmed", [False, True])
async def test_who_lost_a_partition_writes_nothing(
    mesh: AuthzMesh, ledger: Database, *, trimmed: bool
) -> None:
    """Even without the lock the position decides: it moves once. What the other has trimmed is no
    gap, and stops nothing.
    """
    card = await mesh.card()
    await approved(mesh, card, 5)
    async with _settler(mesh, ledger, 1) as (stale, _):
        stale._owned = dict.fromkeys([10], (await _standing(mesh))[10])
        content = await mesh.money.dump(keys.journal(TAG))
        assert await mesh.settle() == 3
        if trimmed:
            await approved(mesh, card, 5)
        else:
            await mesh.money.restore(keys.journal(TAG), 0, content or b"", replace=True)
        with pytest.raises(PositionMovedError):
            await stale.round()
    assert await _entries(mesh) == [(10, 1), (10, 2), (10, 3)]
    assert await _stopped(mesh) == {}


async def _standing(mesh: AuthzMesh) -> dict[int, Any]:
    await mesh.settler.share()
    return dict(mesh.settler._owned)


async def test_death_between_settling_and_trimming(mesh: AuthzMesh, ledger: Database) -> None:
    await approved(mesh, await mesh.card(), 5)
    async with _settler(mesh, ledger, 1) as (one, _):

        async def die(moves: object) -> None:
            raise OSError("killed")

        await one.share()
        one._trim = die  # type: ignore[method-assign]
        with pytest.raises(OSError, match="killed"):
            await one.round()
    assert await mesh.money.xlen(keys.journal(TAG)) == 3
    assert await mesh.settle() == 0
    assert await mesh.money.xlen(keys.journal(TAG)) == 1
    assert await _entries(mesh) == [(10, 1), (10, 2), (10, 3)]


async def _gap(money: Redis) -> None:
    await money.xdel(keys.journal(TAG), "4-0")


async def _altered(money: Redis) -> None:
    await _rewrite(money, 0, lambda text: text.replace(b"|5|", b"|6|"))


async def _other_epoch(money: Redis) -> None:
    await _rewrite(money, 1, lambda text: text.replace(b"|1800000000000", b"|1800000000001", 1))


async def _no_entry(money: Redis) -> None:
    await _rewrite(money, 1, lambda _: b"rubbish")


async def _other_version(money: Redis) -> None:
    await _rewrite(money, 1, lambda text: b"9" + text[1:])


async def _other_header(money: Redis) -> None:
    await _rewrite(money, 1, lambda text: text.replace(b"\n4\t", b"\n4\tsurprise\t"))


async def _unreadable_request(money: Redis) -> None:
    await _rewrite(money, 1, lambda text: text + b"\xff\xff")


async def _rewrite(money: Redis, index: int, change: Any) -> None:
    entries: list[Any] = list(await money.xrange(keys.journal(TAG)) or ())
    await money.delete(keys.journal(TAG))
    for number, (name, fields) in enumerate(entries):
        text = change(fields[b"e"]) if number == index else fields[b"e"]
        await money.xadd(keys.journal(TAG), {"e": text}, id=name)


@pytest.mark.parametrize(
    ("damage", "because"),
    [
        (_gap, "entry 4 is missing: 5 is next"),
        (_altered, "entry 3 is not the one that was settled"),
        (_other_epoch, "entry 4 has epoch 1800000000001"),
        (_no_entry, "what follows entry 3 is no entry"),
        (_other_version, "what follows entry 3 is no entry"),
        (_other_header, "what follows entry 3 is no entry"),
        (_unreadable_request, "a request after entry 3 is unreadable"),
    ],
)
async def test_contradiction_stops_its_partition_and_no_other(
    mesh: AuthzMesh, damage: Any, because: str
) -> None:
    card = await mesh.card()
    other = await mesh.issue_card(await mesh.open_account(partition=11))
    await approved(mesh, card, 5)
    await mesh.settle()
    await approved(mesh, card, 7)
    await approved(mesh, card, 8)
    await approved(mesh, other, 9)
    await damage(mesh.money)
    assert await mesh.settle() == 1
    stopped = await _stopped(mesh)
    assert list(stopped) == [10]
    assert because in stopped[10]
    await approved(mesh, other, 9)
    assert await mesh.settle() == 1
    assert [pseq for partition, pseq in await _entries(mesh) if partition == 10] == [1, 2, 3]


async def test_partition_that_the_ledger_refuses_stops_alone(mesh: AuthzMesh) -> None:
    """A second entry with an account's seq is a contradiction that only PostgreSQL sees."""
    card = await mesh.card()
    other = await mesh.issue_card(await mesh.open_account(partition=11))
    await approved(mesh, card, 5)
    await mesh.settle()
    await mesh.ledger.execute(
        "UPDATE journal_entry SET seq = 4 WHERE partition = 10 AND seq = 3 AND pseq = 3"
    )
    await approved(mesh, card, 6)
    await approved(mesh, other, 7)
    assert await mesh.settle() == 1
    stopped = await _stopped(mesh)
    assert list(stopped) == [10]
    assert "the ledger refuses it" in stopped[10]


async def test_busy_partition_keeps_no_other_waiting(mesh: AuthzMesh, ledger: Database) -> None:
    """At most `settle_batch` entries per transaction, and each partition has its turn."""
    busy = [await mesh.issue_card(await mesh.open_account(partition=n)) for n in (0, 1)]
    quiet = await mesh.issue_card(await mesh.open_account(partition=63))
    await mesh.settle()
    await asyncio.gather(
        *(
            mesh.authorization.Authorize(purchase(busy[n % 2], 1), metadata=NETWORK)
            for n in range(100)
        )
    )
    await approved(mesh, quiet, 1)
    mesh.settler._settings = mesh.settings.model_copy(update={"settle_batch": 10})
    sizes = []
    for number in range(40):
        sizes.append(await mesh.settler.round())
        if number == 3:
            assert (63, 3) in await _entries(mesh)
    assert max(sizes) <= 10
    assert sum(sizes) == 101
    assert sizes[-1] == 0


async def test_shares_never_exceed_a_batch(mesh: AuthzMesh) -> None:
    """One hot partition has what the quiet ones leave; all of them hot share alike."""
    settler = mesh.settler
    settler._owned = dict.fromkeys(range(64), Standing(0, 1, None))
    for busy, share in ((0, 31), (1, 2047), (64, 62)):
        settler._busy = set(range(busy))
        shares = settler._shares()
        assert sum(shares.values()) <= mesh.settings.settle_batch
        assert shares[0] == share


async def test_waiting_settler_settles_one_entry_at_once_and_others_together(
    mesh: AuthzMesh, ledger: Database
) -> None:
    """Goal: quick for one, cheap for many. Method: an interval of a second, and what one
    transaction wrote has one xmin.
    """
    card = await mesh.card()
    await mesh.settle()
    await mesh.ledger.execute("SELECT pg_advisory_unlock_all()")
    async with _settler(mesh, ledger, 1, settle_interval_ms=1000) as (settler, _):
        running = asyncio.create_task(settler.run())
        try:
            await asyncio.sleep(0.3)
            assert not running.done()
            await approved(mesh, card, 5)
            await _settled(mesh, 3, within_s=0.7)
            for _ in range(3):
                await approved(mesh, card, 5)
                await asyncio.sleep(0.05)
            await _settled(mesh, 6, within_s=3)
        finally:
            await ended(running)
    written = await mesh.ledger.fetch("SELECT xmin::text FROM journal_entry ORDER BY pseq")
    assert len({row["xmin"] for row in written[3:]}) == 1


async def test_times_are_the_ledger_s_to_the_millisecond(mesh: AuthzMesh) -> None:
    mesh.clock.advance(1)
    card = await mesh.card()
    await approved(mesh, card, 5)
    await mesh.settle()
    row = await mesh.ledger.fetchrow(
        "SELECT e.recorded_time, e.effective_time, e.transaction_time, e.expire_time AS expires,"
        " a.* FROM journal_entry e JOIN card_authorization a ON a.id = e.authorization_id"
    )
    now = datetime_of(mesh.clock.now_ms())
    assert [row["recorded_time"], row["effective_time"], row["create_time"]] == [now] * 3
    hold = await mesh.worker.store.hold(row["id"])
    assert hold is not None
    assert row["transaction_time"] is None
    assert row["expire_time"] == row["expires"] > now
    assert row["expire_time"] == datetime_of(hold.expire_at_ms)


async def test_line_of_an_account_outside_the_chart_is_refused(mesh: AuthzMesh) -> None:
    await approved(mesh, await mesh.card(), 5)
    await mesh.settler.share()
    parts = await mesh.settler._read()
    batch = parts[10].batch
    account = next(iter(batch.balances))
    batch.lines.append((10, 3, 0, "pocket", account, "USD", 5))
    batch.totals[(10, "USD", "pocket")] = [5, 0]
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await mesh.settler._settle(parts)
    assert await _entries(mesh) == []


async def test_settling_again_changes_nothing(mesh: AuthzMesh) -> None:
    await approved(mesh, await mesh.card(), 5)
    await mesh.settle()
    async with nothing_written(mesh.money):
        assert await mesh.settle() == 0


async def test_another_installation_s_valkey_is_left_alone(mesh: AuthzMesh) -> None:
    await mesh.ledger.execute("UPDATE installation SET initialised = false, epoch = 7")
    await mesh.money.delete(keys.meta("00"))
    async with nothing_written(mesh.money):
        with pytest.raises(NotInitialisableError, match="another installation"):
            await mesh.settler.initialise()


async def test_initialising_twice_resets_nothing(mesh: AuthzMesh) -> None:
    """Two settlers that start together: the slower one must not set numbers back to 0."""
    await approved(mesh, await mesh.card(), 5)
    await mesh.ledger.execute("UPDATE installation SET initialised = false")
    async with nothing_written(mesh.money):
        await mesh.settler.initialise()


async def test_valkey_and_ledger_agree_after_random_traffic(mesh: AuthzMesh) -> None:
    """Goal: at equal seq both say the same of every account, and the books balance. Method: 150
    messages in random order, some before their authorization, some repeated, settled in between.
    """
    choose = random.Random(20_260_101)
    accounts = [await mesh.open_account(2_000, partition=n) for n in (0, 10, 10, 63)]
    cards = [await mesh.issue_card(account) for account in accounts]
    sent: list[Any] = []
    for number in range(150):
        card, name = choose.choice(cards), f"t{choose.randrange(12)}"
        amount = choose.randrange(1, 300)
        kind = choose.randrange(6)
        if kind == 5 and sent:
            method, request = choose.choice(sent)
        elif kind in (0, 1, 2):
            method, request = "Authorize", network_purchase(card, amount, name)
        elif kind == 3:
            final = choose.random() < 0.3
            method = "CaptureAuthorization"
            request = by_network(capture_of("", amount, final=final), card, name)
        else:
            whole = choose.random() < 0.3
            method = "ReverseAuthorization"
            request = by_network(reversal_of("", None if whole else amount), card, name)
        sent.append((method, request))
        await getattr(mesh.authorization, method)(request, metadata=NETWORK)
        if number % 40 == 39:
            await mesh.settle()
    await mesh.settle()
    rows = await mesh.ledger.fetch("SELECT * FROM account_balance")
    assert {row["account_id"] for row in rows} == set(accounts)
    for row in rows:
        kept = await mesh.worker.store.balance(row["account_id"])
        assert kept is not None
        for column in ("seq", "limit_minor", "posted_minor", "held_minor", "unreleased_minor"):
            assert getattr(kept, column) == row[column], column
        holds = await mesh.ledger.fetchval(
            "SELECT coalesce(sum(held_minor), 0) FROM card_authorization WHERE account_id = $1",
            row["account_id"],
        )
        assert holds == row["held_minor"]
        captured = await mesh.ledger.fetchval(
            "SELECT coalesce(sum(captured_minor), 0) FROM card_authorization WHERE account_id = $1",
            row["account_id"],
        )
        assert captured == row["posted_minor"]
        posted, held, _ = await balance(mesh, row["account_id"])
        assert (posted, held) == (row["posted_minor"], row["held_minor"])
    for row in await mesh.ledger.fetch("SELECT * FROM card_authorization"):
        hold = await mesh.worker.store.hold(row["id"])
        assert hold is not None
        assert (hold.approved_minor, hold.reversed_minor, hold.captured_minor, hold.flags) == (
            row["approved_minor"],
            row["reversed_minor"],
            row["captured_minor"],
            row["flags"],
        )
    await _books_balance(mesh)


async def _books_balance(mesh: AuthzMesh) -> None:
    unbalanced = await mesh.ledger.fetch(
        "SELECT partition, pseq FROM journal_line GROUP BY 1, 2 HAVING sum(amount_minor) <> 0"
    )
    assert unbalanced == []
    totals = await mesh.ledger.fetch(
        """SELECT partition, ledger_account, debit_minor - credit_minor AS net FROM ledger_total
           ORDER BY 1, 2"""
    )
    lines = await mesh.ledger.fetch(
        """SELECT partition, ledger_account, sum(amount_minor) AS net FROM journal_line
           GROUP BY 1, 2 ORDER BY 1, 2"""
    )
    assert [tuple(row) for row in totals] == [tuple(row) for row in lines]
    gaps = await mesh.ledger.fetch(
        """SELECT partition FROM journal_entry GROUP BY 1
           HAVING max(pseq) <> count(*) OR min(pseq) <> 1"""
    )
    assert gaps == []
    gaps = await mesh.ledger.fetch(
        """SELECT account_id FROM journal_entry WHERE account_id IS NOT NULL GROUP BY 1
           HAVING max(seq) <> count(*) OR min(seq) <> 1"""
    )
    assert gaps == []
