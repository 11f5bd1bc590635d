"""Hands everything to the outbox again, a page at a time, and keeps how far that is."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from accounts import projector, rows
from runtime import outbox
from runtime.outbox import Message
from runtime.queries import load_queries

#: Objects that one transaction hands to the outbox again.
PROJECTION_PAGE = 100

_SQL = load_queries(Path(__file__).with_name("sql") / "projection.sql")


class _Step(NamedTuple):
    """Objects of one kind, in the order of their places."""

    query: str
    message: Callable[[Any], Message]


#: Accounts before their users and cards; the rules that bind them all first.
_STEPS = (
    _Step("list_rules", lambda row: projector.rules_message(rows.rules(row))),
    _Step("list_accounts_by_id", lambda row: projector.account_message(rows.account(row))),
    _Step("list_account_users", lambda row: projector.account_user_message(rows.account_user(row))),
    _Step("list_cards_by_id", lambda row: projector.card_message(rows.card(row))),
)


_UNKNOWN = {
    projector.ACCOUNT_TOPIC: "unknown_accounts",
    projector.CARD_TOPIC: "unknown_cards",
    projector.ACCOUNT_USER_TOPIC: "unknown_account_users",
    projector.RULES_TOPIC: "unknown_rules",
}

#: Kinds of objects, in the order in which they are projected.
STEPS = len(_STEPS)


class Page(NamedTuple):
    """Objects as the authorizer should have them, and the place of the last one."""

    messages: list[Message]
    last_place: str


async def read_page(connection: Any, step: int, after_place: str) -> Page:
    """The next objects of a kind; none at its end."""
    found = await connection.fetch(_SQL[_STEPS[step].query], after_place, PROJECTION_PAGE)
    messages = [
        _STEPS[step].message({name: value for name, value in row.items() if name != "place"})
        for row in found
    ]
    return Page(messages, found[-1]["place"] if found else after_place)


async def unknown(connection: Any, topic: str, names: Collection[str]) -> list[str]:
    """Which of these objects are not here; a user of an account by both ids."""
    found = await connection.fetch(_SQL[_UNKNOWN[topic]], list(names))
    return [row["name"] for row in found]


class ProjectionStore:
    """The row that says which epoch everything was projected to, and how far."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def begin(self, epoch: int) -> bool:
        """True if the epoch is a new one: from now on everything is to be projected again."""
        return await self._pool.fetchval(_SQL["begin_projection"], epoch) is not None

    async def unfinished(self) -> bool:
        """True while not everything is handed to the outbox again."""
        return await self._pool.fetchval(_SQL["read_projection"]) is not None

    async def append_page(self) -> None:
        """Hands the next objects to the outbox again.

        None is locked: a change that is under way brings its own, higher version.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            standing = await connection.fetchrow(_SQL["lock_projection"])
            if standing["step"] is None:
                return
            step: int = standing["step"]
            page = await read_page(connection, step, standing["after_place"])
            for message in page.messages:
                await outbox.append(connection, message)
            following = step + 1 if step + 1 < len(_STEPS) else None
            move = (step, page.last_place) if page.messages else (following, "")
            await connection.execute(_SQL["move_projection"], *move)
