"""Wires what counts the use of the API, and shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from holdfast.stats.v1.api_usage_service_pb2_grpc import add_ApiUsageServiceServicer_to_server
from runtime.clock import SystemClock
from runtime.server import Server
from stats.settings import StatsSettings
from stats.usage_follower import GatewayClient, UsageFollower
from stats.usage_service import ApiUsageService
from stats.usage_store import UsageStore

if TYPE_CHECKING:
    import asyncpg


def add_usage(
    process: Server, pool: asyncpg.Pool, channel: grpc.aio.Channel, settings: StatsSettings
) -> UsageFollower:
    """Adds ApiUsageService; returns what counts."""
    gateway = GatewayClient(channel)
    add_ApiUsageServiceServicer_to_server(
        ApiUsageService(UsageStore(pool), gateway.merchant_of), process.services
    )
    return UsageFollower(
        pool,
        gateway,
        # Envoy's requests are of this world, whatever a moved clock shows.
        SystemClock(),
        retention_days=settings.stats_usage_retention_days,
        caller_retention_days=settings.stats_usage_caller_retention_days,
    )
