"""Answers Envoy's RateLimitService: whether a call of the edge may go on.

Envoy asks about each call with one descriptor, made of `subject`, `key`, `key_limit`, `method`,
`remote_address`, `session`, and `json` of those who speak it; what a call lacks is missing there. A
call that no limit applies to is let through without a count. Errors are for Envoy: it lets calls
pass, or refuses those of guarded classes.

It has a socket and a thread of its own, without an event loop. The thread takes what has arrived,
asks Valkey about all of it at once, and answers; what arrives meanwhile is the next batch.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from pygrpc_native import EVENT_CALL, NativeGrpcFront

from envoy_wire import rate_limit_pb2
from gateway.limiter import Asked, Limiter, Taken
from gateway.limits import Kind, Limit
from gateway.rate_limit_message import UNLIMITED, Question, Questions, allowed, refused
from holdfast.type.v1 import rate_limit_pb2 as classes_pb2
from runtime.errors import HoldfastError
from runtime.log import get_logger
from runtime.metrics import CALL_TIMES, LIMITED_CALLS
from runtime.rate_limits import classes

#: The contract's classes that have windows of their own.
KINDS = {
    classes_pb2.RATE_LIMIT_CLASS_SIGN_IN: Kind.SIGN_IN,
    classes_pb2.RATE_LIMIT_CLASS_REVEAL: Kind.REVEAL,
    classes_pb2.RATE_LIMIT_CLASS_REFRESH: Kind.REFRESH,
}
_SERVICE = rate_limit_pb2.DESCRIPTOR.services_by_name["RateLimitService"].full_name
METHOD = f"/{_SERVICE}/ShouldRateLimit"
_HEALTH = "/grpc.health.v1.Health/Check"
_METHODS = (METHOD, _HEALTH)
#: Most calls that are asked about at once.
BATCH_MAX = 128

_SERVING = health_pb2.HealthCheckResponse(
    status=health_pb2.HealthCheckResponse.SERVING
).SerializeToString()
_NOT_SERVING = health_pb2.HealthCheckResponse(
    status=health_pb2.HealthCheckResponse.NOT_SERVING
).SerializeToString()

logger = get_logger()


def kinds_by_method() -> dict[str, Kind]:
    """Kind by gRPC path, of methods with a window of their own."""
    return {path: KINDS[one] for path, one in classes().items() if one in KINDS}


class RateLimitFront:
    """A gRPC server of two methods: Envoy's question, and its health check. `shut`: the limit that
    has shut a window which is not used up itself, and for how many ms; asked from another thread.
    """

    def __init__(
        self,
        questions: Questions,
        limiter: Limiter,
        *,
        shut: Callable[[Limit], tuple[Limit, int] | None] = lambda _: None,
    ) -> None:
        self._shut = shut
        self._questions = questions
        self._limiter = limiter
        self._front: NativeGrpcFront | None = None
        self._thread: threading.Thread | None = None
        self._serving: Callable[[], bool] = bool

    def start(self, socket: Path, *, serving: Callable[[], bool]) -> None:
        """Listens; health says what `serving` does. The caller holds the slot."""
        socket.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            self._front = NativeGrpcFront(
                f"unix:{socket}", [(path, False) for path in _METHODS], io_threads=1
            )
            self._front.start()
        finally:
            os.umask(previous)
        self._serving = serving
        self._thread = threading.Thread(target=self._run, name="rate-limits", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops at once: whoever calls this has failed health and waited."""
        if self._front is not None and self._thread is not None:
            self._front.close()
            self._thread.join()

    def _run(self) -> None:
        front = self._front
        assert front is not None, "start() makes it"
        while (events := front.recv_batch(BATCH_MAX)) is not None:
            began_s = time.perf_counter()
            asked: list[tuple[int, Question]] = []
            for kind, call_id, method, payload, _ in events:
                if kind != EVENT_CALL or payload is None:
                    continue  # given up, but perhaps counted by now
                if _METHODS[method] == _HEALTH:
                    front.respond(call_id, _SERVING if self._serving() else _NOT_SERVING)
                    continue
                try:
                    asked.append((call_id, self._questions.read(payload)))
                except (DecodeError, HoldfastError):
                    # A path that is no text, say. No other call suffers from it, and none goes on
                    # with such a path.
                    _fail(front, call_id, grpc.StatusCode.INVALID_ARGUMENT, began_s)
            if asked:
                self._answer(front, asked, began_s)

    def _answer(
        self, front: NativeGrpcFront, asked: Sequence[tuple[int, Question]], began_s: float
    ) -> None:
        code = grpc.StatusCode.INTERNAL
        try:
            answers = self._decide([question for _, question in asked])
        except HoldfastError as error:
            code = error.code
        except Exception:  # the thread goes on: what is refused now may be answered in a moment
            logger.exception("rate_limit_failed")
        else:
            for (call_id, _), answer in zip(asked, answers, strict=True):
                front.respond(call_id, answer)
                CALL_TIMES.record(METHOD, "OK", time.perf_counter() - began_s)
            return
        for call_id, _ in asked:
            _fail(front, call_id, code, began_s)

    def _decide(self, questions: Sequence[Question]) -> list[bytes]:
        counted: list[tuple[int, Question, Limit]] = []
        answers = [UNLIMITED] * len(questions)
        for number, one in enumerate(questions):
            if one.limit is None:
                continue
            if shut := self._shut(one.limit):
                answers[number] = _refused(shut[0], Taken(False, 0, shut[1]), one)
            else:
                counted.append((number, one, one.limit))
        if counted:
            taken = self._limiter.take([Asked(limit, one.session_id) for _, one, limit in counted])
            for (number, question, limit), found in zip(counted, taken, strict=True):
                if found.allowed:
                    answers[number] = allowed(limit, found)
                else:
                    answers[number] = _refused(limit, found, question)
        return answers


def _refused(limit: Limit, taken: Taken, question: Question) -> bytes:
    LIMITED_CALLS.labels(str(limit.kind)).inc()
    return refused(limit, taken, as_json=question.as_json)


def _fail(front: NativeGrpcFront, call_id: int, code: grpc.StatusCode, began_s: float) -> None:
    front.fail(call_id, int(code.value[0]), "the call was not counted")
    CALL_TIMES.record(METHOD, code.name, time.perf_counter() - began_s)
