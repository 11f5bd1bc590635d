"""AccessLogService: takes Envoy's access log of the edge and, if it is asked for, of networks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from envoy_wire import access_log_pb2 as wire
from envoy_wire.access_log_pb2_grpc import AccessLogServiceServicer

#: What a log is called: this, a colon, the listener (`envoy/common.yaml.j2`).
USAGE_LOG = "usage"
#: How soon a stream ends when the server stops: Envoy then goes to the next.
_STOP_CHECK_S = 0.2


class Taker(Protocol):
    """Takes what a message has, at once."""

    def __call__(self, message: wire.StreamAccessLogsMessage, *, listener: str) -> None:
        """Of one listener."""


class AccessLog(AccessLogServiceServicer):
    """Takes entries. `stopping` is true once the server stops: streams end then, so that it need
    not wait for them.
    """

    def __init__(self, taker: Taker, *, stopping: Callable[[], bool]) -> None:
        self._take = taker
        self._stopping = stopping

    async def StreamAccessLogs(
        self, request_iterator: AsyncIterator[wire.StreamAccessLogsMessage], context: Any
    ) -> wire.StreamAccessLogsResponse:
        """Reads until Envoy or this server ends it."""
        del context
        name = ""
        reader = aiter(request_iterator)
        reading: asyncio.Task[wire.StreamAccessLogsMessage] | None = None
        try:
            while True:
                if reading is None:
                    reading = asyncio.ensure_future(anext(reader))
                done, _ = await asyncio.wait({reading}, timeout=_STOP_CHECK_S)
                if done:
                    message, reading = reading.result(), None
                    # Only the first message of a stream says whose log it is.
                    name = message.identifier.log_name or name
                    kind, _, listener = name.partition(":")
                    if kind == USAGE_LOG:
                        self._take(message, listener=listener)
                elif self._stopping():
                    break
        except StopAsyncIteration:
            pass
        finally:
            if reading is not None:
                reading.cancel()
        return wire.StreamAccessLogsResponse()
