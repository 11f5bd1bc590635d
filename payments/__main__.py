"""Runs the payments service."""

from __future__ import annotations

import uvloop

from payments.books import Books
from payments.holders import Holders
from payments.settings import PaymentsSettings
from payments.wiring import SERVICE_NAMES, add_services
from runtime import server
from runtime.audit.writer import AuditLog, spool_of
from runtime.channel import unix_channel
from runtime.log import configure_logging
from runtime.moved_clock import clock_of
from runtime.postgres import connect_pool
from runtime.request_records import forget_for_ever
from runtime.tasks import beside


async def serve(settings: PaymentsSettings) -> None:
    """Serves until SIGTERM."""
    clock = clock_of(settings)
    async with (
        await connect_pool(
            settings, "payments", max_size=settings.payments_postgres_connections
        ) as pool,
        unix_channel(settings.egress_socket("payments")) as channel,
    ):
        audit = AuditLog(pool, settings.secret("audit-seal"), spool_of(settings, "payments"))
        process = server.Server(settings.socket, audit=audit)
        parts = add_services(
            process,
            pool,
            books=Books(channel),
            holders=Holders(channel),
            settings=settings,
            clock=clock,
        )
        work = (
            parts.worker.run(),
            parts.refunds.run(),
            parts.eraser.run(),
            *([parts.hooks.run(parts.stripe)] if parts.stripe else []),
            audit.run(),
            parts.events.run(clock),
            forget_for_ever(pool, clock, lifetime_h=settings.payments_request_lifetime_h),
        )
        try:
            async with beside(*work):
                await server.run(settings, process, SERVICE_NAMES)
        finally:
            if parts.stripe:
                await parts.stripe.close()


def main() -> None:
    """Entry point."""
    settings = PaymentsSettings()
    configure_logging(instance=settings.instance, level=settings.log_level)
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
