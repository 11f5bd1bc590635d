"""Asks the issuer's own service, within a hard deadline: who answers later is not heard."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc

from authz.external import Failure, Opinion, by_default, opinion_of
from authz.settings import AuthzSettings
from holdfast.authz.v1 import external_decision_service_pb2 as external
from holdfast.authz.v1.external_decision_service_pb2_grpc import ExternalDecisionServiceStub
from runtime.channel import tls_channel, unix_channel
from runtime.log import get_logger
from runtime.metrics import EXTERNAL_DECISIONS

logger = get_logger()


class ExternalDecisions:
    """The channel to the issuer's service, and what stands for its answers."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_s: float, approve: bool) -> None:
        self._channel = channel
        self._stub = ExternalDecisionServiceStub(channel)
        self.timeout_s = timeout_s
        self._approve = approve

    async def close(self) -> None:
        """Ends the channel."""
        await self._channel.close()

    async def decide(self, question: external.DecideRequest, *, timeout_s: float) -> Opinion:
        """One question; never raises, never waits longer."""
        answer = await self._ask(question, timeout_s)
        opinion = answer if isinstance(answer, Failure) else opinion_of(answer)
        if opinion is None:
            opinion = Failure.NOT_UNDERSTOOD
        if isinstance(opinion, Failure):
            EXTERNAL_DECISIONS.labels(opinion).inc()
            return by_default(opinion, approve=self._approve)
        EXTERNAL_DECISIONS.labels("declined" if opinion.reason else "approved").inc()
        return opinion

    async def _ask(
        self, question: external.DecideRequest, timeout_s: float
    ) -> external.DecideResponse | Failure:
        try:
            # The call tells the service its deadline; ours holds whatever the library does.
            async with asyncio.timeout(timeout_s):
                answer = await self._stub.Decide(question, timeout=timeout_s)
        except TimeoutError:
            return Failure.TIMEOUT
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return Failure.TIMEOUT
            logger.warning("external_decision_failed", code=error.code().name)
            return Failure.UNREACHABLE
        # grpc makes None of bytes that are no message.
        return Failure.NOT_UNDERSTOOD if answer is None else answer


class Consultation:
    """What was asked about one purchase, and answered: once, unless the question has changed.

    All questions about a purchase share one deadline.
    """

    def __init__(self, decisions: ExternalDecisions) -> None:
        self._decisions = decisions
        self._question: external.DecideRequest | None = None
        self._opinion: Opinion | None = None
        self._until_s: float | None = None

    async def on(self, question: external.DecideRequest) -> Opinion:
        """The answer to this question."""
        if self._opinion is None or question != self._question:
            now_s = asyncio.get_running_loop().time()
            if self._until_s is None:
                self._until_s = now_s + self._decisions.timeout_s
            left_s = max(self._until_s - now_s, 0)
            self._question = question
            self._opinion = await self._decisions.decide(question, timeout_s=left_s)
        return self._opinion


def external_decisions(settings: AuthzSettings) -> ExternalDecisions | None:
    """The service of the settings; None: nobody is asked."""
    target = settings.external_decision_target
    if target is None:
        return None
    scheme, _, address = target.partition(":")
    if scheme == "unix":
        channel = unix_channel(Path(address))
    else:
        roots = settings.external_decision_ca
        address = address.removeprefix("//")
        channel = tls_channel(address, roots=roots.read_bytes() if roots else None)
    return ExternalDecisions(
        channel,
        timeout_s=settings.external_decision_timeout_ms / 1000,
        approve=settings.external_decision_default == "approve",
    )
