"""The watch: what makes new authorizations stop while credit still comes back."""

from __future__ import annotations

import asyncio

import pytest

from authz import keys, watch
from runtime.errors import HoldfastError
from tests.authz_checks import UNKNOWN_CARD, approved, refused
from tests.authz_mesh import (
    NETWORK,
    OTHER_NETWORK,
    AuthzMesh,
    capture_of,
    purchase,
    reversal_of,
)

DAY_MS = 86_400_000


def _set(mesh: AuthzMesh, **settings: int) -> None:
    mesh.worker.watch._settings = mesh.settings.model_copy(update=settings)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"memory_percent": 0}, "MEMORY_NEARLY_FULL"),
        ({"unsettled_entries": 3}, "JOURNAL_TOO_LONG"),
    ],
)
async def test_limits_refuse_new_authorizations_only(
    mesh: AuthzMesh, limit: dict[str, int], reason: str
) -> None:
    card = await mesh.card()
    first, second = await approved(mesh, card, 100), await approved(mesh, card, 100)
    _set(mesh, **limit)
    await mesh.worker.watch.look()
    error = await refused(mesh.authorization.Authorize, purchase(card, 1))
    assert (error.code.name, error.reason) == ("UNAVAILABLE", reason)
    await mesh.authorization.CaptureAuthorization(capture_of(first, 100), metadata=NETWORK)
    await mesh.authorization.ReverseAuthorization(reversal_of(second), metadata=NETWORK)
    await mesh.settle()
    if reason == "MEMORY_NEARLY_FULL":
        _set(mesh)
    await mesh.worker.watch.look()
    await approved(mesh, card, 1)


async def test_journal_older_than_a_record_lives_stops_everything(mesh: AuthzMesh) -> None:
    """A record that expires before its entry is settled would let its request act twice."""
    card = await mesh.card()
    held = await approved(mesh, card, 100)
    mesh.clock.advance(DAY_MS - 3_600_000 - 1)
    await mesh.worker.watch.look()
    await approved(mesh, card, 1)
    mesh.clock.advance(1)
    await mesh.worker.watch.look()
    for method, request in (
        (mesh.authorization.Authorize, purchase(card, 1)),
        (mesh.authorization.CaptureAuthorization, capture_of(held, 1)),
        (mesh.authorization.ReverseAuthorization, reversal_of(held)),
    ):
        error = await refused(method, request)
        assert (error.code.name, error.reason) == ("UNAVAILABLE", "JOURNAL_TOO_OLD")
    await mesh.settle()
    await mesh.worker.watch.look()
    await mesh.authorization.ReverseAuthorization(reversal_of(held), metadata=NETWORK)


async def test_settled_entries_that_were_not_trimmed_are_not_old(mesh: AuthzMesh) -> None:
    """A settler that died between settling and trimming leaves them; the next one trims."""
    await approved(mesh, await mesh.card(), 100)
    content = await mesh.money.dump(keys.journal("0a"))
    await mesh.settle()
    await mesh.money.restore(keys.journal("0a"), 0, content or b"", replace=True)
    mesh.settler._owned.clear()
    await mesh.settler.share()
    assert await mesh.money.xlen(keys.journal("0a")) == 1
    mesh.clock.advance(2 * DAY_MS)
    await mesh.worker.watch.look()
    mesh.worker.watch.admit()


async def test_watch_that_fails_refuses_and_looks_again(
    mesh: AuthzMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault must not end the watch in silence."""
    card = await mesh.card()
    for number in (1, 2):
        await mesh.money.xadd(keys.journal("01"), {"e": "no entry"}, id=f"{number}-0")
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    await mesh.worker.watch.stop()
    await mesh.worker.watch.start()
    await _until(mesh, refusing=True)
    error = await refused(mesh.authorization.Authorize, purchase(card, 1))
    assert (error.code.name, error.reason) == ("UNAVAILABLE", "WATCH_FAILED")
    await mesh.money.delete(keys.journal("01"))
    await _until(mesh, refusing=False)
    await approved(mesh, card, 1)


async def _until(mesh: AuthzMesh, *, refusing: bool) -> None:
    for _ in range(200):
        try:
            mesh.worker.watch.admit()
        except HoldfastError:
            if refusing:
                return
        else:
            if not refusing:
                return
        await asyncio.sleep(0.01)
    raise AssertionError("the watch did not notice")


async def test_unknown_cards_are_capped_per_principal_and_second(mesh: AuthzMesh) -> None:
    _set(mesh, unknown_cards_per_s=3)
    for _ in range(3):
        await mesh.authorization.Authorize(purchase(UNKNOWN_CARD, 1), metadata=NETWORK)
    error = await refused(mesh.authorization.Authorize, purchase(UNKNOWN_CARD, 1))
    assert (error.code.name, error.reason) == ("RESOURCE_EXHAUSTED", "UNKNOWN_CARD_RATE")
    await mesh.authorization.Authorize(purchase(UNKNOWN_CARD, 1), metadata=OTHER_NETWORK)
    await approved(mesh, await mesh.card(), 1)
    mesh.clock.advance(1_000)
    await mesh.authorization.Authorize(purchase(UNKNOWN_CARD, 1), metadata=NETWORK)
