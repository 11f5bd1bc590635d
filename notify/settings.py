"""Settings of notify."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from pydantic import Field

from runtime.settings import Settings


class NotifySettings(Settings):
    """What can be set beyond what every process shares."""

    @property
    def allowed_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of `webhook_networks`."""
        named = (one.strip() for one in self.webhook_networks.split(","))
        return tuple(ip_network(one) for one in named if one)

    instance: str = "notify"
    notify_postgres_connections: int = Field(
        default=6, ge=4, le=64, description="Most connections to PostgreSQL at once."
    )
    notify_webhook_timeout_s: int = Field(
        default=10, ge=1, le=60, description="How long a webhook endpoint may take to answer."
    )
    notify_webhooks_at_once: int = Field(
        default=256, ge=8, le=4_096, description="Connections to webhook endpoints at once."
    )
    notify_request_lifetime_h: int = Field(
        default=24, ge=1, le=24 * 365, description="How long a request id is remembered."
    )
    notify_event_days: int = Field(
        default=90, ge=1, le=3_650, description="How long events can be listed and sent again."
    )
