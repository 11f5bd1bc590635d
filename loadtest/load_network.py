"""A card network's side of a load test: gRPC over mTLS, each call told to Locust.

gRPC waits as greenlets do: `init_gevent` must have been called before the first channel is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
import grpc
from google.protobuf.message import Message

from holdfast.authz.v1 import authorization_service_pb2_grpc as authorization_grpc
from loadtest.load_scenario import Scenario
from runtime import pki
from runtime.mesh_client import CALL_TIMEOUT_S
from runtime.settings import Settings

#: How often a request is sent whose outcome is unknown, and the pause before each repetition.
ATTEMPTS_MAX = 10
RETRY_PAUSE_S = 0.5
#: What says that nothing has happened; after any other error something may have.
_REFUSED = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)


class WrongAnswerError(Exception):
    """The mesh answered, and the answer must not be."""


def connect(scenario: Scenario, settings: Settings) -> authorization_grpc.AuthorizationServiceStub:
    """One connection for all users, as a network has it."""
    identity = pki.load_credentials(settings, f"network-{pki.DEMO_NETWORK}")
    return authorization_grpc.AuthorizationServiceStub(
        grpc.secure_channel(
            f"127.0.0.1:{scenario.network_port}",
            grpc.ssl_channel_credentials(identity.ca, identity.private_key, identity.certificate),
            options=(("grpc.enable_retries", 0),),
        )
    )


class Network:
    """Sends what the actors want to send, and keeps what has no answer."""

    def __init__(
        self,
        stub: authorization_grpc.AuthorizationServiceStub,
        *,
        unanswered: dict[str, str],
        tell: Callable[..., None],
    ) -> None:
        self.stub = stub
        self._unanswered = unanswered
        #: Told about every request, as Locust wants to be told.
        self._tell_locust = tell

    def send(self, name: str, method: Any, request: Any) -> Any:
        """The answer, or None if there is none. A request whose outcome is unknown is repeated
        under its id; each attempt is a request of its own to Locust.
        """
        self._unanswered[request.request_id] = name
        for _ in range(ATTEMPTS_MAX):
            began = time.perf_counter()
            try:
                answer = method(request, timeout=CALL_TIMEOUT_S)
            except grpc.RpcError as error:
                self._tell(name, began, error=f"{error.code().name}: {error.details()}")
                if error.code() in _REFUSED:
                    self._unanswered.pop(request.request_id, None)
                    return None
                gevent.sleep(RETRY_PAUSE_S)
                continue
            self._tell(name, began, length=answer.ByteSize())
            self._unanswered.pop(request.request_id, None)
            return answer
        return None

    def send_again(self, name: str, method: Any, request: Any, first: Message) -> None:
        """Repeats a request: the answer must be the first one, to the byte."""
        again = self.send(f"{name} again", method, request)
        if again is not None and again != first:
            self.wrong(f"{name} again", "another answer to the same request")

    def wrong(self, name: str, why: str) -> None:
        """Tells an answer that must not be."""
        self._tell(name, time.perf_counter(), error=WrongAnswerError(why))

    def _tell(self, name: str, began: float, *, length: int = 0, error: object = None) -> None:
        failure = error if error is None or isinstance(error, Exception) else Exception(error)
        self._tell_locust(
            request_type="gRPC",
            name=name,
            response_time=(time.perf_counter() - began) * 1000,
            response_length=length,
            exception=failure,
            context={},
        )
