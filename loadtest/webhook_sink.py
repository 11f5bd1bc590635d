"""Receivers of webhooks, in a process of their own: `python -m loadtest.webhook_sink FOLDER`.

It reads a line, `{"kinds": ["taken", …]}`, and prints where each receiver listens; reads
`{"secrets": [...]}`, and begins; and on the next line prints what came, and writes latencies into
FOLDER. Each webhook is verified. HTTP is parsed by hand: the receivers are not what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop

from runtime.clock import SystemClock, ms_of
from runtime.events.signing import SignatureError, verify

_HOST = "127.0.0.1"
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_REFUSED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


class Kind(StrEnum):
    """How a receiver behaves."""

    TAKEN = "taken"
    #: Accepts connections and never answers.
    SILENT = "silent"
    #: Answers 500 to everything.
    ERROR = "error"
    #: Ends each connection as soon as something comes.
    RESET = "reset"
    #: Nobody listens there.
    CLOSED = "closed"


@dataclass(slots=True)
class Report:
    """What came to the receivers that take everything; of the others only how often."""

    received: int = 0
    repeated: int = 0
    #: Events of an account that came before one that happened earlier.
    out_of_order: int = 0
    #: Events of an account that never came, though later ones did.
    missing: int = 0
    badly_signed: int = 0
    refused: int = 0
    cpu_s: float = 0.0


@dataclass(slots=True)
class Sink:
    """All receivers."""

    report: Report = field(default_factory=Report)
    #: Seconds from the event to its receipt, and when it was received, seconds since the epoch.
    seconds: array[float] = field(default_factory=lambda: array("d"))
    moments: array[float] = field(default_factory=lambda: array("d"))
    secrets: list[str] = field(default_factory=list)
    clock: SystemClock = field(default_factory=SystemClock)
    _last: dict[str, int] = field(default_factory=dict)
    _seen: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def take(self, number: int, headers: dict[str, str], body: bytes) -> None:
        """One webhook."""
        now_ms, report = self.clock.now_ms(), self.report
        try:
            verify(self.secrets[number], headers, body, now_s=now_ms // 1000)
        except SignatureError:
            report.badly_signed += 1
        event: dict[str, Any] = json.loads(body)
        account, sequence = event["account_id"], event["sequence"]
        report.received += 1
        if sequence in self._seen[account]:
            report.repeated += 1
            return
        self._seen[account].add(sequence)
        if sequence < self._last.get(account, 0):
            report.out_of_order += 1
        self._last[account] = max(sequence, self._last.get(account, 0))
        happened_ms = ms_of(datetime.fromisoformat(event["timestamp"]))
        self.seconds.append((now_ms - happened_ms) / 1000)
        self.moments.append(now_ms / 1000)

    def ended(self) -> Report:
        """The report."""
        self.report.missing = sum(self._last[name] - len(seen) for name, seen in self._seen.items())
        self.report.cpu_s = round(time.process_time(), 3)
        return self.report


class Receiver(asyncio.Protocol):
    """One connection."""

    def __init__(self, sink: Sink, number: int, kind: Kind) -> None:
        self._sink, self._number, self._kind = sink, number, kind
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Some bytes; answers what is complete."""
        assert self._transport is not None
        if self._kind is Kind.SILENT:
            return
        if self._kind is Kind.RESET:
            self._sink.report.refused += 1
            self._transport.abort()
            return
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode("latin-1").split("\r\n")[1:]
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            length = end + 4 + int(headers.get("content-length", "0"))
            if len(self._buffer) < length:
                return
            body, self._buffer = self._buffer[end + 4 : length], self._buffer[length:]
            if self._kind is Kind.ERROR:
                self._sink.report.refused += 1
                self._transport.write(_REFUSED)
                continue
            self._sink.take(self._number, headers, body)
            self._transport.write(_TAKEN)


async def main(folder: Path) -> None:
    """Listens, and reports."""
    loop, sink = asyncio.get_running_loop(), Sink()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    kinds = [Kind(one) for one in json.loads(await lines.readline())["kinds"]]
    ports = []
    for number, kind in enumerate(kinds):
        server = await loop.create_server(partial(Receiver, sink, number, kind), _HOST, 0)
        ports.append(server.sockets[0].getsockname()[1])
        if kind is Kind.CLOSED:
            server.close()
    _say({"ports": ports})
    sink.secrets = json.loads(await lines.readline())["secrets"]
    _say({"ready": True})
    while (line := await lines.readline()) and json.loads(line).get("count"):
        _say({"received": sink.report.received})
    with (folder / "seconds").open("wb") as file:
        sink.seconds.tofile(file)
    with (folder / "moments").open("wb") as file:
        sink.moments.tofile(file)
    _say(asdict(sink.ended()))


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
