"""The services of the mesh: what is started, under which names, and how it shows readiness.

The one list; whoever adds a service adds it here, and its role and secret in `runtime.migrations`
and `runtime.devstack.home`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runtime.devstack import environment, probes
from runtime.devstack.home import Home
from runtime.devstack.process import ProcessSpec
from runtime.settings import Settings

#: Under a flood, whoever refuses calls must have its turn before those who answer them: otherwise
#: all calls wait in front of Envoy, where nobody refuses them.
NICENESS = 5
#: Whoever may lag behind has its turn after all others.
NICENESS_LAST = 10
#: On a busy machine they also start last.
READY_TIMEOUT_LAST_S = 60.0

_CHECKOUT = Path(__file__).resolve().parents[2]


class Readiness(StrEnum):
    """How a service shows that it is ready."""

    #: grpc.health.v1 Check on `Settings.socket` answers SERVING.
    GRPC = "grpc"
    #: GET /ready on `Settings.metrics_socket` answers 200: for services without gRPC.
    HTTP = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """One process of one service.

    It gets the environment that `runtime.settings.Settings` reads: where home and sockets are, the
    servers' URLs without login, HOLDFAST_INSTANCE and HOLDFAST_SLOT. It logs in to PostgreSQL as
    `holdfast_<service>` with the secret `postgres-<service>`, to a Valkey with `<valkey>-<user>`.
    It ends on SIGTERM within `stop_timeout_s`, once nobody calls it any more, on SIGINT at once.
    """

    instance: str
    #: Arguments of this Python interpreter: `-m <module>`.
    arguments: tuple[str, ...]
    readiness: Readiness = Readiness.GRPC
    ready_timeout_s: float = 60.0
    stop_timeout_s: float = 8.0
    niceness: int = NICENESS


def mesh(*, authz_workers: int) -> tuple[ServiceSpec, ...]:
    """Every service of a whole mesh.

    The settler has no gRPC socket; it is ready when its metrics socket answers GET /ready with 200.
    """
    workers = (
        ServiceSpec(instance=f"authz-{number}", arguments=("-m", "authz"))
        for number in range(authz_workers)
    )
    return (
        # Envoy waits for what it says.
        ServiceSpec(instance="gateway", arguments=("-m", "gateway"), niceness=0),
        ServiceSpec(
            instance="settler", arguments=("-m", "authz.settler"), readiness=Readiness.HTTP
        ),
        *workers,
        ServiceSpec(instance="accounts", arguments=("-m", "accounts")),
        ServiceSpec(instance="payments", arguments=("-m", "payments")),
        # What they tell may wait; nobody waits for it.
        *(
            ServiceSpec(
                instance=name,
                arguments=("-m", name),
                ready_timeout_s=READY_TIMEOUT_LAST_S,
                niceness=NICENESS_LAST,
            )
            for name in ("notify", "stats")
        ),
    )


def process(
    service: ServiceSpec, *, home: Home, settings: Settings, slot: str, more: Mapping[str, str]
) -> ProcessSpec:
    """The process of one service in one of its slots; `more` of its environment."""
    of_service = settings.model_copy(update={"instance": service.instance, "slot": slot})
    socket, metrics_socket = of_service.socket, of_service.metrics_socket
    return ProcessSpec(
        instance=service.instance,
        argv=(sys.executable, *service.arguments),
        env={**environment.of_service(settings, service.instance, slot), **more},
        cwd=_CHECKOUT,
        log=home.log(service.instance),
        listens=str(socket if service.readiness is Readiness.GRPC else metrics_socket),
        ready=(
            (lambda: probes.grpc_serving(socket))
            if service.readiness is Readiness.GRPC
            else (lambda: probes.http_ok(metrics_socket, "/ready"))
        ),
        # gRPC servers bind over a living server's socket and unlink it when that one stops.
        obstacles=(socket, metrics_socket),
        ready_timeout_s=service.ready_timeout_s,
        niceness=service.niceness,
        hurry_signal=signal.SIGINT,
        stop_timeout_s=service.stop_timeout_s,
    )
