"""Settings of notify."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from notify.notices.mail import smtp_server
from notify.notices.phones import is_safe
from notify.sinks.kafka_config import fault_of
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
    notify_email_per_hour: int = Field(
        default=30,
        ge=1,
        le=10_000,
        description="Mails to one user in an hour, but for those that must be sent.",
    )
    notify_sms_per_hour: int = Field(
        default=10, ge=1, le=10_000, description="The same of text messages."
    )
    notify_push_per_hour: int = Field(
        default=60, ge=1, le=10_000, description="The same of messages to the issuer's app."
    )
    smtp_url: str = Field(
        default="",
        description="Who takes mails: `smtp://host:587` (STARTTLS), `smtps://user:password@host`;"
        " none: they are written to `mails/` in the home folder, for development.",
    )
    notify_sender: str = Field(
        default="Holdfast <notices@holdfast.local>",
        pattern=r"^[^\r\n<>]{0,100}<[^\s<>@]{1,64}@[^\s<>@]{1,255}>$",
        description="From whom mails are.",
    )
    notify_site_url: str = Field(
        default="https://localhost:8443",
        pattern=r"^https://[^\s?#]{1,200}[^\s?#/]$",
        description="Your site, to which links of mails lead: `/reset-password?token=…`,"
        " `/unsubscribe?token=…`.",
    )
    notify_api_url: str = Field(
        default="https://localhost:8443",
        pattern=r"^https://[^\s?#]{1,200}[^\s?#/]$",
        description="The edge as mail programs and browsers reach it: to unsubscribe with one"
        " click, and to download reports (`/reports`).",
    )
    notify_sms_url: str = Field(
        default="",
        description="Who sends text messages, by an interface like Twilio's: its base URL. Its"
        " token is the secret `sms-token`. None: they are logged without content.",
    )
    notify_sms_account: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_-]{0,64}$",
        description="The account there.",
    )
    notify_sms_sender: str = Field(
        default="", pattern=r"^[A-Za-z0-9+ ]{0,20}$", description="The number there."
    )
    notify_push_url: str = Field(
        default="",
        description="Your server that sends messages to the devices of a user, by POST; its bearer"
        " token is the secret `push-token`. None: they are logged without content.",
    )

    event_sink: Literal["none", "kafka"] = Field(
        default="none",
        description="Where all events go on to, beside webhooks: docs/STREAMING.md.",
    )
    kafka_bootstrap: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9._-]+:[0-9]{1,5}(,[A-Za-z0-9._-]+:[0-9]{1,5})*)?$",
        description="Brokers to begin with, with HOLDFAST_EVENT_SINK=kafka: `host:9093,host:9093`.",
    )
    kafka_topic: str = Field(
        default="holdfast.events",
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="The topic; another one is told everything anew that is still kept.",
    )
    kafka_security: Literal["tls", "plaintext"] = Field(
        default="tls",
        description="How brokers are spoken to. With the secrets `kafka-certificate` and"
        " `kafka-certificate-key` (PEM), they are shown a certificate.",
    )
    kafka_sasl: Literal["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="none",
        description="How Holdfast signs in there: the secret `kafka-login` is `<user>:<password>`.",
    )
    kafka_ca_file: str = Field(
        default="", description="Who vouches for brokers, PEM; none: the machine's own CAs."
    )

    @model_validator(mode="after")
    def _sink_can_be_meant(self) -> Self:
        fault = fault_of(
            bootstrap=self.kafka_bootstrap,
            security=self.kafka_security,
            sasl=self.kafka_sasl,
            ca_file=self.kafka_ca_file,
        )
        if self.event_sink == "kafka" and fault:
            raise ValueError(fault)
        return self

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, value: str) -> str:
        if value:
            smtp_server(value)
        return value

    @field_validator("notify_sms_url", "notify_push_url")
    @classmethod
    def _safe(cls, value: str) -> str:
        if value and not is_safe(value):
            raise ValueError("must be https, unless it is on this machine")
        return value
