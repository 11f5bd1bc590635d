"""What makes a worker refuse new authorizations while everything that gives credit back goes on:
a Valkey that fills up, a journal that is not settled, a caller that guesses card ids.
"""

from __future__ import annotations

import asyncio

from redis.exceptions import ResponseError

from authz import entry, keys
from authz.gate import HEALTH_COMMANDS, Gate, health_of
from authz.settings import AuthzSettings
from runtime.clock import Clock
from runtime.errors import HoldfastError, ResourceExhausted, Unavailable
from runtime.log import get_logger
from runtime.metrics import UNSETTLED
from runtime.pipe import Pipe
from runtime.tasks import end

#: How often the server is looked at again: the truth may change at run time.
LOOK_S = 1.0
#: A record must not expire before its entry is settled; this much earlier everything stops.
RECORD_MARGIN_MS = 3_600_000
#: Principals whose guesses are counted; beyond that the oldest is forgotten.
PRINCIPALS_MAX = 10_000

logger = get_logger()


class Watch:
    """Looks at Valkey every second and says whether new authorizations are admitted."""

    def __init__(self, pipe: Pipe, gate: Gate, *, settings: AuthzSettings, clock: Clock) -> None:
        self._pipe = pipe
        self._gate = gate
        self._settings = settings
        self._clock = clock
        self._refusal: HoldfastError | None = None
        #: Everything that was recorded by then is settled; None before the first look.
        self.settled_until_ms: int | None = None
        self._too_old = False
        self._guesses: dict[str, tuple[int, int]] = {}
        self._task: asyncio.Task[None] | None = None

    def admit(self) -> None:
        """Raises if nothing new may be authorized now."""
        if self._refusal is not None:
            raise self._refusal

    def admit_later_message(self) -> None:
        """Raises if not even what happens to an authorization later may be recorded now."""
        if self._too_old:
            self.admit()

    def admit_unknown_card(self, principal: str) -> None:
        """Raises if a principal asked for too many unknown cards this second: declines are
        journaled, and nobody may fill the journal with guesses.
        """
        second = self._clock.now_ms() // 1000
        since, count = self._guesses.get(principal, (second, 0))
        if since != second:
            count = 0
        if count >= self._settings.unknown_cards_per_s:
            raise ResourceExhausted("too many unknown cards; slow down", reason="UNKNOWN_CARD_RATE")
        self._guesses[principal] = (second, count + 1)
        if len(self._guesses) > PRINCIPALS_MAX:
            del self._guesses[next(iter(self._guesses))]

    async def start(self) -> None:
        """Starts looking."""
        self._task = asyncio.create_task(self._run(), name="watch")

    async def stop(self) -> None:
        """Stops looking."""
        if self._task is not None:
            await end(self._task)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except (HoldfastError, ResponseError) as error:
                logger.debug("watch_waits", because=str(error))
            except Exception:  # who cannot look cannot vouch: refuse, and look again
                logger.exception("watch_failed")
                self._refusal = Unavailable("Valkey cannot be watched", reason="WATCH_FAILED")
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """One look. A server that may no longer be trusted is inspected again, gate closed."""
        health = health_of(
            await asyncio.gather(*(self._pipe.command(*command) for command in HEALTH_COMMANDS))
        )
        because = health.refusal or await self._another_life(health.run_id)
        if because:
            logger.error("trust_lost", because=because)
            self._pipe.reopen()
            return
        looked_ms = self._clock.now_ms()
        lengths = await asyncio.gather(
            *(self._pipe.command("XLEN", keys.journal(tag)) for tag in keys.TAGS)
        )
        # The settler leaves the last settled entry in each stream.
        unsettled = sum(max(length - 1, 0) for length in lengths)
        UNSETTLED.set(unsettled)
        stale = await self._stale_journal(lengths, looked_ms)
        self._too_old = stale is not None
        full = self._verdict(health.used_memory, health.memory_limit, unsettled)
        self._refusal = stale or full

    async def _another_life(self, run_id: str) -> str:
        """Why this is not the server, or not the data, that the gate has inspected. Data that is
        gone or rebuilt has another epoch everywhere.
        """
        if run_id != self._gate.run_id:
            return "another run_id"
        epoch = await self._pipe.command("HGET", keys.meta(keys.TAGS[0]), "epoch")
        return "" if epoch == str(self._gate.epoch) else "another epoch"

    def _verdict(self, used: int, limit: int, unsettled: int) -> HoldfastError | None:
        if limit and used * 100 >= limit * self._settings.memory_percent:
            return Unavailable("Valkey is nearly full", reason="MEMORY_NEARLY_FULL")
        if unsettled >= self._settings.unsettled_entries:
            return Unavailable("too many entries wait for settlement", reason="JOURNAL_TOO_LONG")
        return None

    async def _stale_journal(self, lengths: list[int], looked_ms: int) -> HoldfastError | None:
        """Before the oldest unsettled entry is as old as a request record lives, all stops: a
        record that expires first would let its request act twice.
        """
        waiting = [tag for tag, length in zip(keys.TAGS, lengths, strict=True) if length > 1]
        answers = await asyncio.gather(
            *(
                self._pipe.command("XRANGE", keys.journal(tag), "-", "+", "COUNT", "2")
                for tag in waiting
            )
        )
        age_max_ms = self._settings.request_record_ttl_h * 3_600_000 - RECORD_MARGIN_MS
        oldest = [
            entry.parse(entry.raw_of(found[1][1])).outcome.recorded_at_ms
            for found in answers
            if len(found) > 1
        ]
        # What is recorded in the millisecond of the look may have come after it.
        self.settled_until_ms = min(oldest, default=looked_ms) - 1
        if self._clock.now_ms() - min(oldest, default=looked_ms) >= age_max_ms:
            return Unavailable("the journal is not being settled", reason="JOURNAL_TOO_OLD")
        return None
