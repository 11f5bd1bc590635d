"""Valkey rebuilt from the ledger is the Valkey that was: key by key, after everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from authz import keys, rehydrate
from authz.reconcile import Difference
from authz.reconcile_flow import Reconciler
from authz.reconcile_store import ReconcileStore
from authz.rehydrate import Options, RehydrateRefusedError, Rehydration, Report
from authz.rehydrate_store import gate_is_open, open_store
from authz.windows import MARGIN_MS
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls
from tests import authz_controls as controls
from tests.authz_checks import approved, balance, refused
from tests.authz_mesh import NETWORK, AuthzMesh, capture_of, purchase, reversal_of
from tests.authz_traffic import Traffic

FORCE = Options(force=True)
#: Real time goes by while the clock of the mesh stands.
TTL_SLACK_MS = 120_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody serves meanwhile, unless a test says so."""
    monkeypatch.setattr(rehydrate, "NOTICE_S", 0.0)


async def let_go(mesh: AuthzMesh) -> None:
    """The settler of these tests shares only when it is told to."""
    await mesh.ledger.execute("SELECT pg_advisory_unlock_all()")
    mesh.settler._owned.clear()


async def rehydrated(
    mesh: AuthzMesh,
    options: Options = Options(),  # noqa: B008
    on_partition: Callable[[int], None] = lambda _: None,
) -> Report:
    """One rebuilding, and a worker that serves from it."""
    await let_go(mesh)
    async with open_store(mesh.settings) as store:
        report = await Rehydration(
            store,
            mesh.settings,
            clock=mesh.clock,
            options=options,
            healthy=lambda: gate_is_open(mesh.settings),
            on_partition=on_partition,
        ).run()
    await until_epoch(mesh, report.epoch)
    return report


async def until_epoch(mesh: AuthzMesh, epoch: int) -> None:
    for _ in range(500):
        if mesh.worker.gate.epoch == epoch and mesh.server.serving:
            return
        mesh.worker.pipe.reopen()
        await asyncio.sleep(0.02)
    raise AssertionError("the worker did not take the new epoch")


@dataclass(frozen=True)
class Kept:
    """A key's content as people compare it, and how long it has to live."""

    content: Any
    ttl_ms: int


async def contents(money: Redis) -> dict[str, Kept]:
    """Every key that lasts. The order of a hash's fields is nobody's business."""
    found: dict[str, Kept] = {}
    async for key in money.scan_iter(count=1000):
        found_type: Any = await money.type(key)
        kind = found_type.decode()
        content: Any
        if kind == "hash":
            content = await money.hgetall(key)
        elif kind == "string":
            content = await money.get(key)
        elif kind == "zset":
            members: Any = await money.zrange(key, 0, -1, withscores=True)
            content = dict(members)
        else:
            content = await money.xrange(key)
        found[key.decode()] = Kept(content, await money.pttl(key))
    for name in (keys.VERDICT, keys.SWEEPER):
        found.pop(name, None)
    return found


def same(before: dict[str, Kept], after: dict[str, Kept]) -> None:
    """Everything agrees but for the epoch, settled entries, and the rounding of lifetimes."""
    assert after.keys() == before.keys()
    for key, kept in before.items():
        found = after[key]
        if key.endswith(":meta"):
            epochs = found.content[b"epoch"], kept.content[b"epoch"]
            assert epochs[0] != epochs[1], key
            assert found.content == kept.content | {b"epoch": epochs[0]}, key
        elif key.endswith(":journal"):
            assert found.content == kept.content[-1:], key
        else:
            assert found.content == kept.content, key
        assert (found.ttl_ms < 0) == (kept.ttl_ms < 0), (key, found, kept)
        assert abs(found.ttl_ms - kept.ttl_ms) <= TTL_SLACK_MS, (key, found, kept)


async def reconciled(mesh: AuthzMesh) -> list[Difference]:
    """What the books differ in, everything settled."""
    await mesh.settle()
    differences: list[Difference] = []
    store = ReconcileStore(mesh.money, mesh.ledger)
    await Reconciler(
        store, clock=mesh.clock, settle_timeout_s=0, on_difference=differences.append
    ).run()
    return differences


async def forget_aliases(mesh: AuthzMesh) -> None:
    """A clearing that came again under another request id left that id's record and no entry: the
    one thing that only Valkey knows. The clearing's own record answers it just the same.
    """
    known = set()
    for row in await mesh.ledger.fetch(
        "SELECT partition, principal, request_id FROM journal_entry"
    ):
        tag = keys.TAGS[row["partition"]]
        known.add(keys.request(tag, row["principal"], row["request_id"]))
    async for key in mesh.money.scan_iter(match="*:req:*", count=1000):
        if key.decode() not in known:
            await mesh.money.delete(key)


def limits_that_ended(traffic: Traffic, before: dict[str, Kept]) -> set[str]:
    """Windows of limits that were replaced: nobody asks for them any more, so they stay away."""
    since = {name.partition("_")[2]: str(ms) for name, ms in traffic.since_ms.items()}
    ended = set()
    for key in before:
        if ":win:" in key:
            _, _, subject, _, counting_since = key.split(":")
            if subject.startswith("p"):
                goes_on = traffic.rules.HasField(
                    "card_controls" if subject[1] == "c" else "account_controls"
                )
            else:
                goes_on = subject.startswith("u") or since[subject[1:]] == counting_since
            if not goes_on:
                ended.add(key)
    return ended


async def lasting(mesh: AuthzMesh, traffic: Traffic) -> dict[str, Kept]:
    """What a rebuilding brings back."""
    found = await contents(mesh.money)
    ended = limits_that_ended(traffic, found)
    return {key: kept for key, kept in found.items() if key not in ended}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_key_agrees_after_random_traffic(mesh: AuthzMesh, seed: int) -> None:
    """With settled and unsettled entries, every kind of movement, in three partitions."""
    traffic = Traffic(mesh=mesh, seed=seed)
    await traffic.open()
    await traffic.run(250)
    await mesh.settle()
    await traffic.run(100)
    before = await contents(mesh.money)
    assert (await mesh.money.xlen(keys.journal("0a"))) > 1, "some entries are not settled"
    report = await rehydrated(mesh, FORCE)
    assert report.settled
    assert not report.discarded
    after = await contents(mesh.money)
    await forget_aliases(mesh)
    left = await contents(mesh.money)
    assert left.keys() == after.keys(), "no record without an entry is rebuilt"
    dropped = {key for key in before if ":req:" in key} | limits_that_ended(traffic, before)
    same({key: kept for key, kept in before.items() if key in after or key not in dropped}, after)
    kinds = {key.split(":")[1] for key in after}
    assert kinds >= {"win", "learned", "hold", "req", "clr", "pay"}, kinds
    assert any(b"merchant_id" in kept.content for key, kept in after.items() if "learned" in key)
    assert await reconciled(mesh) == []
    remembered = [key for key in before if ":recent:" in key]
    lists: Any = [before[key].content for key in remembered]
    assert {name for found in lists for name in found} == {b"declines", b"bought"}
    assert any(b",," in found.get(b"bought", b"") for found in lists), "something was given back"
    learned: Any = [before[key].content for key in before if ":learned:" in key]
    assert any(b"abroad" in found for found in learned)
    for name in ("Authorize", "CaptureAuthorization", "Refund", "CreditPayment", "ForcePost"):
        assert traffic.counts[name], traffic.counts


async def test_what_limits_have_counted_is_rebuilt_while_it_can_matter(mesh: AuthzMesh) -> None:
    """Over days: yesterday's slot as long as it is kept, no older one; each key for its time. What
    was spent cannot be spent again, what is given back is given back where it was counted.
    """
    account = await mesh.open_account()
    card = mesh.ids.new("card", 10)
    limits = (
        controls.calendar("day", CalendarWindow.UNIT_DAY, 1_000),
        controls.calendar("ever", CalendarWindow.UNIT_LIFETIME, 10_000, count=6),
        controls.rolling("days", 3 * 86_400, 2_000),
    )
    await mesh.apply_card(card, account, controls=SpendControls(limits=limits, merchant_lock=True))
    purchases = []
    for minor in (400, 600, 500, 100):
        mesh.clock.advance(86_400_000)
        purchases.append(await approved(mesh, card, minor))
    await mesh.settle()
    await mesh.money.flushall()
    report = await rehydrated(mesh)
    assert report.rebuilt.windows == 3
    after = {key: kept for key, kept in (await contents(mesh.money)).items() if ":win:" in key}
    counted = {key.split(":")[3]: list(kept.content.values()) for key, kept in after.items()}
    assert counted["day"] == [b"500|1", b"100|1"]
    assert counted["ever"] == [b"1600|4"]
    assert counted["days"] == [b"400|1", b"600|1", b"500|1", b"100|1"]
    lives_ms = {key.split(":")[3]: kept.ttl_ms for key, kept in after.items()}
    today_ms = 86_400_000 - mesh.clock.now_ms() % 86_400_000
    assert lives_ms["ever"] == -1
    assert abs(lives_ms["day"] - today_ms - MARGIN_MS) < TTL_SLACK_MS
    assert 3 * 86_400_000 < lives_ms["days"] < 3 * 86_400_000 + 2 * 86_400_000
    answer = await mesh.authorization.Authorize(purchase(card, 500), metadata=NETWORK)
    assert answer.control.control_id == "card/days"
    assert answer.control.left_amount.amount_minor == 400
    for name in purchases[:2]:
        await mesh.authorization.ReverseAuthorization(reversal_of(name), metadata=NETWORK)
    await approved(mesh, card, 900)
    elsewhere = purchase(card, 1)
    elsewhere.merchant.id, elsewhere.merchant.descriptor = "m-2", "Other shop"
    answer = await mesh.authorization.Authorize(elsewhere, metadata=NETWORK)
    assert answer.control.control_id == "card/merchant_lock"
    assert await reconciled(mesh) == []


async def test_lost_valkey_is_rebuilt_and_goes_on(mesh: AuthzMesh) -> None:
    """FLUSHALL: replays are answered as before, traffic goes on, the books balance."""
    traffic = Traffic(mesh=mesh, seed=7)
    await traffic.open()
    await traffic.run(150)
    await mesh.settle()
    await mesh.money.flushall()
    report = await rehydrated(mesh)
    assert report.rebuilt.accounts == len(traffic.accounts)
    assert report.rebuilt.cards == len(traffic.cards)
    for method, request, metadata, answer in traffic.answers:
        call = method(request, metadata=metadata)
        assert await call == answer
        assert ("idempotent-replayed", "true") in tuple(await call.initial_metadata())
    await traffic.run(100)
    assert await reconciled(mesh) == []


async def test_damaged_valkey_is_rebuilt(mesh: AuthzMesh) -> None:
    """Other content, other types, keys too many: all of it is replaced."""
    traffic = Traffic(mesh=mesh, seed=11)
    await traffic.open(3)
    await traffic.run(60)
    await mesh.settle()
    await forget_aliases(mesh)
    before = await lasting(mesh, traffic)
    account = traffic.accounts[0]
    await mesh.money.hset(keys.account(account), "posted", "999999")
    await mesh.money.set(keys.card(traffic.cards[0]) + "x", "nonsense")
    await mesh.money.delete(keys.meta("0a"))
    await mesh.money.set(keys.meta("0a"), "nonsense")
    await mesh.money.hset(keys.meta("0b"), "epoch", "nonsense")
    options = Options(discard_unsettled=True)
    report = await rehydrated(mesh, options)
    assert [one.entry for one in report.discarded] == ["all"], "the epoch is told"
    same(before, await contents(mesh.money))


async def test_refused_while_workers_serve(mesh: AuthzMesh) -> None:
    """A Valkey that agrees with the ledger is left alone."""
    card = await mesh.card()
    await approved(mesh, card, 100)
    with pytest.raises(RehydrateRefusedError, match="agrees with the ledger"):
        await rehydrated(mesh)
    await approved(mesh, card, 100)


async def test_what_does_not_continue_the_ledger_is_told_and_kept(mesh: AuthzMesh) -> None:
    """A gap: what comes before it is settled, what comes after it is given up only on demand."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = [await approved(mesh, card, 100 + number) for number in range(4)]
    await mesh.money.xdel(keys.journal("0a"), "5-0")
    with pytest.raises(RehydrateRefusedError) as refusal:
        await rehydrated(mesh, FORCE)
    assert [one.entry for one in refusal.value.unsettled] == ["6-0"]
    assert refusal.value.unsettled[0].authorization_id == held[3]
    assert "entry 5 is missing" in refusal.value.unsettled[0].because
    assert await mesh.ledger.fetchval("SELECT position FROM partition WHERE partition = 10") == 4
    report = await rehydrated(mesh, Options(discard_unsettled=True))
    assert [one.amount_minor for one in report.discarded] == [103]
    assert await balance(mesh, account) == (0, 201, 100_000 - 201)
    await approved(mesh, card, 50)
    assert await reconciled(mesh) == []


async def test_lost_entries_are_told(mesh: AuthzMesh) -> None:
    """Counted, but gone from the stream's end: a loss, and a person must know."""
    card = await mesh.card()
    await approved(mesh, card, 100)
    await mesh.settle()
    for _ in range(3):
        await approved(mesh, card, 100)
    await mesh.money.xtrim(keys.journal("0a"), maxlen=0, approximate=False)
    with pytest.raises(RehydrateRefusedError) as refusal:
        await rehydrated(mesh)
    assert [one.entry for one in refusal.value.unsettled] == ["4 to 6"]


async def test_a_stopped_partition_starts_only_when_told(mesh: AuthzMesh) -> None:
    """What stopped it is for a person to judge."""
    card = await mesh.card()
    await approved(mesh, card, 100)
    await mesh.settle()
    await mesh.ledger.execute("UPDATE partition SET stopped_because = 'x' WHERE partition = 10")
    report = await rehydrated(mesh, FORCE)
    assert report.stopped == {10: "x"}
    await approved(mesh, card, 100)
    with pytest.raises(RehydrateRefusedError, match="partition 10 is stopped"):
        await rehydrated(mesh, FORCE)
    report = await rehydrated(mesh, Options(force=True, restart_partitions=True))
    assert report.restarted == [10]
    assert await reconciled(mesh) == []


async def test_killed_half_way_leaves_the_gate_closed(mesh: AuthzMesh) -> None:
    """Whoever dies in the middle is followed by one who begins anew."""
    traffic = Traffic(mesh=mesh, seed=5)
    await traffic.open(3)
    await traffic.run(60)
    await mesh.settle()
    await forget_aliases(mesh)
    before = await lasting(mesh, traffic)

    def die(partition: int) -> None:
        if partition == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rehydrated(mesh, FORCE, on_partition=die)
    assert not await gate_is_open(mesh.settings)
    error = await refused(mesh.authorization.Authorize, purchase(traffic.cards[0], 1))
    assert error.reason in ("WRONG_EPOCH", "VALKEY_EMPTY", "AUTHORIZER_NOT_READY")
    await mesh.settle()
    assert not await gate_is_open(mesh.settings)
    await rehydrated(mesh)
    same(before, await contents(mesh.money))
    assert await reconciled(mesh) == []


@pytest.mark.timeout(60)
async def test_in_the_middle_of_traffic(mesh: AuthzMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients and a settler go on meanwhile: whoever got an answer finds it in the ledger."""
    monkeypatch.setattr(rehydrate, "NOTICE_S", 2.0)
    account = await mesh.open_account(10_000_000)
    card = await mesh.issue_card(account)
    told: dict[str, int] = {}
    stop, done = asyncio.Event(), asyncio.Event()

    async def shop(name: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            request = purchase(card, 10 + name, f"shop-{name}-{number}")
            while True:
                with suppress(Exception):
                    answer = await mesh.authorization.Authorize(request, metadata=NETWORK)
                    break
                await asyncio.sleep(0.05)
            told[answer.authorization_id] = answer.approved_amount.amount_minor
            if number % 3 == 0:
                clearing = capture_of(answer.authorization_id, 5, f"clear-{name}-{number}")
                with suppress(Exception):
                    await mesh.authorization.CaptureAuthorization(clearing, metadata=NETWORK)

    async def settle() -> None:
        # Ends by itself: a settler that is cancelled in mid-transaction wants a new connection.
        while not done.is_set():
            await mesh.settler.share()
            for _ in range(20):
                await mesh.settler.round()
                await asyncio.sleep(0.01)

    settling = asyncio.create_task(settle())
    shopping = [asyncio.create_task(shop(name)) for name in range(4)]
    await asyncio.sleep(1.0)
    async with open_store(mesh.settings) as store:
        report = await Rehydration(
            store,
            mesh.settings,
            clock=mesh.clock,
            options=FORCE,
            healthy=lambda: gate_is_open(mesh.settings),
        ).run()
    during = len(told)
    await until_epoch(mesh, report.epoch)
    await asyncio.sleep(1.0)
    stop.set()
    await asyncio.gather(*shopping)
    assert len(told) > during, "traffic went on"
    done.set()
    await settling
    assert await reconciled(mesh) == []
    rows = await mesh.ledger.fetch(
        "SELECT id, approved_minor FROM card_authorization WHERE approved_minor > 0"
    )
    assert {row["id"]: row["approved_minor"] for row in rows} == told


async def test_nothing_to_rebuild_without_a_ledger(mesh: AuthzMesh) -> None:
    """A new installation has nothing."""
    await mesh.ledger.execute("DELETE FROM installation")
    with pytest.raises(RehydrateRefusedError, match="not initialised"):
        await rehydrated(mesh)
