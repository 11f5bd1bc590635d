"""A wire that fails: a unix-socket proxy that delays, cuts and loses what passes through it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

#: Chances per chunk of bytes. A pipeline of scripts is a chunk, and so is its answer.
LOSE = 0.004
HALVE = 0.002
DELAY = 0.03
DELAY_S_MAX = 0.03


@dataclass(slots=True)
class Faults:
    """What goes wrong, by a seeded source, and how often it did."""

    source: random.Random
    active: bool = False
    #: Nothing gets through at all, as if the server were gone.
    down: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def next(self, way: str) -> str:
        """What happens to the next chunk: pass, lose, halve or delay."""
        if not self.active:
            return "pass"
        if self.down:
            return "lose"
        draw = self.source.random()
        for fault, chance in (("lose", LOSE), ("halve", HALVE), ("delay", DELAY)):
            if draw < chance:
                self.counts[f"{fault} {way}"] += 1
                return fault
            draw -= chance
        return "pass"


class FaultyWire:
    """Stands before one server."""

    def __init__(self, target: Path, faults: Faults, name: str) -> None:
        self._target = target
        self._faults = faults
        self._name = name

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """One connection, until one side or a fault ends it."""
        writers = [to_client]
        try:
            if self._faults.active and self._faults.down:
                return
            server, to_server = await asyncio.open_unix_connection(str(self._target))
            writers.append(to_server)
            ways = [
                asyncio.create_task(self._carry(client, to_server, f"request to {self._name}")),
                asyncio.create_task(self._carry(server, to_client, f"answer of {self._name}")),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass
        finally:
            for writer in writers:
                writer.close()
            for writer in writers:
                with suppress(OSError):
                    await writer.wait_closed()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        while chunk := await reader.read(65536):
            match self._faults.next(way):
                case "lose":
                    return
                case "halve":
                    writer.write(chunk[: len(chunk) // 2])
                    await writer.drain()
                    return
                case "delay":
                    await asyncio.sleep(self._faults.source.uniform(0, DELAY_S_MAX))
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def faulty_wire(
    path: Path, target: Path, faults: Faults, name: str
) -> AsyncIterator[FaultyWire]:
    """A wire that listens on `path` and leads to the server on `target`."""
    wire = FaultyWire(target, faults, name)
    listener = await asyncio.start_unix_server(wire.serve, path)
    try:
        yield wire
    finally:
        listener.close()
        await listener.wait_closed()
