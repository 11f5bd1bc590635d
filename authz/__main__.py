"""Wires one authorizer worker: `python -m authz`."""

from __future__ import annotations

import uvloop

from authz import ownership, scripts
from authz.convert import Fingerprints
from authz.decide_flow import AuthorizeFlow
from authz.expiry import DAY_MS
from authz.external_client import external_decisions
from authz.gate import Gate
from authz.hold_flow import HoldFlow
from authz.ledger_service import LedgerService
from authz.ledger_store import LedgerStore
from authz.money_store import MoneyStore
from authz.mover import Mover
from authz.posting_flow import PostingFlow
from authz.posting_service import PostingService
from authz.projection_service import ProjectionService
from authz.reads import Reads
from authz.service import AuthorizationService
from authz.settings import AuthzSettings
from authz.sweeper import Sweeper
from authz.usage import Usage
from authz.watch import Watch
from holdfast.authz.v1 import authorization_service_pb2_grpc as authorization_grpc
from holdfast.authz.v1 import ledger_service_pb2_grpc as ledger_grpc
from holdfast.authz.v1 import posting_service_pb2_grpc as posting_grpc
from holdfast.authz.v1 import projection_service_pb2_grpc as projection_grpc
from runtime.audit.writer import AuditWriter, spool_of
from runtime.clock import Clock
from runtime.ids import IdSource
from runtime.log import configure_logging
from runtime.metrics import GATE_OPEN
from runtime.moved_clock import clock_of
from runtime.pipe import Pipe
from runtime.secrets import secret_text
from runtime.server import Server, run
from runtime.wire import connect

SERVICE_NAMES = (
    "holdfast.authz.v1.AuthorizationService",
    "holdfast.authz.v1.LedgerService",
    "holdfast.authz.v1.PostingService",
    "holdfast.authz.v1.ProjectionService",
)
HOUR_MS = 3_600_000


class Worker:
    """One authorizer worker, wired."""

    def __init__(self, settings: AuthzSettings, server: Server, *, clock: Clock) -> None:
        assert settings.redis_url is not None, "the supervisor sets HOLDFAST_REDIS_URL"
        self._settings = settings
        self._server = server
        self.ledger = LedgerStore(settings)
        self.external = external_decisions(settings)
        self.gate = Gate(settings, self.ledger)
        url = settings.redis_url
        self.pipe = Pipe(
            lambda: connect(settings, url, server="valkey-money", user="authz"),
            inspect=self.gate.inspect,
            on_open=self._opened,
            on_lost=self._lost,
            queue_commands=settings.queue_commands,
            scripts=scripts.ALL,
            not_ready_reason="AUTHORIZER_NOT_READY",
        )
        self.store = MoneyStore(self.pipe, self.gate, snapshot_cards=settings.snapshot_cards)
        self.watch = Watch(self.pipe, self.gate, settings=settings, clock=clock)
        self.audit = AuditWriter(self.ledger.pool, spool_of(settings, "authz"))
        self._register(clock)

    def _register(self, clock: Clock) -> None:
        settings = self._settings
        id_source = IdSource(clock)
        fingerprints = Fingerprints(secret_text(settings, "authz-fingerprint").encode())
        mover = Mover(
            self.store,
            clock=clock,
            record_ttl_ms=settings.request_record_ttl_h * HOUR_MS,
            retention_ms=settings.closed_hold_days * DAY_MS,
        )
        self.holds = HoldFlow(self.store, self.ledger, self.watch, mover, clock=clock)
        self.sweeper = Sweeper(self.store, self.holds, fingerprints, clock=clock)
        services = self._server.services
        services.know_owners(ownership.lookups(self.store, self.ledger))
        reads = Reads(self.store, self.ledger)
        services.record_refusals(self.audit)
        authorization_grpc.add_AuthorizationServiceServicer_to_server(
            AuthorizationService(
                authorizing=AuthorizeFlow(
                    self.store,
                    self.ledger,
                    self.watch,
                    mover,
                    external=self.external,
                    clock=clock,
                    id_source=id_source,
                ),
                holds=self.holds,
                reads=reads,
                usage=Usage(self.store, clock=clock),
                fingerprints=fingerprints,
                id_source=id_source,
            ),
            services,
        )
        posting_grpc.add_PostingServiceServicer_to_server(
            PostingService(
                PostingFlow(self.store, self.ledger, self.watch, mover), fingerprints, reads
            ),
            services,
        )
        ledger_grpc.add_LedgerServiceServicer_to_server(
            LedgerService(self.ledger, self.watch), services
        )
        projection_grpc.add_ProjectionServiceServicer_to_server(
            ProjectionService(self.store, clock=clock), services
        )

    async def start(self) -> None:
        """Opens the connection; health follows the gate."""
        await self.pipe.start()
        await self.watch.start()
        await self.sweeper.start()

    async def stop(self) -> None:
        """Closes what `start` opened."""
        await self.sweeper.stop()
        await self.watch.stop()
        await self.pipe.stop()
        await self.audit.close()
        await self.ledger.close()
        if self.external is not None:
            await self.external.close()

    async def _opened(self) -> None:
        self.store.forget_all()
        GATE_OPEN.set(1)
        await self._server.set_serving(True)

    async def _lost(self, because: str) -> None:
        del because
        GATE_OPEN.set(0)
        await self._server.set_serving(False)


async def main() -> None:
    """Runs until SIGTERM."""
    settings = AuthzSettings()
    configure_logging(instance=settings.instance, level=settings.log_level)
    server = Server(settings.socket, kind=settings.authz_server)
    worker = Worker(settings, server, clock=clock_of(settings))
    await run(settings, server, SERVICE_NAMES, on_start=worker.start, on_stop=worker.stop)


if __name__ == "__main__":
    uvloop.run(main())
