"""Settings of the gateway."""

from __future__ import annotations

from pydantic import Field

from runtime.settings import Settings


class GatewaySettings(Settings):
    """What can be set beyond what every process shares."""

    instance: str = "gateway"
    gateway_postgres_connections: int = Field(
        default=8, ge=2, le=64, description="Most connections to PostgreSQL at once."
    )
    gateway_queue_commands: int = Field(
        default=2048, ge=1, description="Most commands that wait for the cache Valkey."
    )
    gateway_request_lifetime_h: int = Field(
        default=24, ge=1, le=24 * 365, description="How long a request id is remembered."
    )
