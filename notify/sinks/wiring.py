"""The event sink that the settings choose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from notify.settings import NotifySettings
from notify.sinks.relay import CONNECTIONS, Relay
from runtime.clock import Clock
from runtime.postgres import connect_pool
from runtime.secrets import secrets_of
from runtime.tasks import beside


def sink_name(settings: NotifySettings) -> str:
    """What its position is called; empty: there is none. Another topic begins anew."""
    return f"kafka:{settings.kafka_topic}" if settings.event_sink == "kafka" else ""


@asynccontextmanager
async def relaying(settings: NotifySettings, clock: Clock) -> AsyncIterator[None]:
    """Relays beside the block, if there is a sink."""
    name = sink_name(settings)
    if not name:
        yield
        return
    from notify.sinks.kafka import KafkaSink  # noqa: PLC0415  needed where it is chosen only

    def make() -> KafkaSink:
        return KafkaSink.of(settings, secrets_of(settings))

    async with (
        await connect_pool(settings, "notify", max_size=CONNECTIONS) as pool,
        beside(Relay(pool, make, name=name, clock=clock).run()),
    ):
        yield
