"""The gate: in doubt it refuses, says why, and opens again when the doubt is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from authz import keys
from authz.gate import Gate
from authz.ledger_store import LedgerStore, PartitionRow
from runtime import pipe
from runtime.errors import Unavailable
from runtime.wire import connect
from tests.authz_checks import approved, refused
from tests.authz_mesh import AuthzMesh, purchase, until_serving

TAG = "0a"
Change = Callable[[AuthzMesh], Awaitable[object]]


async def _look(mesh: AuthzMesh, gate: Gate | None = None) -> tuple[str, str]:
    """Reason and message of a refusal; empty if the gate opens."""
    settings = mesh.settings
    store = LedgerStore(settings)
    connection = await connect(
        settings, settings.redis_url or "", server="valkey-money", user="authz"
    )
    try:
        await (gate or Gate(settings, store)).inspect(connection)
    except Unavailable as error:
        return error.reason, error.message
    finally:
        connection.close()
        await store.close()
    return "", ""


@asynccontextmanager
async def _kept(mesh: AuthzMesh, *names: str) -> AsyncIterator[None]:
    """Puts keys back as they were."""
    before = {name: await mesh.money.dump(name) for name in names}
    try:
        yield
    finally:
        for name, content in before.items():
            await mesh.money.delete(name)
            if content is not None:
                await mesh.money.restore(name, 0, content)


async def _traffic(mesh: AuthzMesh) -> None:
    """Three settled entries and two that are not."""
    card = await mesh.card()
    await approved(mesh, card, 10)
    await mesh.settle()
    await approved(mesh, card, 20)
    await approved(mesh, card, 30)


async def _alter_last_settled(mesh: AuthzMesh) -> None:
    entries: list[Any] = list(await mesh.money.xrange(keys.journal(TAG)) or ())
    await mesh.money.delete(keys.journal(TAG))
    for number, (name, fields) in enumerate(entries):
        text: bytes = fields[b"e"]
        altered = text.replace(b"|10|", b"|11|") if number == 0 else text
        await mesh.money.xadd(keys.journal(TAG), {"e": altered}, id=name)


LOSSES: dict[str, Change] = {
    "VALKEY_BEHIND": lambda mesh: mesh.money.hset(keys.meta(TAG), "pseq", "2"),
    "JOURNAL_GAP": lambda mesh: mesh.money.xdel(keys.journal(TAG), "4-0"),
    "JOURNAL_DIFFERS": _alter_last_settled,
    "WRONG_EPOCH": lambda mesh: mesh.money.hset(keys.meta(TAG), "epoch", "7"),
}


async def test_opens_with_unsettled_entries(mesh: AuthzMesh) -> None:
    await _traffic(mesh)
    assert await _look(mesh) == ("", "")


@pytest.mark.parametrize("reason", LOSSES)
async def test_lost_or_altered_data_is_refused(mesh: AuthzMesh, reason: str) -> None:
    await _traffic(mesh)
    async with _kept(mesh, keys.meta(TAG), keys.journal(TAG)):
        await LOSSES[reason](mesh)
        found, message = await _look(mesh)
        assert found == reason
        assert "partition 10" in message
    assert await _look(mesh) == ("", "")


async def test_lost_partition_is_refused(mesh: AuthzMesh) -> None:
    await _traffic(mesh)
    await mesh.money.delete(keys.meta("3f"))
    assert (await _look(mesh))[0] == "WRONG_EPOCH"


async def test_lost_journal_is_refused(mesh: AuthzMesh) -> None:
    await _traffic(mesh)
    await mesh.money.delete(keys.journal(TAG))
    assert (await _look(mesh))[0] == "JOURNAL_GAP"


async def test_empty_valkey_is_refused(mesh: AuthzMesh) -> None:
    await _traffic(mesh)
    await mesh.money.flushall()
    reason, message = await _look(mesh)
    assert reason == "VALKEY_EMPTY"
    assert "holdfast rehydrate" in message


async def test_entries_that_were_answered_but_are_gone_are_refused(mesh: AuthzMesh) -> None:
    """Not settled, so the ledger does not miss them: the worker that answered them does."""
    await _traffic(mesh)
    gate = mesh.worker.gate
    assert gate.seen[10] == 5
    async with _kept(mesh, keys.meta(TAG)):
        await mesh.money.hset(keys.meta(TAG), "pseq", "4")
        assert (await _look(mesh))[0] == ""
        assert (await _look(mesh, gate))[0] == "VALKEY_BEHIND"


async def test_uninitialised_ledger_is_refused(mesh: AuthzMesh) -> None:
    await mesh.ledger.execute("UPDATE installation SET initialised = false")
    assert "is the settler running" in (await _look(mesh))[1]


@asynccontextmanager
async def _configured(mesh: AuthzMesh, name: str, value: str) -> AsyncIterator[None]:
    """Changes the configuration of the shared server for a moment."""
    before = (await mesh.money.config_get(name))[name]
    await mesh.money.config_set(name, value)
    try:
        yield
    finally:
        await mesh.money.config_set(name, before or "")
        for _ in range(500):
            if not (await mesh.money.info("persistence"))["aof_rewrite_in_progress"]:
                break
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("maxmemory-policy", "allkeys-lru"),
        ("maxmemory-policy", "volatile-ttl"),
        ("appendfsync", "everysec"),
        ("appendfsync", "no"),
        ("appendonly", "no"),
    ],
)
async def test_configuration_that_loses_money_is_refused(
    mesh: AuthzMesh, name: str, value: str
) -> None:
    async with _configured(mesh, name, value):
        reason, message = await _look(mesh)
        assert reason == "VALKEY_NOT_TRUSTED"
        assert name in message
        assert repr(value) in message
    assert await _look(mesh) == ("", "")


async def test_replica_is_refused(mesh: AuthzMesh) -> None:
    await mesh.money.replicaof("127.0.0.1", "1")
    try:
        assert await _look(mesh) == ("VALKEY_NOT_TRUSTED", "Valkey is read-only (a replica)")
    finally:
        await mesh.money.replicaof("NO", "ONE")
    assert await _look(mesh) == ("", "")


async def test_doubt_at_run_time_closes_the_gate_and_its_end_opens_it(
    mesh: AuthzMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe, "RECONNECT_S", 0.01)
    card = await mesh.card()
    async with _configured(mesh, "maxmemory-policy", "allkeys-lru"):
        await mesh.worker.watch.look()
        await _until_not_serving(mesh)
        for _ in range(50):
            error = await refused(mesh.authorization.Authorize, purchase(card, 1))
            assert (error.code.name, error.reason) == ("UNAVAILABLE", "AUTHORIZER_NOT_READY")
            if "inspected" not in error.message:
                break
            await asyncio.sleep(0.01)
        assert "allkeys-lru" in error.message
    await until_serving(mesh.server)
    await approved(mesh, card, 1)


async def test_valkey_that_becomes_read_only_is_noticed_by_the_next_call(
    mesh: AuthzMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe, "RECONNECT_S", 0.01)
    card = await mesh.card()
    await mesh.money.replicaof("127.0.0.1", "1")
    try:
        error = await refused(mesh.authorization.Authorize, purchase(card, 1))
        assert error.code.name == "UNAVAILABLE"
        await _until_not_serving(mesh)
    finally:
        await mesh.money.replicaof("NO", "ONE")
    await until_serving(mesh.server)
    await approved(mesh, card, 1)


async def test_valkey_that_is_emptied_is_noticed_by_the_next_call(
    mesh: AuthzMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twilio, 2013: balances came back empty, and cards were charged again and again."""
    monkeypatch.setattr(pipe, "RECONNECT_S", 0.01)
    card = await mesh.card()
    await approved(mesh, card, 1)
    await mesh.settle()
    await mesh.money.flushall()
    error = await refused(mesh.authorization.Authorize, purchase(card, 1))
    assert (error.code.name, error.reason) == ("UNAVAILABLE", "WRONG_EPOCH")
    await _until_not_serving(mesh)
    error = await refused(mesh.authorization.Authorize, purchase(card, 1))
    assert "empty" in error.message or "inspected" in error.message
    assert not await mesh.money.keys("*")


async def _until_not_serving(mesh: AuthzMesh) -> None:
    for _ in range(200):
        if not mesh.server.serving:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the gate did not close")


def _without_postgres(mesh: AuthzMesh) -> Gate:
    settings = mesh.settings.model_copy(
        update={"postgres_dsn": "postgres://nobody@/none?host=/nonexistent"}
    )
    return Gate(settings, LedgerStore(settings))


async def test_without_postgresql_the_last_verdict_stands(mesh: AuthzMesh) -> None:
    await _traffic(mesh)
    gate = _without_postgres(mesh)
    assert await _look(mesh, gate) == ("", "")
    assert gate.epoch == mesh.worker.gate.epoch
    gate.seen[10] = 6
    assert (await _look(mesh, gate))[0] == "LEDGER_UNREACHABLE"


async def test_without_postgresql_and_verdict_nothing_is_served(mesh: AuthzMesh) -> None:
    await mesh.money.delete(keys.VERDICT)
    reason, message = await _look(mesh, _without_postgres(mesh))
    assert reason == "LEDGER_UNREACHABLE"
    assert "no earlier verdict" in message


@pytest.mark.parametrize("change", [{"run_id": "another life"}, {"epoch": 7}])
async def test_verdict_on_another_life_or_epoch_does_not_stand(
    mesh: AuthzMesh, change: dict[str, object]
) -> None:
    stored = json.loads(await mesh.money.get(keys.VERDICT) or b"{}")
    await mesh.money.set(keys.VERDICT, json.dumps(stored | change))
    assert (await _look(mesh, _without_postgres(mesh)))[0] == "LEDGER_UNREACHABLE"


class _BusyLedger(LedgerStore):
    """Something happens just before or just after the ledger is read."""

    def __init__(self, mesh: AuthzMesh, *, before: Change | None, after: Change | None) -> None:
        super().__init__(mesh.settings)
        self._mesh = mesh
        self._before = before
        self._after = after

    async def partitions(self) -> list[PartitionRow]:
        if self._before is not None:
            await self._before(self._mesh)
        rows = await super().partitions()
        after, self._after = self._after, None
        if after is not None:
            await after(self._mesh)
        return rows


async def _spend_and_settle(mesh: AuthzMesh) -> None:
    await approved(mesh, await mesh.card(), 1)
    await mesh.settle()


async def test_settling_meanwhile_is_no_loss(mesh: AuthzMesh) -> None:
    """Other workers and the settler go on while one inspects: neither order may look like a lost
    entry or a gap.
    """
    await _traffic(mesh)
    for before, after in ((_spend_and_settle, None), (None, _spend_and_settle)):
        ledger = _BusyLedger(mesh, before=before, after=after)
        assert await _look(mesh, Gate(mesh.settings, ledger)) == ("", "")
        await ledger.close()
