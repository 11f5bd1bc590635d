"""Gives what Envoy refuses by itself its entry of the audit log: exactly one.

Envoy tells of it in a file (`runtime.refusal_files`). The entries of what was read, and how far
that is, are written in one transaction; a process that is killed before leaves it to be read again.
What is in a sum of the minute counts as unread until the sum is written. Entries behind it that are
there already are met again, too: they are known by the id that Envoy has given the call.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

from gateway.refusal_store import RefusalStore
from gateway.refusal_tally import INTERVAL_S, Tally
from gateway.refusals import Refusals, told_of
from runtime.audit.spool import Pending
from runtime.clock import Clock
from runtime.log import get_logger
from runtime.metrics import REFUSALS_SUMMED
from runtime.refusal_files import Line, Place, RefusalFiles

#: How often the file is looked at.
LOOK_INTERVAL_S = 0.5
#: Between two parts of much that has come at once: gateway has other things to do.
PART_PAUSE_S = 0.02
#: After a failure.
RETRY_S = 2.0

logger = get_logger()


class _Reading:
    """What this process knows of how far it is; after a failure, another begins at the place that
    is written.
    """

    def __init__(self, place: Place, since_s: float) -> None:
        self.written = self.next = place
        self.tally = Tally()
        self.since_s = since_s
        #: The first line that is in a sum.
        self.summed: Place | None = None


class RefusalLog:
    """Reads what Envoy tells, one process at a time."""

    def __init__(
        self, refusals: Refusals, store: RefusalStore, files: RefusalFiles, clock: Clock
    ) -> None:
        self._refusals = refusals
        self._store = store
        self._files = files
        self._clock = clock
        self._reading: _Reading | None = None

    async def run(self) -> None:
        """Reads for ever; no failure ends it."""
        try:
            while True:
                try:
                    pause_s = PART_PAUSE_S if await self.step() else LOOK_INTERVAL_S
                except Exception as error:  # noqa: BLE001 - it is read again
                    logger.warning("refusals_unread", error=f"{type(error).__name__}: {error}")
                    self._reading, pause_s = None, RETRY_S
                await asyncio.sleep(pause_s)
        finally:
            self._files.unlock()

    async def step(self) -> bool:
        """Reads some lines; returns whether there may be more."""
        if not self._files.lock():
            return False
        now_s = asyncio.get_running_loop().time()
        if self._reading is None:
            self._reading = _Reading(await self._store.place(), now_s)
        reading = self._reading
        part = self._files.read(reading.next)
        entries = [one for line in part.lines if (one := self._entry_of(line, reading))]
        if part.finished or now_s - reading.since_s >= INTERVAL_S:
            entries += self._sums(reading)
            reading.since_s, reading.summed = now_s, None
        place = reading.summed or part.place
        if entries or place != reading.written:
            await self._store.write(entries, place)
        more = part.finished or part.place != reading.next
        reading.written, reading.next = place, part.place
        if part.finished:
            self._files.remove_earlier()
        return more

    def _entry_of(self, line: Line, reading: _Reading) -> Pending | None:
        told = told_of(line.text)
        if told is None:
            logger.warning("refusal_unreadable", bytes=len(line.text))
            return None
        entry = self._refusals.entry_of(told)
        if entry is None:
            return None
        if reading.tally.has_room(entry):
            return Pending(told.id, told.time_ms, entry)
        REFUSALS_SUMMED.inc()
        reading.summed = reading.summed or line.place
        return None

    def _sums(self, reading: _Reading) -> list[Pending]:
        now_ms = self._clock.now_ms()
        return [Pending(uuid4(), now_ms, entry) for entry in reading.tally.close()]
