"""What Kafka's client is told, and what is never repeated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from notify.payload import Told
from notify.settings import NotifySettings
from notify.sinks.kafka_config import Login, configuration, headers_of, login_of

BROKERS = "one.example:9093,two.example:9093"
EVENT_ID = "evt_2a" + "0" * 32
LOGIN = Login(user="holdfast", password="correct horse")
CERTIFIED = Login(certificate="-----CERTIFICATE", certificate_key="-----KEY")


def configured(**more: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"security": "tls", "sasl": "none", "ca_file": "", "login": Login()}
    return configuration(bootstrap=BROKERS, **said | more)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param({"security": "plaintext"}, {"security.protocol": "PLAINTEXT"}, id="plain"),
        pytest.param({}, {"security.protocol": "SSL"}, id="TLS"),
        pytest.param({"ca_file": "/ca.pem"}, {"ssl.ca.location": "/ca.pem"}, id="another CA"),
        pytest.param(
            {"login": CERTIFIED},
            {"security.protocol": "SSL", "ssl.certificate.pem": "-----CERTIFICATE"},
            id="with a certificate",
        ),
        pytest.param(
            {"sasl": "SCRAM-SHA-512", "login": LOGIN},
            {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"},
            id="with a login",
        ),
    ],
)
def test_how_brokers_are_spoken_to(said: dict[str, Any], expected: dict[str, Any]) -> None:
    found = configured(**said)

    assert found | expected == found
    assert found["bootstrap.servers"] == BROKERS


def test_order_and_durability_are_no_options() -> None:
    found = configured()

    assert found["acks"] == "all"
    assert found["enable.idempotence"] is True
    assert found["enable.gapless.guarantee"] is True, "what is refused holds up what follows"
    assert found["message.timeout.ms"] == 0, "nothing is given up for being late"


@pytest.mark.parametrize("text", ["", "holdfast", ":secret", "holdfast:"])
def test_a_login_of_another_form_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="kafka-login must be") as caught:
        login_of(text)

    assert "secret," not in str(caught.value)
    assert login_of("holdfast:a:b\n") == ("holdfast", "a:b")


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({}, "needs HOLDFAST_KAFKA_BOOTSTRAP"),
        ({"kafka_bootstrap": BROKERS, "kafka_security": "plaintext", "kafka_sasl": "PLAIN"}, "TLS"),
        ({"kafka_bootstrap": "user:password@host:9093"}, "kafka_bootstrap"),
    ],
)
def test_settings_that_cannot_be_meant(said: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        NotifySettings(event_sink="kafka", **said)


def test_a_message_says_what_it_is() -> None:
    event = Told(
        id=EVENT_ID,
        type="card.frozen",
        sequence=1,
        account_id="acct_2a" + "0" * 32,
        owner_id="",
        user_id="",
        data="{}",
        create_time=datetime(2027, 1, 20, tzinfo=UTC),
    )

    assert headers_of(event) == [
        ("id", EVENT_ID.encode()),
        ("type", b"card.frozen"),
        ("schema", b"holdfast.event.v1"),
    ]
