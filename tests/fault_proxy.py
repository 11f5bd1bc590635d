"""A proxy between a client and a unix socket that does to connections what networks do."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

CHUNK = 65_536
#: Longest that a delayed piece waits.
DELAY_S_MAX = 0.05


@dataclass(slots=True)
class Faults:
    """Probabilities per piece of data, or per connection (duplicate); down: nobody is let in."""

    delay: float = 0.0
    #: The connection ends before a request is passed on.
    cut: float = 0.0
    #: The request is passed on and its answer never arrives.
    drop: float = 0.0
    #: Everything that the client sends is sent twice, over another connection.
    duplicate: float = 0.0
    down: bool = False


@dataclass(slots=True)
class FaultProxy:
    """Passes bytes on, or not."""

    name: str
    listens: Path
    target: Path
    random: random.Random
    faults: Faults = field(default_factory=Faults)
    injected: Counter[str] = field(default_factory=Counter)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def set(self, **faults: float | bool) -> None:
        """From now on these faults and no others; going down ends every connection."""
        self.faults = Faults(**faults)  # type: ignore[arg-type]
        if self.faults.down:
            self._count("down")
            self.cut_all()

    def cut_all(self) -> None:
        """Ends every connection; new ones are welcome unless the server is down."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def _count(self, fault: str) -> None:
        self.injected[f"{self.name} {fault}"] += 1

    def _hit(self, fault: str) -> bool:
        hit: bool = self.random.random() < getattr(self.faults, fault)
        if hit:
            self._count(fault)
        return hit

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        opened = [writer]
        self._writers.add(writer)
        tasks: list[asyncio.Task[None]] = []
        try:
            if self.faults.down:
                return
            answers, upstream = await asyncio.open_unix_connection(self.target)
            opened.append(upstream)
            copies = [upstream]
            if self._hit("duplicate"):
                ignored, copy = await asyncio.open_unix_connection(self.target)
                opened.append(copy)
                copies.append(copy)
                tasks.append(asyncio.create_task(self._ignore(ignored)))
            tasks += [
                asyncio.create_task(self._requests(reader, copies)),
                asyncio.create_task(self._answers(answers, writer)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            self._count("refused by the server itself")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._writers.discard(writer)
            for one in opened:
                one.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, copies: list[asyncio.StreamWriter]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._hit("delay"):
                    await asyncio.sleep(self.random.uniform(0, DELAY_S_MAX))
                if self._hit("cut"):
                    return
                for writer in copies:
                    writer.write(data)
                    await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._hit("delay"):
                    await asyncio.sleep(self.random.uniform(0, DELAY_S_MAX))
                if self._hit("drop"):
                    return
                writer.write(data)
                await writer.drain()

    async def _ignore(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(CHUNK):
            pass
        await asyncio.Event().wait()


@asynccontextmanager
async def fault_proxy(
    name: str, *, listens: Path, target: Path, seed: int
) -> AsyncIterator[FaultProxy]:
    """A proxy that does nothing wrong until it is told to."""
    proxy = FaultProxy(name, listens, target, random.Random(seed))
    server = await asyncio.start_unix_server(proxy.serve, listens)
    try:
        yield proxy
    finally:
        server.close()
        proxy.set(down=True)
        await asyncio.sleep(0)
        await server.wait_closed()
