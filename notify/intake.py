"""Takes events in: each once, in one order, numbered for its account.

Whoever takes events in does so in the transaction that moves its position in the source. So who
dies in between has done nothing, and nothing is taken in twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from notify.event import Incoming
from notify.notices.planner import Planner
from notify.notices.planning import Happened, is_told
from notify.notices.store import forget_preferences
from notify.payload import Told
from notify.sinks.sink import EventSink, Numbered
from notify.sinks.webhooks import WebhookDeliveries
from runtime.clock import Clock, datetime_of
from runtime.metrics import EVENTS
from runtime.queries import load_queries

_COLUMNS = (
    "id",
    "type",
    "sequence",
    "account_id",
    "owner_id",
    "user_id",
    "data",
    "create_time",
    "test",
)

_SQL = load_queries(Path(__file__).with_name("sql") / "intake.sql")


class Owners(Protocol):
    """Knows who owns accounts, and who manages companies."""

    async def owners_of(self, account_ids: Collection[str]) -> dict[str, str]:
        """The owners of those accounts that are known."""
        ...

    async def managers_of(self, company_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Who manages those companies that are known."""
        ...


class Intake:
    """Adds events on a connection, in its transaction. `owners` is asked about accounts that were
    never met before, and about managers each time; `planner` lets users be told.
    """

    def __init__(self, owners: Owners, clock: Clock, planner: Planner | None = None) -> None:
        self._owners = owners
        self._clock = clock
        self._planner = planner
        self._webhooks: EventSink = WebhookDeliveries(clock)

    async def take(self, connection: Any, incoming: Sequence[Incoming]) -> None:
        """Adds events in this order."""
        owners = await self._resolve(connection, incoming)
        happened = await self._happened(incoming, owners)
        # One at a time from here to the commit: numbers become visible in their order, and whoever
        # reads up to one has missed none below it.
        await connection.execute(_SQL["lock_intake"])
        sequences = await self._sequences(connection, incoming)
        told = [
            Told(
                id=one.id,
                type=one.event.type,
                sequence=sequence,
                account_id=one.event.account_id,
                owner_id=one.event.owner_id or owners.get(one.event.account_id, ""),
                user_id=one.event.user_id,
                data=json.dumps(one.event.data, separators=(",", ":")),
                create_time=datetime_of(one.event.time_ms),
                test=one.test,
            )
            for one, sequence in zip(incoming, sequences, strict=True)
        ]
        columns = ([getattr(one, name) for one in told] for name in _COLUMNS)
        added = await connection.fetch(_SQL["insert_events"], *columns)
        numbers = {row["id"]: row["number"] for row in added}
        await self._webhooks.take(
            connection, [Numbered(number=numbers[one.id], event=one) for one in told]
        )
        if self._planner is not None:
            await self._planner.plan(connection, happened)
        if erased := _erased(incoming):
            await forget_preferences(connection, erased)
        for one in incoming:
            EVENTS.labels(one.event.type).inc()

    async def _happened(
        self, incoming: Sequence[Incoming], owners: dict[str, str]
    ) -> list[Happened]:
        """What users are told; of what did not happen nobody is. Managers are not remembered: they
        change, and few events are for them.
        """
        if self._planner is None:
            return []
        now_ms = self._clock.now_ms()
        happened = [
            Happened(
                id=one.id,
                event=one.event,
                owner_id=one.event.owner_id or owners.get(one.event.account_id, ""),
            )
            for one in incoming
            if not one.test and is_told(one.event, now_ms=now_ms)
        ]
        company_ids = {one.owner_id for one in happened if one.is_for_managers}
        if not company_ids:
            return happened
        managers = await self._owners.managers_of(company_ids)
        return [
            replace(one, managers=managers.get(one.owner_id, ())) if one.is_for_managers else one
            for one in happened
        ]

    async def _resolve(self, connection: Any, incoming: Sequence[Incoming]) -> dict[str, str]:
        wanted = {
            one.event.account_id
            for one in incoming
            if one.event.account_id and not one.event.owner_id
        }
        if not wanted:
            return {}
        rows = await connection.fetch(_SQL["select_owners"], list(wanted))
        known = {row["account_id"]: row["owner_id"] for row in rows}
        if missing := wanted - known.keys():
            found = await self._owners.owners_of(missing)
            await connection.execute(_SQL["insert_owners"], list(found), list(found.values()))
            known |= found
        return known

    async def _sequences(self, connection: Any, incoming: Sequence[Incoming]) -> list[int]:
        """The next numbers of each account."""
        counts: dict[str, int] = {}
        for one in incoming:
            counts[one.key] = counts.get(one.key, 0) + 1
        rows = await connection.fetch(
            _SQL["advance_sequences"], list(counts), list(counts.values())
        )
        last = {row["key"]: row["last"] - counts[row["key"]] for row in rows}
        found = []
        for one in incoming:
            last[one.key] += 1
            found.append(last[one.key])
        return found


def _erased(incoming: Sequence[Incoming]) -> list[str]:
    """Of whom nothing personal is left."""
    return [
        one.event.user_id
        for one in incoming
        if one.event.type == "user.erased" and one.event.user_id and not one.test
    ]
