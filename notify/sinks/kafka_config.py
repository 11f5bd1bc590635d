"""What Kafka is told: how the client is set up, and what a message has beside its value. No I/O, no
clock, no grpc.
"""

from __future__ import annotations

from notify.payload import Told
from runtime.record import record

#: Says what the value is; another one would be another topic's.
SCHEMA = "holdfast.event.v1"
#: Never more than this at a time waits for a broker.
_QUEUED_MAX = 10_000
#: How long a client waits for company of a message, and before it connects again.
_LINGER_MS = 5
_RECONNECT_MS_MAX = 5_000
_METADATA_MS_MAX = 60_000


@record
class Login:
    """What secrets say; empty: nothing."""

    user: str = ""
    password: str = ""
    #: PEM: who we are, where brokers ask for a certificate.
    certificate: str = ""
    certificate_key: str = ""


def login_of(text: str) -> tuple[str, str]:
    """User and password of `<user>:<password>`; raises ValueError, without quoting it."""
    user, separator, password = text.strip().partition(":")
    if not (user and separator and password):
        raise ValueError("the secret kafka-login must be <user>:<password>")
    return user, password


def fault_of(*, bootstrap: str, security: str, sasl: str, ca_file: str) -> str:
    """Why the settings cannot be meant; empty if they can."""
    if not bootstrap:
        return "HOLDFAST_EVENT_SINK=kafka needs HOLDFAST_KAFKA_BOOTSTRAP"
    if security == "plaintext" and (sasl != "none" or ca_file):
        return "HOLDFAST_KAFKA_SECURITY=plaintext goes with no login and no CA: they need TLS"
    return ""


def configuration(
    *, bootstrap: str, security: str, sasl: str, ca_file: str, login: Login
) -> dict[str, str | int | bool]:
    """Settings of librdkafka.

    Order is kept whatever happens: one producer writes once and in order (idempotence), nothing is
    given up for being late, and what a broker refuses for good ends the producer before it can go
    on with what comes behind.
    """
    found: dict[str, str | int | bool] = {
        "bootstrap.servers": bootstrap,
        "client.id": "holdfast",
        "enable.idempotence": True,
        "enable.gapless.guarantee": True,
        "acks": "all",
        "message.timeout.ms": 0,
        # As Java's clients do it: a key has one partition, whoever writes.
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": _LINGER_MS,
        "queue.buffering.max.messages": _QUEUED_MAX,
        "reconnect.backoff.max.ms": _RECONNECT_MS_MAX,
        "topic.metadata.refresh.interval.ms": _METADATA_MS_MAX,
    }
    if security == "plaintext":
        return found | {"security.protocol": "PLAINTEXT"}
    found["security.protocol"] = "SSL"
    found["ssl.endpoint.identification.algorithm"] = "https"
    if ca_file:
        found["ssl.ca.location"] = ca_file
    if login.certificate:
        found["ssl.certificate.pem"] = login.certificate
        found["ssl.key.pem"] = login.certificate_key
    if sasl != "none":
        found["security.protocol"] = "SASL_SSL"
        found["sasl.mechanism"] = sasl
        found["sasl.username"] = login.user
        found["sasl.password"] = login.password
    return found


def headers_of(event: Told) -> list[tuple[str, str | bytes | None]]:
    """What consumers may want to know before they read the value."""
    return [
        ("id", event.id.encode()),
        ("type", event.type.encode()),
        ("schema", SCHEMA.encode()),
    ]
