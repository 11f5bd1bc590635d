"""Runs stats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import uvloop

from holdfast.stats.v1 import (
    api_usage_service_pb2,
    event_feed_service_pb2,
    report_service_pb2,
    stats_service_pb2,
)
from holdfast.stats.v1.event_feed_service_pb2_grpc import (
    add_EventFeedServiceServicer_to_server,
)
from holdfast.stats.v1.stats_service_pb2_grpc import add_StatsServiceServicer_to_server
from runtime import server
from runtime.audit.writer import AuditLog, spool_of
from runtime.channel import unix_channel
from runtime.events.outbox import EventOutbox
from runtime.follower import Follower
from runtime.log import configure_logging
from runtime.moved_clock import clock_of
from runtime.objects import objects_of
from runtime.postgres import connect_pool
from runtime.tasks import beside
from stats.closer import Closer
from stats.event_feed_service import EventFeedService
from stats.intake import PAGE, POLL_S, SHARES, Intake
from stats.reports import wiring
from stats.reports.ledger import LedgerClient
from stats.reports.store import ReportStore
from stats.service import StatsService
from stats.settings import StatsSettings
from stats.sources import AccountsClient
from stats.store import StatsStore
from stats.subjects import Subjects, lookups
from stats.usage_wiring import add_usage
from stats.watch import Watch

SERVICE_NAMES = (
    stats_service_pb2.DESCRIPTOR.services_by_name["StatsService"].full_name,
    report_service_pb2.DESCRIPTOR.services_by_name["ReportService"].full_name,
    event_feed_service_pb2.DESCRIPTOR.services_by_name["EventFeedService"].full_name,
    api_usage_service_pb2.DESCRIPTOR.services_by_name["ApiUsageService"].full_name,
)


async def serve(settings: StatsSettings) -> None:
    """Serves until SIGTERM."""
    clock = clock_of(settings)
    async with (
        await connect_pool(settings, "stats", max_size=settings.stats_postgres_connections) as pool,
        unix_channel(settings.egress_socket("stats")) as channel,
    ):
        accounts, store = AccountsClient(channel), StatsStore(pool)
        subjects = Subjects(accounts)
        week_start = settings.week_start
        intake = Intake(
            accounts,
            clock,
            correction_delay_s=settings.stats_correction_delay_s,
            week_start=week_start,
        )
        audit = AuditLog(pool, settings.secret("audit-seal"), spool_of(settings, "stats"))
        process = server.Server(settings.socket, audit=audit)
        process.services.know_owners(
            {**lookups(subjects, store), **wiring.lookups(subjects, ReportStore(pool))}
        )
        add_StatsServiceServicer_to_server(
            StatsService(store, subjects, week_start=week_start), process.services
        )
        followers = [
            Follower(
                pool,
                channel,
                intake.take,
                prepare=intake.prepare,
                share=share,
                shares=SHARES,
                page=PAGE,
                poll_s=POLL_S,
            )
            for share in range(SHARES)
        ]
        counted_until_ms = partial(_counted_until_ms, followers)
        reports = wiring.add_reports(
            process,
            pool,
            subjects,
            objects_of(settings),
            LedgerClient(channel),
            owners=accounts,
            settings=settings,
            clock=clock,
            counted_until_ms=counted_until_ms,
        )
        events = EventOutbox(pool)
        add_EventFeedServiceServicer_to_server(EventFeedService(events), process.services)
        usage = add_usage(process, pool, channel, settings)
        closer = Closer(
            pool,
            clock,
            delay_h=settings.stats_close_delay_h,
            counted_until_ms=counted_until_ms,
            week_start=week_start,
        )
        watch = Watch(pool, clock, interval_s=settings.stats_watch_interval_s)
        async with beside(
            *(one.run() for one in followers),
            closer.run(),
            audit.run(),
            reports.run(),
            watch.run(),
            events.run(clock),
            usage.run(),
        ):
            await server.run(settings, process, SERVICE_NAMES)


def _counted_until_ms(followers: Sequence[Follower]) -> int | None:
    """Everything that was recorded by then is counted, as far as this process knows."""
    known = [one.followed_until_ms for one in followers]
    found = [one for one in known if one is not None]
    return min(found) if len(found) == len(known) else None


def main() -> None:
    """Entry point."""
    settings = StatsSettings()
    configure_logging(instance=settings.instance, level=settings.log_level)
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
