"""One HTTP/2 connection of the generator: frames written directly, over TLS or a unix socket."""

from __future__ import annotations

import socket
import ssl
from array import array
from collections import deque
from collections.abc import Callable

from loadtest import frames
from loadtest.answer_headers import AnswerHeaders
from loadtest.frames import CallShape
from loadtest.outcome import Outcome, of_grpc, of_json

#: What we may receive before the server must hear from us; it hears long before.
RECEIVE_WINDOW = frames.WINDOW_MAX
_RECEIVE_TOP_UP = 1 << 24
_READ_BYTES = 1 << 18
#: How long a caller of a closed loop pauses when it was told to slow down.
REST_S = 0.02
_RESTING_MAX = 4096


class ConnectionEndedError(Exception):
    """The server closed the connection, or said that it will."""


class Record:
    """Every ended call: when it should have started, how long it took, what became of it."""

    def __init__(self) -> None:
        self.started = array("d")
        self.seconds = array("f")
        self.outcomes = array("B")

    def add(self, started: float, now: float, outcome: int) -> None:
        """One call."""
        self.started.append(started)
        self.seconds.append(now - started)
        self.outcomes.append(outcome)


class Connection:
    """Sends calls of one shape and reads their answers. Not asyncio: the caller polls."""

    def __init__(
        self, sock: socket.socket, *, shapes: tuple[CallShape, CallShape], as_json: bool
    ) -> None:
        """`shapes`: of the first call, and of all others."""
        self.socket = sock
        self.record = Record()
        #: Calls under way by stream: when they should have started.
        self.started: dict[int, float] = {}
        #: When the callers that were told to slow down call again; a closed loop respects it.
        self.resting: deque[float] = deque(maxlen=_RESTING_MAX)
        self.streams_max = 100
        self._shape, self._shape_again = shapes
        self._decide: Callable[[bytes], Outcome] = of_json if as_json else of_grpc
        self._stream = 1
        self._answers: dict[int, bytes] = {}
        self._waiting: deque[tuple[float, bytes, bytes]] = deque()
        self._out: list[bytes] = []
        self._unsent = b""
        self._unread = b""
        self._window = frames.WINDOW_DEFAULT
        self._received = 0
        # No dynamic table towards us: equal headers are equal bytes.
        self._out.append(
            frames.PREFACE
            + frames.settings(
                {frames.HEADER_TABLE_SIZE: 0, frames.INITIAL_WINDOW_SIZE: frames.WINDOW_MAX}
            )
            + frames.window_update(0, RECEIVE_WINDOW - frames.WINDOW_DEFAULT)
        )
        self._headers = AnswerHeaders()

    @property
    def in_flight(self) -> int:
        """Calls that have no answer yet, also those that wait for the server's permission."""
        return len(self.started) + len(self._waiting)

    def call(self, started: float, number: bytes, tail: bytes) -> None:
        """Queues one call; `flush` sends what is queued."""
        message_bytes = len(self._shape.begin) + len(number) + len(tail)
        if len(self.started) >= self.streams_max or self._window < message_bytes:
            self._waiting.append((started, number, tail))
            return
        shape = self._shape
        self._shape = self._shape_again
        stream = self._stream.to_bytes(4, "big")
        self.started[self._stream] = started
        self._stream += 2
        self._window -= message_bytes
        self._out += (shape.opening, stream, shape.between, stream, shape.begin, number, tail)

    def flush(self) -> None:
        """Sends what is queued, as far as the socket takes it."""
        if not self._out and not self._unsent:
            return
        data = self._unsent + b"".join(self._out)
        self._out.clear()
        try:
            self._unsent = data[self.socket.send(data) :]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
            self._unsent = data

    @property
    def blocked(self) -> bool:
        """Whether the socket did not take everything."""
        return bool(self._unsent)

    def receive(self, now: float) -> None:
        """Reads what is there; ConnectionEndedError if the server has gone."""
        while True:
            try:
                data = self.socket.recv(_READ_BYTES)
            except (ssl.SSLWantReadError, BlockingIOError):
                break
            except (ssl.SSLError, OSError) as error:
                raise ConnectionEndedError(str(error)) from None
            if not data:
                raise ConnectionEndedError("the server closed the connection")
            self._read(self._unread + data if self._unread else data, now)
        while self._waiting and len(self.started) < self.streams_max:
            before = len(self._waiting)
            self.call(*self._waiting.popleft())
            if len(self._waiting) == before:
                break

    def lose_all(self, now: float) -> None:
        """The calls under way will have no answer any more."""
        for started in self.started.values():
            self.record.add(started, now, Outcome.LOST)
        for started, _, _ in self._waiting:
            self.record.add(started, now, Outcome.LOST)
        self.started.clear()
        self._waiting.clear()

    def _read(self, data: bytes, now: float) -> None:
        at, size = 0, len(data)
        unpack = frames.HEAD.unpack_from
        while size - at >= frames.HEAD_BYTES:
            high, low, kind, flags, stream = unpack(data, at)
            end = at + frames.HEAD_BYTES + (high << 8 | low)
            if end > size:
                break
            payload = data[at + frames.HEAD_BYTES : end]
            at = end
            if kind == frames.DATA:
                self._received += len(payload)
                self._answers[stream] = self._answers.get(stream, b"") + payload
                if flags & frames.END_STREAM:
                    self._answered(stream, Outcome.OK, now)
            elif kind == frames.HEADERS:
                status = self._status(payload, flags)
                if flags & frames.END_STREAM or status:
                    self._answered(stream, status, now)
            else:
                self._control(kind, flags, stream, payload, now)
        self._unread = data[at:]
        if self._received > _RECEIVE_TOP_UP:
            self._out.append(frames.window_update(0, self._received))
            self._received = 0

    def _answered(self, stream: int, status: int, now: float) -> None:
        """The end of a call: `status` is 0 or 102 if it is good."""
        started = self.started.pop(stream, None)
        message = self._answers.pop(stream, b"")
        if started is None:
            return
        if status == Outcome.RESOURCE_EXHAUSTED:
            self.resting.append(now + REST_S)
        good = status in (0, Outcome.OK)
        self.record.add(started, now, self._decide(message) if good else status)

    def _status(self, payload: bytes, flags: int) -> int:
        """The gRPC status of trailers, 99 of headers that are not HTTP's 200, else 0."""
        if flags & (frames.PADDED | frames.PRIORITY) or not flags & frames.END_HEADERS:
            raise ConnectionEndedError("the server sent headers of a kind that is not understood")
        return self._headers.status(payload, ends=bool(flags & frames.END_STREAM))

    def _control(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        """Everything that is not an answer."""
        if kind == frames.WINDOW_UPDATE:
            if stream == 0:
                self._window += int.from_bytes(payload, "big")
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            found = frames.read_settings(payload)
            self.streams_max = found.get(frames.MAX_CONCURRENT_STREAMS, self.streams_max)
            self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        elif kind == frames.PING and not flags & frames.ACK:
            self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.RST_STREAM:
            self._answered(stream, Outcome.LOST, now)
        elif kind == frames.GOAWAY:
            raise ConnectionEndedError("the server said goodbye")
