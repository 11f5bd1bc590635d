"""Notices and preferences in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notify.notices.kind import RULES, Channel, Kind
from notify.notices.notice import Notice, NoticeState
from notify.notices.preferences import Preferences, QuietHours
from runtime.clock import datetime_of, ms_of
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

if TYPE_CHECKING:
    import asyncpg

#: Notices that one statement forgets.
FORGET_BATCH = 5_000

_SQL = load_queries(Path(__file__).parents[1] / "sql" / "notifications.sql")


async def preferences_of(connection: Any, user_ids: Collection[str]) -> dict[str, Preferences]:
    """What users want to be told of, chosen or not."""
    rows = await connection.fetch(_SQL["select_preferences"], list(user_ids))
    found = {row["user_id"]: _preferences(row) for row in rows}
    return {one: found.get(one) or Preferences(user_id=one) for one in user_ids}


async def locked_preferences(connection: Any, user_id: str) -> Preferences:
    """What a user wants; nobody changes it until the end of the transaction."""
    await connection.execute(_SQL["lock_preferences"], user_id)
    return (await preferences_of(connection, [user_id]))[user_id]


async def write_preferences(connection: Any, preferences: Preferences) -> None:
    """Writes what a user wants."""
    quiet, chosen_ms = preferences.quiet_hours, preferences.update_time_ms
    assert chosen_ms is not None, "somebody has chosen"
    choices = {kind: sorted(channels) for kind, channels in preferences.choices.items()}
    await connection.execute(
        _SQL["upsert_preferences"],
        preferences.user_id,
        json.dumps(choices),
        quiet.start if quiet else None,
        quiet.end if quiet else None,
        quiet.timezone if quiet else None,
        preferences.large_purchase_minor,
        preferences.low_credit_minor,
        preferences.max_per_hour,
        datetime_of(chosen_ms),
    )


async def forget_preferences(connection: Any, user_ids: Collection[str]) -> None:
    """Forgets what users who are erased wanted."""
    await connection.execute(_SQL["delete_preferences"], list(user_ids))


async def told_lately(
    connection: Any, user_ids: Collection[str], *, since_ms: int
) -> dict[tuple[str, Channel], int]:
    """How much users were told, by each channel."""
    rows = await connection.fetch(_SQL["count_recent"], list(user_ids), datetime_of(since_ms))
    return {(row["user_id"], Channel(row["channel"])): row["sent"] for row in rows}


async def add_notices(connection: Any, notices: Sequence[Notice]) -> None:
    """Adds notices; those that are there already stay as they are."""
    rows = [
        (
            one.id,
            one.source_id,
            str(one.kind),
            str(one.channel),
            one.user_id,
            one.topic,
            one.account_id,
            json.dumps(dict(one.data), separators=(",", ":")),
            one.secret,
            RULES[one.kind].urgent,
            str(one.state),
            str(one.reason),
            datetime_of(one.due_time_ms),
            datetime_of(one.expire_time_ms),
            datetime_of(one.create_time_ms),
            _time(one.finish_time_ms),
        )
        for one in notices
    ]
    if rows:
        await connection.execute(_SQL["insert_notices"], *map(list, zip(*rows, strict=True)))


class NoticeStore:
    """Reads notices, and says what becomes of them."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def preferences(self, user_id: str) -> Preferences:
        """What a user wants."""
        with refusing_when_down():
            return (await preferences_of(self._pool, [user_id]))[user_id]

    async def claim(self, *, now_ms: int, until_ms: int, limit: int) -> list[Notice]:
        """Takes what is due, for a while."""
        rows = await self._pool.fetch(
            _SQL["claim_notices"], datetime_of(now_ms), datetime_of(until_ms), limit
        )
        return [_notice(row) for row in rows]

    async def preferences_of(self, user_ids: Collection[str]) -> dict[str, Preferences]:
        """What users want."""
        return await preferences_of(self._pool, user_ids)

    async def finish(
        self, notice: Notice, state: NoticeState, reason: str = "", *, now_ms: int
    ) -> None:
        """Says what has become of a notice that was claimed."""
        await self._pool.execute(
            _SQL["finish_notice"],
            notice.id,
            notice.attempts,
            str(state),
            str(reason),
            datetime_of(now_ms),
        )

    async def postpone(self, notice: Notice, *, until_ms: int, attempts: int) -> None:
        """Has a notice that was claimed wait."""
        await self._pool.execute(
            _SQL["postpone_notice"], notice.id, notice.attempts, datetime_of(until_ms), attempts
        )

    async def notices(self, page: Page, user_id: str) -> list[Notice]:
        """What a user was told, newest first."""
        with refusing_when_down():
            rows = await self._pool.fetch(_SQL["list_notices"], *after(page), user_id)
        return [_notice(row) for row in rows]

    async def forget(self, *, before_ms: int) -> bool:
        """Forgets some of what is older; True if there may be more."""
        tag = await self._pool.execute(_SQL["forget_notices"], datetime_of(before_ms), FORGET_BATCH)
        return bool(tag.endswith(f" {FORGET_BATCH}"))


def _preferences(row: Any) -> Preferences:
    quiet = None
    if row["timezone"] is not None:
        quiet = QuietHours(start=row["quiet_start"], end=row["quiet_end"], timezone=row["timezone"])
    return Preferences(
        user_id=row["user_id"],
        choices={
            Kind(kind): frozenset(map(Channel, channels))
            for kind, channels in json.loads(row["choices"]).items()
        },
        quiet_hours=quiet,
        large_purchase_minor=row["large_purchase_minor"],
        low_credit_minor=row["low_credit_minor"],
        max_per_hour=row["max_per_hour"],
        update_time_ms=ms_of(row["update_time"]),
    )


def _notice(row: Any) -> Notice:
    return Notice(
        id=row["id"],
        source_id=row["source_id"],
        kind=Kind(row["kind"]),
        channel=Channel(row["channel"]),
        user_id=row["user_id"],
        topic=row["topic"],
        account_id=row["account_id"],
        data=json.loads(row["data"]),
        secret=row["secret"],
        state=NoticeState(row["state"]),
        reason=row["reason"],
        attempts=row["attempts"],
        due_time_ms=ms_of(row["due_time"]),
        expire_time_ms=ms_of(row["expire_time"]),
        create_time_ms=ms_of(row["create_time"]),
        finish_time_ms=None if row["finish_time"] is None else ms_of(row["finish_time"]),
    )


def _time(ms: int | None) -> Any:
    return None if ms is None else datetime_of(ms)
