"""Delivers webhooks. One process does; if it goes, another takes over.

A short queue for each endpoint (`lane.py`) is filled from PostgreSQL by one query for all of them,
and what becomes of attempts is written in batches. Who dies in between sends again what was under
way: endpoints are told at least once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from notify.delivery_store import Deliveries, Due, Result
from notify.endpoint import (
    DeliveryState,
    Endpoint,
    EndpointState,
    due_again_ms,
    has_failed_too_long,
)
from notify.event import Incoming
from notify.intake import Intake
from notify.lane import Lane
from notify.payload import body_of
from notify.secrets import Secrets
from notify.sender import NOT_SENT, Answer, Sender
from runtime import ids
from runtime.clock import Clock
from runtime.events.catalogue import Event
from runtime.events.signing import headers
from runtime.log import get_logger
from runtime.metrics import WEBHOOK_ATTEMPTS, WEBHOOK_SECONDS
from runtime.postgres import UNREACHABLE
from runtime.tasks import woken

if TYPE_CHECKING:
    import asyncpg

#: How often is looked whether nobody delivers, and at what has changed of endpoints.
LEAD_INTERVAL_S = 1.0
REFRESH_S = 1.0
#: How often is looked for what is due, at most and at least.
LOOK_S_MIN = 0.05
LOOK_S_MAX = 0.1
#: Results that one transaction writes.
BATCH = 500

logger = get_logger()


class Dispatcher:
    """Delivers what is due to all endpoints that are active. Endpoints that answer late, or not at
    all, share connections of their own (`slow_sender`): the others never wait for them.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        sender: Sender,
        slow_sender: Sender,
        *,
        secrets: Secrets,
        intake: Intake,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._store = Deliveries(pool)
        self._sender = sender
        self._slow_sender = slow_sender
        self._secrets = secrets
        self._intake = intake
        self._clock = clock
        self._endpoints: dict[str, Endpoint] = {}
        self._lanes: dict[str, Lane[Due]] = {}
        #: Since when each endpoint has taken nothing, if that is so.
        self._failing: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._results: list[Result] = []
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """For ever; no failure ends it."""
        while True:
            try:
                async with self._pool.acquire() as connection:
                    if await self._store.take_lead(connection):
                        await self._lead(connection)
            except Exception:
                logger.exception("webhooks_failed")
            await asyncio.sleep(LEAD_INTERVAL_S)

    async def deliver_due(self) -> int:
        """Sends what is due now and waits for the end of it; returns how many attempts. For tests
        and those who deliver by hand.
        """
        await self._refresh()
        count = 0
        while await self._fill() or self._tasks:
            while self._tasks:
                await asyncio.wait(self._tasks)
            count += len(self._results)
            await self._write()
        return count

    async def _lead(self, connection: Any) -> None:
        """Delivers as long as the connection lives, and with it the lock."""
        loop, refreshed = asyncio.get_running_loop(), -REFRESH_S
        try:
            while not connection.is_closed():
                if loop.time() - refreshed >= REFRESH_S:
                    await self._refresh()
                    refreshed = loop.time()
                found = await self._fill()
                await self._write()
                self._wake.clear()
                await asyncio.sleep(LOOK_S_MIN)
                if not found:
                    await woken(self._wake, longest_s=LOOK_S_MAX)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with suppress(*UNREACHABLE):
                await self._write()
            self._lanes.clear()
            self._results.clear()
            # The lock ends with the session; pools keep sessions.
            connection.terminate()

    async def _refresh(self) -> None:
        """Looks at which endpoints are active, and gives up those that took nothing for long."""
        self._endpoints = await self._store.endpoints()
        now_ms = self._clock.now_ms()
        for name, endpoint in list(self._endpoints.items()):
            self._lanes.setdefault(name, Lane())
            since_ms = endpoint.failing_since_ms
            if since_ms is None:
                self._failing.pop(name, None)
            else:
                self._failing[name] = since_ms
            if has_failed_too_long(since_ms, now_ms=now_ms):
                await self._disable(endpoint, now_ms=now_ms)
                del self._endpoints[name]
        for name in self._lanes.keys() - self._endpoints.keys():
            lane = self._lanes[name]
            lane.clear()
            if not lane.held:
                del self._lanes[name]

    async def _fill(self) -> int:
        """Fetches what is due wherever there is room, and starts what may start."""
        now_ms = self._clock.now_ms()
        lanes = [(name, lane) for name, lane in self._lanes.items() if name in self._endpoints]
        rooms = {name: room for name, lane in lanes if (room := lane.room(now_ms=now_ms))}
        held = [(name, number) for name in rooms for number in self._lanes[name].held]
        found = await self._store.due(rooms, held, now_ms=now_ms) if rooms else []
        for due in found:
            self._lanes[due.endpoint_id].offer([due])
        for name, lane in lanes:
            if lane.is_waiting:
                self._start(name)
        return len(found)

    def _start(self, name: str) -> None:
        endpoint, lane = self._endpoints.get(name), self._lanes.get(name)
        if endpoint is None or lane is None:
            return
        while (due := lane.start(now_ms=self._clock.now_ms())) is not None:
            task = asyncio.create_task(self._send(endpoint, due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, endpoint: Endpoint, due: Due) -> None:
        lane, start_ms = self._lanes[endpoint.id], self._clock.now_ms()
        sender = self._slow_sender if lane.is_slow else self._sender
        try:
            body = body_of(due.event)
            keys = self._secrets.keys(endpoint, now_ms=start_ms)
            signed = headers(keys, message_id=due.event.id, timestamp_s=start_ms // 1000, body=body)
            answer = await sender.send(endpoint.url, body, signed)
        except Exception:
            logger.exception("webhook_failed", endpoint_id=endpoint.id, event_id=due.event.id)
            answer = Answer(status=0, error=NOT_SENT, response="", duration_ms=0)
        lane.finish(
            due,
            taken=answer.taken,
            duration_ms=answer.duration_ms,
            now_ms=self._clock.now_ms(),
        )
        self._results.append(self._result(due, answer, start_ms=start_ms))
        self._wake.set()
        self._start(endpoint.id)
        try:
            await self._note_health(endpoint.id, taken=answer.taken)
        except UNREACHABLE as error:
            logger.warning("webhook_health_unwritten", error=f"{type(error).__name__}: {error}")

    def _result(self, due: Due, answer: Answer, *, start_ms: int) -> Result:
        tries, now_ms = due.tries + 1, self._clock.now_ms()
        again_ms = due_again_ms(tries, now_ms=now_ms)
        state = DeliveryState.PENDING
        if answer.taken:
            state = DeliveryState.DELIVERED
        elif again_ms is None:
            state = DeliveryState.FAILED
        WEBHOOK_ATTEMPTS.labels(str(state)).inc()
        WEBHOOK_SECONDS.observe(answer.duration_ms / 1000)
        return Result(
            endpoint_id=due.endpoint_id,
            number=due.number,
            was_due=due.due_time,
            state=state,
            tries=tries,
            attempts=due.attempts + 1,
            due_ms=again_ms or now_ms,
            start_ms=start_ms,
            duration_ms=answer.duration_ms,
            status=answer.status,
            error=answer.error,
            response=answer.response,
        )

    async def _note_health(self, name: str, *, taken: bool) -> None:
        """Since when an endpoint fails is stored when it changes, not with each attempt."""
        if taken and name in self._failing:
            del self._failing[name]
            await self._store.set_failing(name, None)
        elif not taken and name not in self._failing:
            self._failing[name] = self._clock.now_ms()
            await self._store.set_failing(name, self._failing[name])

    async def _write(self) -> None:
        """Stores what became of attempts. What cannot be stored now is stored later."""
        while self._results:
            batch = self._results[:BATCH]
            await self._store.write(batch)
            del self._results[: len(batch)]
            for one in batch:
                self._lanes[one.endpoint_id].written(one.number)

    async def _disable(self, endpoint: Endpoint, *, now_ms: int) -> None:
        """Gives an endpoint up, and tells so."""
        notice = Incoming(
            id=ids.derived(ids.EVENT, ids.tag_of(endpoint.id), endpoint.id, str(endpoint.version)),
            event=Event(
                type="webhook.disabled",
                time_ms=now_ms,
                owner_id=endpoint.owner_id,
                data={"endpoint_id": endpoint.id, "state": str(EndpointState.DISABLED)},
            ),
        )
        async with self._pool.acquire() as connection, connection.transaction():
            if await self._store.disable(connection, endpoint, now_ms=now_ms):
                await self._intake.take(connection, [notice])
                logger.warning("webhook_disabled", endpoint_id=endpoint.id)
