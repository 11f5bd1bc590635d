"""Builds and runs the gRPC server of a process: interceptors, health, reflection, slot, drain."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import grpc
import pygrpc_native.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_interceptor.server import AsyncServerInterceptor
from grpc_reflection.v1alpha import reflection

from runtime.audit.interceptor import AuditInterceptor, RefusalInterceptor, is_mutation
from runtime.audit.writer import AuditLog, AuditWriter
from runtime.contract import PACKAGE
from runtime.interceptors import guarded
from runtime.log import get_logger
from runtime.metrics import MetricsServer
from runtime.ownership import Lookups
from runtime.settings import Settings

#: The largest message we accept: no request of ours comes near it.
MESSAGE_BYTES_MAX = 256 * 1024
#: The headers of a call, Envoy's own among them: it takes 16 KiB from callers.
METADATA_BYTES_MAX = 32 * 1024
#: How often Envoy asks each server for its health.
HEALTH_INTERVAL_S = 1.0
#: After failing health, how long Envoy is given to notice before the server stops taking calls.
DRAIN_S = HEALTH_INTERVAL_S + 0.5
#: How long calls in flight may take to end once the server stops.
GRACE_S = 5.0

#: grpcio, or its drop-in replacement whose HTTP/2 runs outside of Python's lock.
ServerKind = Literal["grpcio", "native"]

#: New objects between two collections of the youngest; Python's own 700 are fewer than a page of
#: rows makes, and what is still in use then grows old by mistake.
_OBJECTS_OF_A_COLLECTION = 10_000

logger = get_logger()


class SlotLock:
    """Holds a server's slot: two servers on one socket path would steal each other's calls."""

    def __init__(self, socket: Path) -> None:
        self._path = socket.with_suffix(".lock")
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise RuntimeError(f"another server runs in this slot: {self._path}") from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)


class Services:
    """What `add_…Servicer_to_server` is given: registers each method with the interceptors around
    it; mutations with one more, if there is an audit log.
    """

    def __init__(self, server: grpc.aio.Server, audit: AuditLog | None) -> None:
        self._server = server
        self._audit: AsyncServerInterceptor | None = None
        if audit is not None:
            self._audit = AuditInterceptor(audit)
        self._lookups: Lookups = {}

    def know_owners(self, lookups: Lookups) -> None:
        """Says to whom ids belong, by prefix, for all methods that are added from now on."""
        self._lookups = lookups

    def record_refusals(self, log: AuditWriter) -> None:
        """Of the mutations that are added from now on, records what is refused: their changes have
        a journal of their own.
        """
        self._audit = RefusalInterceptor(log)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Called by generated code."""
        self._server.add_registered_method_handlers(
            service_name,
            {
                name: self._guarded(handler, f"/{service_name}/{name}")
                for name, handler in method_handlers.items()
            },
        )

    def _guarded(
        self, handler: grpc.RpcMethodHandler[Any, Any], method_name: str
    ) -> grpc.RpcMethodHandler[Any, Any]:
        if self._audit is None or not method_name.startswith(f"/{PACKAGE}"):
            return guarded(handler, method_name, lookups=self._lookups)
        return guarded(
            handler,
            method_name,
            audit=self._audit if is_mutation(method_name) else None,
            lookups=self._lookups,
        )

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Called by generated code, with the same methods again: not needed."""


class Server:
    """A gRPC server on a unix socket. Services are added to `services` before `start`. With an
    audit log every mutating call has an entry.
    """

    def __init__(
        self, socket: Path, *, kind: ServerKind = "grpcio", audit: AuditLog | None = None
    ) -> None:
        self.socket = socket
        options = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.so_reuseport", 0),
            # What Envoy lets pass: beyond its default of 8 KiB gRPC refuses some, at random.
            ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ]
        # One thread for HTTP/2: there is one such process per core.
        self.grpc_server = (
            pygrpc_native.aio.Server(options=options, io_threads=1)
            if kind == "native"
            else grpc.aio.server(options=options)
        )
        self.services: Any = Services(self.grpc_server, audit)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.services)
        self._serving = False
        #: True from the moment that it is told to stop: long streams end then.
        self.stopping = False

    @property
    def serving(self) -> bool:
        """What health answers now."""
        return self._serving

    async def set_serving(self, serving: bool) -> None:
        """Changes what health answers; Envoy sends calls only while it says SERVING."""
        self._serving = serving
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.SERVING if serving else status.NOT_SERVING)

    async def start(self, service_names: Sequence[str]) -> None:
        """Listens on the socket; health says NOT_SERVING until `set_serving(True)`."""
        reflection.enable_server_reflection(
            [*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME], self.services
        )
        await self.set_serving(False)
        self.socket.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            self.grpc_server.add_insecure_port(f"unix:{self.socket}")
            await self.grpc_server.start()
        finally:
            os.umask(previous)

    async def stop(self, *, drain_s: float = DRAIN_S) -> None:
        """Fails health, lets Envoy notice, ends the calls in flight, stops."""
        self.stopping = True
        await self.set_serving(False)
        await asyncio.sleep(drain_s)
        await self.grpc_server.stop(GRACE_S)


class Termination(asyncio.Event):
    """Set by SIGTERM and SIGINT."""

    #: Nobody calls any more: there is nothing to drain. SIGINT says so.
    hurry = False

    def __init__(self) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.set)
        loop.add_signal_handler(signal.SIGINT, self._hurry)

    def _hurry(self) -> None:
        self.hurry = True
        self.set()


def termination() -> Termination:
    """An event that SIGTERM and SIGINT set."""
    return Termination()


async def _nothing() -> None:
    pass


def spare_what_stays() -> None:
    """Keeps the garbage collector from looking through what was loaded at the start, again and
    again: all calls wait while it does, for a quarter of a second on a busy machine.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_OF_A_COLLECTION)


async def run(
    settings: Settings,
    server: Server,
    service_names: Sequence[str],
    *,
    on_start: Callable[[], Awaitable[None]] | None = None,
    on_stop: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Runs a server until SIGTERM or SIGINT. With `on_start`, the service decides when health says
    SERVING (`server.set_serving`); without, it serves at once. `on_stop` runs after the last call.
    """
    stop = termination()
    with SlotLock(server.socket):
        metrics = MetricsServer(settings.metrics_socket, ready=lambda: server.serving)
        await server.start(service_names)
        await metrics.start()
        await (on_start() if on_start else server.set_serving(True))
        spare_what_stays()
        logger.info("listening", socket=str(server.socket))
        await stop.wait()
        logger.info("stopping")
        await server.stop(drain_s=0 if stop.hurry else DRAIN_S)
        await on_stop()
        await metrics.stop()
