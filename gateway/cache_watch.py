"""Looks at the memory of the cache Valkey, and tells when something was evicted.

What expires first goes first: limits and attempts before sessions. So nothing should ever go.
"""

from __future__ import annotations

import asyncio

from runtime.errors import HoldfastError
from runtime.log import get_logger
from runtime.metrics import CACHE_EVICTED, CACHE_MEMORY_USED
from runtime.pipe import Pipe

PERIOD_S = 10.0

logger = get_logger()


class CacheWatch:
    """Tells Prometheus, and the log when something was evicted since the last look."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._evicted = 0

    async def look(self) -> None:
        """Looks once."""
        text: str = await self._pipe.command("INFO", "memory", "stats")
        found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        limit, evicted = int(found["maxmemory"]), int(found["evicted_keys"])
        CACHE_MEMORY_USED.set(int(found["used_memory"]) / limit if limit else 0)
        CACHE_EVICTED.set(evicted)
        if evicted > self._evicted:
            logger.warning("cache_evicts", keys=evicted - self._evicted)
        self._evicted = evicted

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.look()
            except HoldfastError as error:
                logger.debug("cache_not_seen", because=error.reason)
            except Exception:
                logger.exception("cache_not_seen")
            await asyncio.sleep(PERIOD_S)
