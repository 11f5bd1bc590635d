"""The generator's connection against h2, an independent HTTP/2 server, over a pair of sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from loadtest import messages
from loadtest.connection import Connection, ConnectionEndedError
from loadtest.frames import CallShape, grpc_message, header_block
from loadtest.outcome import Outcome

APPROVED = grpc_message(
    rpc.AuthorizeResponse(
        authorization_id="auth_2a" + "0" * 32, decision=pb.DECISION_APPROVED
    ).SerializeToString()
)
TAIL = bytes(100)


class Pair:
    """A connection and its server."""

    def __init__(self, *, streams: int = 100) -> None:
        ours, self.socket = socket.socketpair()
        ours.setblocking(False)
        self.socket.setblocking(False)
        block = header_block(messages.grpc_headers(messages.AUTHORIZE, tls=False))
        first, again = (
            CallShape.of(encoded, begin=b"", message_bytes=len(TAIL))
            for encoded in (block.first, block.again)
        )
        self.client = Connection(ours, shapes=(first, again), as_json=False)
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.server.local_settings = h2.settings.Settings(
            client=False,
            initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: streams},
        )
        self.server.initiate_connection()
        self.asked: list[int] = []
        self.pongs = 0
        self.exchange()

    def exchange(self, now: float = 0.0) -> None:
        """What each has to say reaches the other, twice."""
        for _ in range(2):
            self.client.flush()
            try:
                events = self.server.receive_data(self.socket.recv(1 << 20))
            except BlockingIOError:
                events = []
            for event in events:
                if isinstance(event, h2.events.RequestReceived):
                    assert event.stream_id is not None
                    self.asked.append(event.stream_id)
                self.pongs += isinstance(event, h2.events.PingAckReceived)
            self.socket.sendall(self.server.data_to_send())
            self.client.receive(now)

    def answer(self, stream: int, status: str = "0", body: bytes = APPROVED) -> None:
        self.server.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        self.server.send_data(stream, body)
        self.server.send_headers(stream, [("grpc-status", status)], end_stream=True)

    def close(self) -> None:
        self.socket.close()
        self.client.socket.close()


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """The server allows 100 streams, or as many as the test says."""
    made = Pair(streams=getattr(request, "param", 100))
    yield made
    made.close()


def test_a_call_is_timed_from_when_it_should_have_started(pair: Pair) -> None:
    pair.client.call(1.0, b"", TAIL)
    pair.exchange()
    pair.answer(pair.asked[0])
    pair.exchange(now=3.5)
    record = pair.client.record
    assert list(record.outcomes) == [Outcome.APPROVED]
    assert list(record.seconds) == [2.5]
    assert pair.client.in_flight == 0


def test_statuses_are_told_apart(pair: Pair) -> None:
    """An error counts as one, whether or not a message came before it."""
    for _ in range(3):
        pair.client.call(0.0, b"", TAIL)
    pair.exchange()
    pair.answer(1, status="8", body=b"")
    pair.server.send_headers(3, [(":status", "200"), ("grpc-status", "14")], end_stream=True)
    pair.server.send_headers(5, [(":status", "503")], end_stream=True)
    pair.exchange()
    assert list(pair.client.record.outcomes) == [
        Outcome.RESOURCE_EXHAUSTED,
        Outcome.UNAVAILABLE,
        Outcome.HTTP_ERROR,
    ]


@pytest.mark.parametrize("pair", [2], indirect=True)
def test_no_more_streams_than_the_server_allows(pair: Pair) -> None:
    """The third call waits, counts as under way, and goes out when there is room."""
    for _ in range(3):
        pair.client.call(0.0, b"", TAIL)
    pair.exchange()
    assert (pair.asked, pair.client.in_flight) == ([1, 3], 3)
    pair.answer(1)
    pair.exchange()
    pair.exchange()
    assert pair.asked == [1, 3, 5]


@pytest.mark.parametrize("pair", [10_000], indirect=True)
def test_no_more_bytes_than_the_server_takes(pair: Pair) -> None:
    """Calls beyond the connection's window wait until the server acknowledges what it has read."""
    calls = 65_535 // len(TAIL)
    for _ in range(calls + 5):
        pair.client.call(0.0, b"", TAIL)
    pair.exchange()
    assert len(pair.asked) == calls
    pair.server.increment_flow_control_window(10_000)
    pair.exchange()
    pair.exchange()
    assert len(pair.asked) == calls + 5


def test_pings_are_answered(pair: Pair) -> None:
    pair.server.ping(b"12345678")
    pair.exchange()
    pair.exchange()
    assert pair.pongs == 1


def test_a_stream_that_is_reset_is_lost(pair: Pair) -> None:
    pair.client.call(0.0, b"", TAIL)
    pair.exchange()
    pair.server.reset_stream(1)
    pair.exchange()
    assert list(pair.client.record.outcomes) == [Outcome.LOST]


def test_a_server_that_goes_is_noticed(pair: Pair) -> None:
    pair.client.call(0.0, b"", TAIL)
    pair.exchange()
    pair.socket.close()
    with pytest.raises(ConnectionEndedError):
        pair.client.receive(0.0)
    pair.client.lose_all(1.0)
    assert list(pair.client.record.outcomes) == [Outcome.LOST]


def test_answers_in_pieces(pair: Pair) -> None:
    """Goal: frames cut anywhere are read. Method: one byte at a time."""
    pair.client.call(0.0, b"", TAIL)
    pair.exchange()
    pair.answer(1)
    for byte in pair.server.data_to_send():
        pair.socket.sendall(bytes((byte,)))
        pair.client.receive(0.0)
    assert list(pair.client.record.outcomes) == [Outcome.APPROVED]
