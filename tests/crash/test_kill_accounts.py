"""kill -9 of accounts amid changes loses none, does none twice, and heals by itself.

Goal: after a restart PostgreSQL and the authorizer say the same of every account and card, every
card was replaced once, and an account that was closing is closed. Method: a whole mesh; clients
change accounts and cards, repeating a request with its id until it is answered, while accounts is
killed again and again, each time when it has answered again; then `holdfast reconcile`'s own
comparison.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from authz.reconcile import Difference
from holdfast.accounts.v1 import account_lifecycle_pb2 as life
from holdfast.accounts.v1 import account_pb2, card_pb2
from holdfast.accounts.v1 import account_service_pb2 as accounts
from holdfast.accounts.v1 import card_lifecycle_pb2 as card_life
from holdfast.accounts.v1 import card_service_pb2 as cards
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from runtime.cli.reconcile_configuration import reconcile_configuration
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.authz_mesh import purchase
from tests.crash.test_kill import Book, answered, client, open_books, stack
from tests.databases import connected

__all__ = ["client", "stack"]


async def _recovered(stack: Devstack, client: MeshClient, book: Book) -> None:
    """Waits until callers are answered again: being ready is a moment earlier, and killed in that
    moment, again and again, it would be down for as long as all its starts take.
    """
    await stack.wait_ready()
    asked = accounts.GetAccountRequest(account_id=book.account_id)
    await answered(lambda: client.accounts.GetAccount(asked), Counter())


async def _live(
    client: MeshClient, book: Book, name: str, stop: asyncio.Event, unknown: Counter[str]
) -> str:
    """Freezes, unfreezes and replaces cards of an account; at last it closes it. Returns the last
    card.
    """
    card_id, number = book.card_id, 0
    while not stop.is_set():
        number += 1
        ask = {"request_id": f"{name}-f-{number}", "card_id": card_id}
        freeze = cards.FreezeCardRequest(**ask)
        await answered(lambda r=freeze: client.cards.FreezeCard(r), unknown)  # type: ignore[misc]
        declined = await client.network.Authorize(purchase(card_id, 1, f"{name}-p-{number}"))
        assert declined.decline_reason == reasons.DECLINE_REASON_CARD_FROZEN, "answered: frozen"
        ask["request_id"] = f"{name}-r-{number}"
        replace = card_life.ReplaceCardRequest(**ask, reason=card_life.REPLACEMENT_REASON_STOLEN)
        new = await answered(lambda r=replace: client.cards.ReplaceCard(r), unknown)  # type: ignore[misc]
        assert new.card.replaces_card_id == card_id
        assert new.card.state == card_pb2.Card.STATE_FROZEN, "as the one before"
        card_id = new.card.id
        ask = {"request_id": f"{name}-u-{number}", "card_id": card_id}
        unfreeze = cards.UnfreezeCardRequest(**ask)
        await answered(lambda r=unfreeze: client.cards.UnfreezeCard(r), unknown)  # type: ignore[misc]
    close = life.CloseAccountRequest(request_id=f"{name}-close", account_id=book.account_id)
    await answered(lambda: client.accounts.CloseAccount(close), unknown)
    return card_id


@pytest.mark.timeout(180)
async def test_accounts_killed_again_and_again(stack: Devstack, client: MeshClient) -> None:
    books = await open_books(client, "accounts")
    stop, unknown = asyncio.Event(), Counter[str]()
    lives = [
        asyncio.create_task(_live(client, book, f"life-{number}", stop, unknown))
        for number, book in enumerate(books)
    ]
    for pause_s in (0.4, 0.23, 0.61, 0.5):
        await asyncio.sleep(pause_s)
        stack.kill("accounts")
        await _recovered(stack, client, books[0])
    await asyncio.sleep(0.3)
    stop.set()
    await asyncio.sleep(0.05)
    stack.kill("accounts")
    await _recovered(stack, client, books[0])
    last = await asyncio.gather(*lives)
    assert unknown, "the kills must have been felt, or the test shows nothing"
    deadline = time.monotonic() + 30
    for book in books:
        asked = accounts.GetAccountRequest(account_id=book.account_id)
        while (state := (await client.accounts.GetAccount(asked)).account.state) != (
            account_pb2.Account.STATE_CLOSED
        ):
            assert time.monotonic() < deadline, account_pb2.Account.State.Name(state)
            await asyncio.sleep(0.1)
    found: list[Difference] = []
    await reconcile_configuration(stack.settings, on_difference=found.append)
    assert found == []
    async with connected(stack.owner_dsn) as connection:
        await connection.execute("SET search_path TO accounts")
        twice = await connection.fetch(
            "SELECT replaces_card_id FROM card WHERE replaces_card_id IS NOT NULL"
            " GROUP BY 1 HAVING count(*) > 1"
        )
        lines = await connection.fetch(
            "SELECT root_card_id, count(*) FILTER (WHERE state = 'ACTIVE') AS usable FROM card"
            " WHERE root_card_id = ANY($1) GROUP BY 1",
            [book.card_id for book in books],
        )
        history = await connection.fetchval(
            "SELECT count(*) FROM (SELECT subject_id, user_id, version FROM change"
            " GROUP BY 1, 2, 3 HAVING count(*) > 1) AS again"
        )
    assert twice == []
    assert {row["usable"] for row in lines} == {1}
    assert history == 0, "every version is recorded once"
    for card_id in last:
        found_card = await client.cards.GetCard(cards.GetCardRequest(card_id=card_id))
        assert found_card.card.state == card_pb2.Card.STATE_ACTIVE
