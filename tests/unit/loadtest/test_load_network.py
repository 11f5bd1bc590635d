"""How the actors send: what is repeated, what is told, and that a second answer is caught."""

from __future__ import annotations

from typing import Any

import gevent
import grpc
import pytest

from holdfast.authz.v1 import authorization_service_pb2 as rpc
from loadtest import load_network
from loadtest.load_acts import Acts
from loadtest.load_answers import Answers
from loadtest.load_network import Network, WrongAnswerError

_REQUEST = rpc.AuthorizeRequest(request_id="load-1")
_FIRST = rpc.AuthorizeResponse(authorization_id="auth_1")


class _Error(grpc.RpcError):
    """What a stub raises."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__()
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "why"


class _Line:
    """A network whose calls end as they are told to, and what Locust was told."""

    def __init__(self, *ends: grpc.StatusCode | rpc.AuthorizeResponse) -> None:
        self.told: list[tuple[str, object]] = []
        self.unanswered: dict[str, str] = {}
        self.sent = 0
        self._ends = iter(ends)
        self.network = Network(None, unanswered=self.unanswered, tell=self._tell)  # type: ignore[arg-type]

    def call(self, request: rpc.AuthorizeRequest, timeout: float) -> rpc.AuthorizeResponse:
        assert request == _REQUEST
        assert timeout > 0
        assert self.unanswered == {"load-1": self.sending}
        self.sent += 1
        end = next(self._ends)
        if isinstance(end, grpc.StatusCode):
            raise _Error(end)
        return end

    sending = "Authorize"

    def send(self) -> Any:
        return self.network.send("Authorize", self.call, _REQUEST)

    def _tell(self, *, name: str, exception: object, **_: Any) -> None:
        self.told.append((name, None if exception is None else str(exception)))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_network, "RETRY_PAUSE_S", 0)


def test_an_answer() -> None:
    """Goal: told once, nothing left open."""
    line = _Line(_FIRST)
    assert line.send() == _FIRST
    assert (line.told, line.unanswered) == ([("Authorize", None)], {})


def test_a_refusal_is_not_repeated() -> None:
    """Goal: a status that says that nothing has happened is an end."""
    line = _Line(grpc.StatusCode.INVALID_ARGUMENT)
    assert line.send() is None
    assert line.told == [("Authorize", "INVALID_ARGUMENT: why")]
    assert line.unanswered == {}


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
    ],
)
def test_the_unknown_is_repeated(code: grpc.StatusCode) -> None:
    """Goal: the same request until there is an answer; each attempt that failed is a failure."""
    line = _Line(code, code, _FIRST)
    assert line.send() == _FIRST
    assert [error is None for _, error in line.told] == [False, False, True]
    assert line.unanswered == {}


def test_what_stays_unknown() -> None:
    """Goal: it ends, and what is open is known by its request id."""
    line = _Line(*[grpc.StatusCode.UNAVAILABLE] * 20)
    assert line.send() is None
    assert line.sent == load_network.ATTEMPTS_MAX
    assert line.unanswered == {"load-1": "Authorize"}


def test_a_second_answer_is_caught() -> None:
    """Goal: the same request answered otherwise is a failure; answered alike it is none."""
    for second, caught in ((_FIRST, 0), (rpc.AuthorizeResponse(authorization_id="auth_2"), 1)):
        line = _Line(second)
        line.sending = "Authorize again"
        line.network.send_again("Authorize", line.call, _REQUEST, _FIRST)
        assert sum(error is not None for _, error in line.told) == caught


def test_a_wrong_answer_says_so() -> None:
    """Goal: what Locust is told is an error of its own kind, which is no time of a request."""
    told: list[Exception] = []

    def tell(*, exception: Exception, **_: Any) -> None:
        told.append(exception)

    Network(None, unanswered={}, tell=tell).wrong("Authorize", "twice")  # type: ignore[arg-type]
    assert isinstance(told[0], WrongAnswerError)


def test_an_act_outlives_its_actor() -> None:
    """Goal: Locust may kill an actor at any moment; what it has begun is finished.

    Method: the actor is killed while its act waits.
    """
    done: list[str] = []
    acts = Acts()

    def act() -> None:
        gevent.sleep(0.05)
        done.append("done")

    actor = gevent.spawn(acts.do, act)
    gevent.sleep(0.01)
    actor.kill()
    assert done == []
    acts.finish(timeout_s=10)
    assert done == ["done"]


def test_an_act_that_fails_is_told() -> None:
    """Goal: what an actor cannot make sense of is known at the end, and the actor goes on."""
    acts = Acts()
    acts.do(lambda: Answers().captured(rpc.CaptureAuthorizationResponse(authorization_id="auth_9")))
    assert acts.errors == ["KeyError: 'auth_9'"]
