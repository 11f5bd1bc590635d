"""Events in a topic of Kafka (librdkafka): the key is the account, the value what webhooks carry.

The client repeats by itself what a broker does not take, for as long as it does not, and connects
again, each time later. A page has ended once every message of it is on all replicas in sync.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from notify.payload import body_of
from notify.settings import NotifySettings
from notify.sinks.kafka_config import Login, configuration, headers_of, login_of
from notify.sinks.sink import Numbered, SinkUnavailable
from runtime.log import get_logger
from runtime.metrics import SINK_FAILURES
from runtime.secrets import SecretError, SecretsProvider

#: Names of secrets.
LOGIN = "kafka-login"
CERTIFICATE = "kafka-certificate"
CERTIFICATE_KEY = "kafka-certificate-key"
#: How long a thread waits for brokers before it looks whether anybody still wants it to.
_WAIT_S = 0.25
#: How often the log says the same.
_SAY_EVERY_S = 60.0
#: A page that takes longer is worth a line.
_LONG_S = 10.0
_CLOSE_S = 1.0
_CONFIGURATION = "CONFIGURATION"
#: How a client ends: the binding forgets to say why if it was in the middle of a callback.
_ENDED = (KafkaException, BufferError, SystemError)
#: What librdkafka calls it.
_NOT_SIGNED_IN = "_AUTHENTICATION"

logger = get_logger()


class KafkaSink:
    """Writes to one topic: several would have no order among them."""

    def __init__(self, configured: dict[str, str | int | bool], topic: str) -> None:
        self._topic = topic
        self._refused: str = ""
        self._said: dict[str, float] = {}
        # What the client would write to stderr comes as errors, too.
        quiet = logging.getLogger("librdkafka")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        self._producer = Producer(
            {
                **configured,
                "error_cb": self._failed,
                "on_delivery": self._delivered,
                "logger": quiet,
            }
        )

    @classmethod
    def of(cls, settings: NotifySettings, secrets: SecretsProvider) -> KafkaSink:
        """The topic that the settings name, with secrets as they are now."""
        try:
            return cls(configured(settings, secrets), settings.kafka_topic)
        except (SecretError, ValueError) as error:
            raise SinkUnavailable(_CONFIGURATION, str(error)) from None
        except KafkaException as error:
            raise SinkUnavailable(_CONFIGURATION, _text_of(error)) from None

    async def take(self, connection: Any, events: Sequence[Numbered]) -> None:
        """Writes a page, and waits until brokers have it, for as long as it takes."""
        del connection
        try:
            for one in events:
                self._producer.produce(
                    self._topic,
                    value=body_of(one.event),
                    key=one.event.key,
                    headers=headers_of(one.event),
                )
            await self._written(len(events))
        except _ENDED as error:
            raise SinkUnavailable(self._refused or _word_of(error)) from None

    async def close(self) -> None:
        """Gives up what no broker has."""
        await asyncio.to_thread(self._purge)

    async def _written(self, events: int) -> None:
        began = time.monotonic()
        self._producer.poll(0)
        left = len(self._producer)
        while left and not self._refused:
            left = await asyncio.to_thread(self._producer.flush, _WAIT_S)
            waited_s = time.monotonic() - began
            if left and waited_s > _LONG_S and self._may_say("waits"):
                logger.warning("sink_waits", topic=self._topic, waited_s=round(waited_s), left=left)
        if self._refused:
            raise SinkUnavailable(self._refused)
        if self._said and events:
            self._said.clear()
            logger.info("sink_answers", topic=self._topic)

    def _purge(self) -> None:
        try:
            self._producer.purge()
            self._producer.flush(_CLOSE_S)
        except _ENDED as error:
            logger.debug("sink_closed", because=_word_of(error))

    def _delivered(self, error: KafkaError | None, _: Any) -> None:
        if error is not None:
            self._refused = self._refused or error.name()

    def _failed(self, error: KafkaError) -> None:
        """The client tells what is wrong, again and again, and goes on by itself. That ends where
        it cannot, and where secrets may have changed: another client reads them anew. What it says
        has addresses of brokers, and no secret.
        """
        SINK_FAILURES.labels(error.name()).inc()
        if error.fatal() or error.name() == _NOT_SIGNED_IN:
            self._refused = self._refused or error.name()
        if self._may_say(error.name()):
            logger.warning("sink_failing", code=error.name(), because=error.str())

    def _may_say(self, what: str) -> bool:
        now = time.monotonic()
        if now - self._said.get(what, -_SAY_EVERY_S) < _SAY_EVERY_S:
            return False
        self._said[what] = now
        return True


def configured(settings: NotifySettings, secrets: SecretsProvider) -> dict[str, str | int | bool]:
    """The client's configuration; it holds secrets, so it is kept nowhere."""
    user, password = ("", "")
    if settings.kafka_sasl != "none":
        user, password = login_of(secrets.read(LOGIN).decode())
    certificate, key = ("", "")
    if secrets.stamp(CERTIFICATE) is not None:
        certificate = secrets.read(CERTIFICATE).decode()
        key = secrets.read(CERTIFICATE_KEY).decode()
    return configuration(
        bootstrap=settings.kafka_bootstrap,
        security=settings.kafka_security,
        sasl=settings.kafka_sasl,
        ca_file=settings.kafka_ca_file,
        login=Login(user=user, password=password, certificate=certificate, certificate_key=key),
    )


def _text_of(error: KafkaException) -> str:
    found = error.args[0] if error.args else None
    return found.str() if isinstance(found, KafkaError) else type(error).__name__


def _word_of(error: Exception) -> str:
    found = error.args[0] if error.args else None
    return found.name() if isinstance(found, KafkaError) else type(error).__name__
