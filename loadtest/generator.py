"""The load generator's process: `python -m loadtest.generator FOLDER`.

Prints `ready` when its connections stand, begins when it reads a line, prints what it used at the
end. One thread, no asyncio: with the frames written directly a call costs about 10 µs here, so the
generator is not what is measured.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import ssl
import sys
import time
from array import array
from math import gcd
from pathlib import Path

from loadtest.connection import Connection, ConnectionEndedError
from loadtest.frames import CallShape, header_block
from loadtest.job import Calls, Job, Target

#: Longest sleep while nothing is due, and shortest: what becomes due in it is sent together.
_PAUSE_S_MAX = 0.01
_PAUSE_S_MIN = 0.0002
#: How long answers are waited for when no more is sent.
_PATIENCE_S = 12.0
#: How long a server may be away; nothing is read meanwhile, so the others' latencies suffer, too.
_RECONNECT_S = 5.0
_RECONNECT_PAUSE_S = 0.02
_GREETING_S = 0.2
_NUMBER_DIGITS = 10
_GOLDEN = 0.6180339887


def connect(target: Target, number: int) -> socket.socket:
    """The connection of this number to the target; it does not block."""
    if target.sockets:
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        plain.connect(target.sockets[number % len(target.sockets)])
        plain.setblocking(False)
        return plain
    plain = socket.create_connection(("127.0.0.1", target.port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    context = ssl.create_default_context(cafile=target.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    if target.identity:
        context.load_cert_chain(target.identity)
    wrapped = context.wrap_socket(plain, server_hostname="localhost")
    wrapped.setblocking(False)
    return wrapped


class Generator:
    """Runs one job."""

    def __init__(self, job: Job, tails: bytes) -> None:
        self._job = job
        self._tails = tails
        self._run = job.run.encode()
        self._number = 0
        self._tail = 0
        self._stride = 1 if job.calls else stride(job.tails)
        self._connections = [self._connection(number) for number in range(job.connections)]
        self._by_descriptor = {one.socket.fileno(): one for one in self._connections}
        self._begun = 0.0
        self._step = self._in_step = 0
        self._step_begun = 0.0

    def _connection(self, number: int) -> Connection:
        job = self._job
        begin = bytes.fromhex(job.begin)
        number_bytes = len(self._run) + _NUMBER_DIGITS if job.run else 0
        block = header_block(job.headers)
        message_bytes = len(begin) + number_bytes + job.tail_bytes
        first, again = (
            CallShape.of(encoded, begin=begin, message_bytes=message_bytes)
            for encoded in (block.first, block.again)
        )
        return Connection(connect(job.target, number), shapes=(first, again), as_json=job.as_json)

    def greet(self) -> None:
        """Exchanges the connections' settings before time counts."""
        until = time.perf_counter() + _GREETING_S
        while time.perf_counter() < until:
            self._flush_and_poll(_PAUSE_S_MAX)

    def run(self) -> Calls:
        """Sends and waits for every answer."""
        self._begun = time.perf_counter()
        self._step_begun = self._begun
        while (pause_s := self._send(time.perf_counter())) is not None:
            self._flush_and_poll(pause_s)
        until = time.perf_counter() + _PATIENCE_S
        while time.perf_counter() < until and any(one.in_flight for one in self._connections):
            self._flush_and_poll(_PAUSE_S_MAX)
        return self._calls()

    def _send(self, now: float) -> float | None:
        """Sends what is due by now; returns for how long nothing is, None if nothing ever will."""
        if self._job.steps:
            return self._send_due(now)
        ended = self._number >= self._job.calls
        if self._job.calls == 0:
            ended = now >= self._begun + self._job.seconds
        return None if ended else self._send_depth(now)

    def _send_due(self, now: float) -> float | None:
        """Open loop: calls start when they should, whatever became of the earlier ones."""
        connections = self._connections
        while self._step < len(self._job.steps):
            rate, seconds = self._job.steps[self._step]
            calls = rate * seconds
            due = min(int((now - self._step_begun) * rate) + 1, calls)
            for number in range(self._in_step, due if now >= self._step_begun else 0):
                self._call(connections[number % len(connections)], self._step_begun + number / rate)
                self._in_step = number + 1
            if self._in_step < calls:
                left_s = self._step_begun + self._in_step / rate - now
                return min(max(left_s, _PAUSE_S_MIN), _PAUSE_S_MAX)
            self._step += 1
            self._step_begun += seconds
            self._in_step = 0
        return None

    def _send_depth(self, now: float) -> float:
        """Closed loop: fills every connection up to its share of the depth."""
        job = self._job
        share, more = divmod(job.depth, job.connections)
        for place, connection in enumerate(self._connections):
            while connection.resting and connection.resting[0] <= now:
                connection.resting.popleft()
            busy = connection.in_flight + len(connection.resting)
            for _ in range(share + (place < more) - busy):
                if job.calls and self._number >= job.calls:
                    return 0.0
                self._call(connection, now)
        return _PAUSE_S_MAX

    def _call(self, connection: Connection, started: float) -> None:
        at = self._tail * self._job.tail_bytes
        number = b"%s%010d" % (self._run, self._number) if self._run else b""
        connection.call(started, number, self._tails[at : at + self._job.tail_bytes])
        self._number += 1
        self._tail = (self._tail + self._stride) % self._job.tails

    def _flush_and_poll(self, pause_s: float) -> None:
        for connection in self._connections:
            connection.flush()
        self._poll(pause_s)

    def _poll(self, pause_s: float) -> None:
        # select, not epoll: its timeout is in microseconds.
        blocked = [one.socket for one in self._connections if one.blocked]
        readable, _, _ = select.select(list(self._by_descriptor), blocked, [], pause_s)
        for descriptor in readable:
            connection = self._by_descriptor[descriptor]
            now = time.perf_counter()
            try:
                connection.receive(now)
            except ConnectionEndedError:
                self._renew(connection, now)

    def _renew(self, ended: Connection, now: float) -> None:
        """Another connection in the place of one that ended; its calls are lost."""
        ended.lose_all(now)
        del self._by_descriptor[ended.socket.fileno()]
        ended.socket.close()
        number = self._connections.index(ended)
        fresh = self._connections[number] = self._reconnected(number)
        fresh.record = ended.record
        self._by_descriptor[fresh.socket.fileno()] = fresh

    def _reconnected(self, number: int) -> Connection:
        until = time.perf_counter() + _RECONNECT_S
        while True:
            try:
                return self._connection(number)
            except OSError:
                if time.perf_counter() >= until:
                    raise
            time.sleep(_RECONNECT_PAUSE_S)

    def _calls(self) -> Calls:
        now = time.perf_counter()
        calls = Calls(started=array("d"), seconds=array("f"), outcomes=array("B"))
        for connection in self._connections:
            connection.lose_all(now)
            record = connection.record
            calls.started.extend(started - self._begun for started in record.started)
            calls.seconds.extend(record.seconds)
            calls.outcomes.extend(record.outcomes)
        return calls


def stride(tails: int) -> int:
    """A step that visits every tail before it repeats one, neighbours far apart."""
    step = max(int(tails * _GOLDEN), 1)
    while gcd(step, tails) != 1:
        step += 1
    return step


def main(folder: Path) -> None:
    """Runs the job that lies in the folder."""
    generator = Generator(Job.read(folder), (folder / "tails").read_bytes())
    generator.greet()
    gc.disable()  # Nothing here makes cycles; a pause would count as the mesh's.
    _tell({"ready": True})
    sys.stdin.readline()
    used, begun = time.process_time(), time.perf_counter()
    calls = generator.run()
    report = {"cpu_s": time.process_time() - used, "seconds": time.perf_counter() - begun}
    # The caller looks at the processes at this moment, before anything else is done.
    _tell(report)
    calls.write(folder)
    _tell({"written": True})


def _tell(report: dict[str, float | bool]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
