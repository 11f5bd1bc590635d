"""`holdfast reconcile`: what accounts has decided against what the authorizer was told."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from authz import keys
from authz.reconcile import Difference
from authz.reconcile_flow import Books
from holdfast.accounts.v1 import card_pb2, card_service_pb2
from runtime.cli.reconcile import reconcile
from runtime.cli.reconcile_configuration import reconcile_configuration
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.e2e.cli.conftest import Cardholder, purchase
from tests.e2e.cli.test_reconcile import ledger, valkey

__all__ = ["ledger", "valkey"]


async def _found(stack: Devstack) -> list[Difference]:
    found: list[Difference] = []
    assert await reconcile_configuration(stack.settings, on_difference=found.append) == len(found)
    return found


async def test_nothing_differs_while_cards_change(
    mesh: MeshClient, cardholder: Cardholder, full_mesh: Devstack
) -> None:
    """Goal: a change that is under way is no difference. Method: a card is frozen and unfrozen
    without a pause during three comparisons.
    """
    stop = asyncio.Event()

    async def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            fields = {"request_id": f"{cardholder.card_id}-{number}", "card_id": cardholder.card_id}
            await mesh.cards.FreezeCard(card_service_pb2.FreezeCardRequest(**fields), timeout=10)
            fields["request_id"] += "-u"
            await mesh.cards.UnfreezeCard(
                card_service_pb2.UnfreezeCardRequest(**fields), timeout=10
            )

    task = asyncio.create_task(change())
    for _ in range(3):
        assert await _found(full_mesh) == []
    stop.set()
    await task


@pytest.mark.parametrize(
    "change",
    [
        ("card", "state", "3"),
        ("card", "v", "9"),
        ("card", "exp", "1"),
        ("card", "user", "usr_0a" + "1" * 32),
        ("card", "ctl", "\n"),
        ("account", "state", "4"),
        ("account", "limit", "1"),
        ("account", "own", "usr_0a" + "1" * 32),
    ],
)
async def test_configuration_that_was_tampered_with(
    cardholder: Cardholder, valkey: Redis, full_mesh: Devstack, change: tuple[str, str, str]
) -> None:
    """Goal: any field of an account or card that is not what accounts decided is found."""
    kind, field, value = change
    card, account = cardholder.card_id, cardholder.account_id
    key = keys.card(card) if kind == "card" else keys.account(account)
    before: Any = await valkey.hget(key, field)
    await valkey.hset(key, field, value)
    found = await _found(full_mesh)
    await (valkey.hdel(key, field) if before is None else valkey.hset(key, field, before))
    (one,) = found
    assert (one.subject, one.field) == (card if kind == "card" else account, field)
    assert one.compared == "Valkey / accounts"
    assert await _found(full_mesh) == []


async def test_a_card_that_the_authorizer_lacks(
    cardholder: Cardholder, valkey: Redis, full_mesh: Devstack
) -> None:
    key = keys.card(cardholder.card_id)
    raw: Any = await valkey.dump(key)
    await valkey.delete(key)
    found = await _found(full_mesh)
    await valkey.restore(key, 0, raw)
    assert {one.subject for one in found} == {cardholder.card_id}
    assert {one.found for one in found} == {"absent"}


@pytest.mark.parametrize("kind", ["account", "card", "account_user", "rules"])
async def test_what_only_the_authorizer_has(valkey: Redis, full_mesh: Devstack, kind: str) -> None:
    """Goal: what accounts never decided is found, once, whatever it is."""
    account, user = "acct_0a" + "7" * 32, "usr_0a" + "7" * 32
    name, key = {
        "account": (account, keys.account(account)),
        "card": ("card_0a" + "7" * 32, keys.card("card_0a" + "7" * 32)),
        "account_user": (f"{account} {user}", keys.account_user(account, user)),
        "rules": ("prog_unheard_of", keys.rules("0a", "prog_unheard_of")),
    }[kind]
    await valkey.hset(key, "v", "1")
    found = await _found(full_mesh)
    await valkey.delete(key)
    (one,) = found
    assert (one.subject, one.field, one.found) == (name, kind, "present")
    assert one.expected == "absent in accounts"


async def test_an_account_and_a_card_that_only_accounts_has(
    cardholder: Cardholder, full_mesh: Devstack
) -> None:
    """Goal: what never reached the authorizer is found. Method: rows whose outbox is empty."""
    account, card = f"acct_0a{uuid.uuid4().hex}", f"card_0a{uuid.uuid4().hex}"
    connection = await asyncpg.connect(full_mesh.owner_dsn)
    try:
        for table, old, new in (
            ("account", cardholder.account_id, account),
            ("card", cardholder.card_id, card),
        ):
            await connection.execute(
                f"INSERT INTO accounts.{table} SELECT (jsonb_populate_record(t, $2::jsonb)).*"
                f" FROM accounts.{table} t WHERE id = $1",
                old,
                json.dumps({"id": new, "replaces_card_id": None}),
            )
        found = await _found(full_mesh)
    finally:
        for table, name in (("card", card), ("account", account)):
            await connection.execute(f"DELETE FROM accounts.{table} WHERE id = $1", name)
        await connection.close()
    assert {one.subject for one in found} == {account, card}
    assert {one.found for one in found} == {"absent"}


async def test_marks_and_lines_that_are_wrong(
    mesh: MeshClient,
    cardholder: Cardholder,
    valkey: Redis,
    ledger: asyncpg.Connection,
    full_mesh: Devstack,
) -> None:
    """Goal: a used single-use card that is not marked, one marked that was not used, and a line
    without its entry are each found.
    """
    cards = []
    for number in range(2):
        request = card_service_pb2.IssueCardRequest(
            request_id=f"{cardholder.card_id}-single-{number}",
            account_id=cardholder.account_id,
            kind=card_pb2.Card.KIND_SINGLE_USE,
        )
        cards.append((await mesh.cards.IssueCard(request, timeout=10)).card.id)
    used, fresh = cards
    await purchase(mesh, used, 100)

    async def compared() -> tuple[Books, set[tuple[str, str]]]:
        found: list[Difference] = []
        books = await reconcile(full_mesh.settings, settle_timeout_s=10, on_difference=found.append)
        return books, {(one.subject, one.field) for one in found}

    assert (await compared())[1] == set()
    await valkey.hdel(keys.learned(used), "used")
    await valkey.hset(keys.learned(fresh), "used", "1")
    assert (await compared())[1] == {(used, "used"), (fresh, "used")}
    await valkey.hset(keys.learned(used), "used", "1")
    await valkey.hdel(keys.learned(fresh), "used")
    assert (await compared())[0].differences == 0
