"""What Envoy is told, over the socket that it asks at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import grpc
import pytest
from redis.asyncio import Redis

from envoy_wire import rate_limit_pb2 as pb
from gateway.edge import limits_of, rate_limits
from gateway.junk_keys import JunkKeys
from gateway.limits import Kind
from gateway.rate_limit_front import METHOD, kinds_by_method
from gateway.settings import GatewaySettings
from runtime.channel import unix_channel
from runtime.clock import ManualClock
from runtime.devstack.supervisor import Devstack
from tests.accounts_mesh import short_folder

OK, OVER_LIMIT = pb.RateLimitResponse.OK, pb.RateLimitResponse.OVER_LIMIT
#: An office with many users.
OFFICE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
(REFRESH,) = (path for path, kind in kinds_by_method().items() if kind is Kind.REFRESH)
LOGIN = REFRESH.replace("/Refresh", "/Login")
_FIELDS = GatewaySettings.model_fields
_LIMITS = ("limit_sign_in_per_minute", "limit_refresh_per_minute")


class Front(NamedTuple):
    settings: GatewaySettings
    channel: grpc.aio.Channel
    clock: ManualClock
    junk: JunkKeys

    async def ask(self, method: str, address: str) -> pb.RateLimitResponse:
        request = pb.RateLimitRequest(domain="edge")
        descriptor = request.descriptors.add()
        for key, value in (("method", method), ("remote_address", address)):
            descriptor.entries.add(key=key, value=value)
        ask = self.channel.unary_unary(
            METHOD,
            request_serializer=pb.RateLimitRequest.SerializeToString,
            response_deserializer=pb.RateLimitResponse.FromString,
        )
        answer: pb.RateLimitResponse = await ask(request, wait_for_ready=True, timeout=30)
        return answer


@pytest.fixture
async def front(devstack_base: Devstack, cache: Redis) -> AsyncIterator[Front]:
    del cache
    # As they are set: tests of whole meshes raise some of them in the environment.
    limits = {name: _FIELDS[name].default for name in _LIMITS}
    settings = GatewaySettings(**devstack_base.settings.model_dump() | limits)
    clock, junk = ManualClock(), JunkKeys(settings.limit_sign_in_per_minute)
    with short_folder() as folder:
        socket = folder / "limits.sock"
        running = rate_limits(settings, clock, junk=junk)
        running.start(socket, serving=lambda: True)
        try:
            async with unix_channel(socket) as channel:
                yield Front(settings, channel, clock, junk)
        finally:
            await asyncio.to_thread(running.stop)
            running._limiter._connection.close()


async def test_an_office_refreshes_more_often_than_it_signs_in(front: Front) -> None:
    limits = limits_of(front.settings)
    assert limits.refresh >= 20 * limits.sign_in > 0
    for number in range(limits.refresh):
        assert (await front.ask(REFRESH, OFFICE)).overall_code == OK, number
    assert (await front.ask(REFRESH, OFFICE)).overall_code == OVER_LIMIT
    for number in range(limits.sign_in):
        assert (await front.ask(LOGIN, OFFICE)).overall_code == OK, number
    assert (await front.ask(LOGIN, OFFICE)).overall_code == OVER_LIMIT


async def test_who_shows_junk_waits_with_refresh_tokens(front: Front) -> None:
    """Nothing reaches the service that would be recorded for good, one by one."""
    for _ in range(front.settings.limit_sign_in_per_minute):
        assert (await front.ask(REFRESH, OFFICE)).overall_code == OK
        front.junk.take(OFFICE, now_ms=front.clock.now_ms())
    refused = await front.ask(REFRESH, OFFICE)
    assert refused.overall_code == OVER_LIMIT
    headers = {one.key: one.value for one in refused.response_headers_to_add}
    assert headers["retry-after"] == "60"
    assert (await front.ask(REFRESH, ELSEWHERE)).overall_code == OK
    assert (await front.ask(LOGIN, OFFICE)).overall_code == OK
    front.clock.advance(60_000)
    assert (await front.ask(REFRESH, OFFICE)).overall_code == OK
