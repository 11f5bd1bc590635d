"""Runs notify."""

from __future__ import annotations

import uvloop

from holdfast.notify.v1 import (
    event_service_pb2,
    notification_service_pb2,
    webhook_service_pb2,
)
from holdfast.notify.v1.event_service_pb2_grpc import add_EventServiceServicer_to_server
from holdfast.notify.v1.webhook_service_pb2_grpc import add_WebhookServiceServicer_to_server
from notify import ownership, upkeep
from notify.dispatcher import Dispatcher
from notify.event_service import EventService
from notify.event_store import EventStore
from notify.intake import Intake
from notify.mutations import Mutations
from notify.notices.store import NoticeStore
from notify.notices.wiring import add_notifications, carriers, planner
from notify.secrets import RING, Secrets
from notify.sender import Sender
from notify.settings import NotifySettings
from notify.sinks.wiring import relaying, sink_name
from notify.sources import (
    STATS_POLL_S,
    AccountsFeed,
    Feed,
    PaymentsFeed,
    StatsFeed,
    ledger_taker,
)
from notify.webhook_service import WebhookService
from notify.webhook_store import WebhookStore
from runtime import server
from runtime.audit.writer import AuditLog, spool_of
from runtime.channel import unix_channel
from runtime.clock import SystemClock
from runtime.follower import Follower
from runtime.key_ring import key_ring
from runtime.log import configure_logging
from runtime.postgres import connect_pool
from runtime.secrets import secrets_of
from runtime.tasks import beside

SERVICE_NAMES = (
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name,
    webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"].full_name,
    notification_service_pb2.DESCRIPTOR.services_by_name["NotificationService"].full_name,
)


def sender(settings: NotifySettings) -> Sender:
    """What sends webhooks, with connections of its own."""
    return Sender(
        timeout_s=settings.notify_webhook_timeout_s,
        at_once=settings.notify_webhooks_at_once,
        allowed=settings.allowed_networks,
    )


async def serve(settings: NotifySettings) -> None:
    """Serves until SIGTERM."""
    clock = SystemClock()
    async with (
        await connect_pool(
            settings, "notify", max_size=settings.notify_postgres_connections
        ) as pool,
        unix_channel(settings.egress_socket("notify")) as channel,
    ):
        events, webhooks, accounts = EventStore(pool), WebhookStore(pool), AccountsFeed(channel)
        payments, stats = PaymentsFeed(channel), StatsFeed(channel)
        intake = Intake(accounts, clock, planner(settings, clock))
        secrets = Secrets(key_ring(secrets_of(settings), RING, clock))
        audit = AuditLog(pool, settings.secret("audit-seal"), spool_of(settings, "notify"))
        process = server.Server(settings.socket, audit=audit)
        process.services.know_owners(ownership.lookups(webhooks, accounts.has_dismissed))
        add_EventServiceServicer_to_server(
            EventService(events, Mutations(webhooks), intake, clock), process.services
        )
        add_WebhookServiceServicer_to_server(
            WebhookService(webhooks, secrets, clock, allowed=settings.allowed_networks),
            process.services,
        )
        carried = carriers(settings)
        notices = add_notifications(
            process, pool, channel, webhooks, carried=carried, settings=settings, clock=clock
        )
        senders = (sender(settings), sender(settings))
        dispatcher = Dispatcher(pool, *senders, secrets=secrets, intake=intake, clock=clock)
        work = (
            audit.run(),
            Follower(pool, channel, ledger_taker(intake)).run(),
            Feed(pool, intake, source="accounts", ask=accounts.events_after).run(),
            Feed(pool, intake, source="payments", ask=payments.events_after).run(),
            Feed(pool, intake, source="stats", ask=stats.events_after, poll_s=STATS_POLL_S).run(),
            dispatcher.run(),
            notices.run(),
            upkeep.forget(
                events,
                webhooks,
                NoticeStore(pool),
                clock,
                days=settings.notify_event_days,
                sink=sink_name(settings),
                requests_h=settings.notify_request_lifetime_h,
            ),
        )
        try:
            async with relaying(settings, clock), beside(*work):
                await server.run(settings, process, SERVICE_NAMES)
        finally:
            for one in senders:
                await one.close()
            for carrier in carried.values():
                await carrier.close()


def main() -> None:
    """Entry point."""
    settings = NotifySettings()
    configure_logging(instance=settings.instance, level=settings.log_level)
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
