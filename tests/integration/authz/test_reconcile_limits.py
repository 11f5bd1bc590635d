"""Reconciling finds what limits have counted wrongly and locks that are not the ledger's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authz import keys
from authz.reconcile import Difference
from authz.reconcile_flow import Reconciler
from authz.reconcile_store import ReconcileStore, open_store
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls
from tests import authz_controls as controls
from tests.authz_checks import approved
from tests.authz_mesh import NETWORK, AuthzMesh, capture_of, reversal_of


async def locked_card(mesh: AuthzMesh) -> str:
    """A card with wide limits of every kind, locked to the corner shop."""
    account = await mesh.open_account()
    card: str = mesh.ids.new("card", 10)
    limits = (
        controls.calendar("month", CalendarWindow.UNIT_MONTH, 90_000, count=90_000),
        controls.calendar("ever", CalendarWindow.UNIT_LIFETIME, 90_000),
        controls.rolling("minute", 60, 90_000),
    )
    await mesh.apply_card(card, account, controls=SpendControls(limits=limits, merchant_lock=True))
    return card


async def differences(mesh: AuthzMesh) -> list[Difference]:
    await mesh.settle()
    found: list[Difference] = []
    store = ReconcileStore(mesh.money, mesh.ledger)
    await Reconciler(store, clock=mesh.clock, settle_timeout_s=0, on_difference=found.append).run()
    return found


async def more(mesh: AuthzMesh, key: str, slot: str) -> None:
    await mesh.money.hset(key, slot, "301|1")


async def once_more(mesh: AuthzMesh, key: str, slot: str) -> None:
    await mesh.money.hset(key, slot, "300|2")


async def nonsense(mesh: AuthzMesh, key: str, slot: str) -> None:
    await mesh.money.hset(key, slot, "nonsense")


async def nothing(mesh: AuthzMesh, key: str, slot: str) -> None:
    await mesh.money.delete(key)


async def invented(mesh: AuthzMesh, key: str, slot: str) -> None:
    await mesh.money.hset(key, str(int(slot) + 1), "1|0")


@pytest.mark.parametrize("damage", [more, once_more, nonsense, nothing, invented])
async def test_a_window_that_is_wrong(
    mesh: AuthzMesh, damage: Callable[[AuthzMesh, str, str], Awaitable[None]]
) -> None:
    card = await locked_card(mesh)
    await approved(mesh, card, 300)
    assert await differences(mesh) == []
    found = [key.decode() async for key in mesh.money.scan_iter(match="*:win:*:month:*")]
    (key,) = found
    slots: Any = await mesh.money.hkeys(key)
    slot = slots[0].decode()
    await damage(mesh, key, slot)
    (one,) = await differences(mesh)
    assert (one.subject, one.compared) == (key, "Valkey / authorizations")
    assert one.found != one.expected
    if damage is not invented:
        assert (one.field, one.expected) == (f"slot {slot}", "300|1")


async def test_what_no_longer_counts_is_not_compared(mesh: AuthzMesh) -> None:
    """Valkey forgets old slots when it likes."""
    card = await locked_card(mesh)
    await approved(mesh, card, 300)
    mesh.clock.advance(40 * 86_400_000)
    async for key in mesh.money.scan_iter(match="*:win:*:m*"):
        await mesh.money.delete(key)
    assert await differences(mesh) == []


async def test_a_lock_that_is_wrong(mesh: AuthzMesh) -> None:
    card = await locked_card(mesh)
    key = keys.learned(card)
    await mesh.money.hset(key, mapping={"merchant_id": "m-9", "merchant_name": ""})
    (one,) = await differences(mesh)
    assert (one.subject, one.found, one.expected) == (card, "m-9 / ", "absent")
    await mesh.money.delete(key)
    await approved(mesh, card, 300)
    assert await differences(mesh) == []
    await mesh.money.hset(key, "merchant_id", "m-9")
    (one,) = await differences(mesh)
    assert (one.found, one.expected) == ("m-9 / corner shop", "m-1 / corner shop")
    await mesh.money.delete(key)
    (one,) = await differences(mesh)
    assert (one.field, one.found) == ("merchant_lock", "absent")


@pytest.mark.timeout(60)
async def test_traffic_is_no_difference(mesh: AuthzMesh) -> None:
    """Windows that change without a pause, authorized, captured and given back, agree all along."""
    cards = [await locked_card(mesh) for _ in range(3)]
    for card in cards:
        await approved(mesh, card, 100)
    stop = asyncio.Event()

    async def shop(card: str) -> None:
        while not stop.is_set():
            first, second = await approved(mesh, card, 7), await approved(mesh, card, 5)
            mesh.clock.advance(40)
            capture = capture_of(first, 3, final=True)
            await mesh.authorization.CaptureAuthorization(capture, metadata=NETWORK)
            await mesh.authorization.ReverseAuthorization(reversal_of(second), metadata=NETWORK)

    async def settle() -> None:
        while not stop.is_set():
            await mesh.settle()
            await asyncio.sleep(0.02)

    working = [asyncio.create_task(one) for one in (*map(shop, cards), settle())]
    found: list[Difference] = []
    async with open_store(mesh.settings) as store:
        for _ in range(3):
            await Reconciler(
                store, clock=mesh.clock, settle_timeout_s=10, on_difference=found.append
            ).run()
    stop.set()
    await asyncio.gather(*working)
    assert found == []
