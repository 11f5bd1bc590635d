"""Webhooks arrive, signed and in order; who does not take them is asked again, and nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from holdfast.notify.v1 import webhook_pb2
from holdfast.notify.v1 import webhook_service_pb2 as pb
from notify.endpoint import WAITS_MS
from notify.lane import FAILURES
from tests.notify_mesh import (
    ACCOUNT,
    ADMIN,
    COMPANY,
    OTHER_ACCOUNT,
    OTHER_COMPANY,
    PERSONAL,
    USER,
    NotifyMesh,
)
from tests.webhook_receiver import Receiver, receiver

_STATE = webhook_pb2.WebhookDelivery.State
DAY_MS = 86_400_000


@pytest.fixture
async def inbox() -> AsyncIterator[Receiver]:
    async with receiver() as running:
        yield running


async def deliveries(mesh: NotifyMesh, endpoint_id: str) -> list[webhook_pb2.WebhookDelivery]:
    request = pb.ListWebhookDeliveriesRequest(endpoint_id=endpoint_id)
    answer = await mesh.webhooks.ListWebhookDeliveries(request, metadata=ADMIN)
    return list(answer.deliveries)


async def attempts(
    mesh: NotifyMesh, one: webhook_pb2.WebhookDelivery
) -> list[webhook_pb2.WebhookAttempt]:
    request = pb.ListWebhookAttemptsRequest(endpoint_id=one.endpoint_id, event_id=one.event_id)
    answer = await mesh.webhooks.ListWebhookAttempts(request, metadata=ADMIN)
    return list(answer.attempts)


async def test_each_endpoint_is_told_what_it_wants(mesh: NotifyMesh, inbox: Receiver) -> None:
    mine = await mesh.endpoint(inbox.url("/ok/mine"))
    await mesh.endpoint(inbox.url("/ok/users"), types=["user.*"])
    other = await mesh.endpoint(inbox.url("/ok/other"), owner_id=OTHER_COMPANY)
    everybody = await mesh.endpoint(inbox.url("/ok/all"), owner_id="")
    mesh.freeze()
    mesh.freeze(OTHER_ACCOUNT)
    mesh.freeze(PERSONAL)
    mesh.happen("user.closed", owner_id=USER, user_id=USER, state="CLOSED")
    assert await mesh.delivered() == 6
    now_s = mesh.clock.now_ms() // 1000
    (event,) = inbox.verified(mine.secret, "/ok/mine", now_s=now_s)
    assert (event["type"], event["account_id"], event["owner_id"]) == (
        "card.frozen",
        ACCOUNT,
        COMPANY,
    )
    assert (event["sequence"], event["data"]["state"]) == (1, "FROZEN")
    assert inbox.at("/ok/mine")[0].headers["webhook-id"] == event["id"]
    assert inbox.at("/ok/mine")[0].headers["content-type"] == "application/json"
    assert len(inbox.verified(other.secret, "/ok/other", now_s=now_s)) == 1
    assert len(inbox.verified(everybody.secret, "/ok/all", now_s=now_s)) == 4
    assert inbox.at("/ok/users") == []
    (done,) = await deliveries(mesh, mine.webhook_endpoint.id)
    assert (done.state, done.attempt_count) == (_STATE.STATE_DELIVERED, 1)
    assert await mesh.delivered() == 0


async def test_events_of_an_account_come_in_order(mesh: NotifyMesh, inbox: Receiver) -> None:
    await mesh.endpoint(inbox.url("/ok"), owner_id="")
    for _ in range(30):
        for account in (ACCOUNT, OTHER_ACCOUNT, PERSONAL):
            mesh.freeze(account)
    assert await mesh.delivered() == 90
    for account in (ACCOUNT, OTHER_ACCOUNT, PERSONAL):
        mine = [one.event for one in inbox.at("/ok") if one.event["account_id"] == account]
        assert [one["sequence"] for one in mine] == list(range(1, 31))


async def test_who_does_not_take_it_is_asked_again(mesh: NotifyMesh, inbox: Receiver) -> None:
    """Goal: exactly the schedule, then FAILED; the body is always the same."""
    made = await mesh.endpoint(inbox.url("/fail"))
    mesh.freeze()
    sent = await mesh.delivered()
    for tries in range(1, 8):
        mesh.clock.advance(WAITS_MS[tries] - 1)
        assert await mesh.delivered() == 0
        (one,) = await deliveries(mesh, made.webhook_endpoint.id)
        assert (one.state, one.attempt_count) == (_STATE.STATE_PENDING, tries)
        mesh.clock.advance(1)
        sent += await mesh.delivered()
    assert sent == 8
    (one,) = await deliveries(mesh, made.webhook_endpoint.id)
    assert (one.state, one.HasField("next_attempt_time")) == (_STATE.STATE_FAILED, False)
    assert len({one.body for one in inbox.received}) == 1
    assert len({one.headers["webhook-id"] for one in inbox.received}) == 1
    found = await attempts(mesh, one)
    assert [each.number for each in found] == list(range(1, 9))
    assert {each.status for each in found} == {500}
    assert found[0].response.startswith("no � idea xxx")
    assert len(found[0].response) == 1024
    mesh.clock.advance(DAY_MS)
    assert await mesh.delivered() == 0


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [("/moved", 302, ""), ("/slow", 0, "TIMEOUT"), ("/huge", 200, ""), ("/fail", 500, "")],
)
async def test_what_was_said_is_shown(
    mesh: NotifyMesh, inbox: Receiver, path: str, status: int, error: str
) -> None:
    """Redirects are not followed, slow ones are given up, endless answers are cut off."""
    made = await mesh.endpoint(inbox.url(path))
    mesh.freeze()
    assert await mesh.delivered() == 1
    (one,) = await deliveries(mesh, made.webhook_endpoint.id)
    (attempt,) = await attempts(mesh, one)
    assert (attempt.status, attempt.error) == (status, error)
    assert inbox.at("/ok") == []
    assert len(attempt.response) <= 1024


async def test_nobody_listens(mesh: NotifyMesh) -> None:
    made = await mesh.endpoint("http://127.0.0.1:1/")
    mesh.freeze()
    await mesh.delivered()
    (one,) = await deliveries(mesh, made.webhook_endpoint.id)
    assert [each.error for each in await attempts(mesh, one)] == ["CONNECTION_FAILED"]


async def test_five_days_without_an_answer(mesh: NotifyMesh, inbox: Receiver) -> None:
    """Goal: the endpoint is disabled, its company is told, and resuming sends what waited."""
    made = await mesh.endpoint(inbox.url("/ok/failing"))
    watching = await mesh.endpoint(inbox.url("/ok/watching"), types=["webhook.*"])
    inbox.failures["/ok/failing"] = 3
    mesh.freeze()
    await mesh.delivered()
    get = pb.GetWebhookEndpointRequest(endpoint_id=made.webhook_endpoint.id)
    answer = await mesh.webhooks.GetWebhookEndpoint(get, metadata=ADMIN)
    assert answer.webhook_endpoint.failing_since.ToMilliseconds() == mesh.clock.now_ms()
    mesh.clock.advance(5 * DAY_MS)
    assert await mesh.delivered() == 1
    answer = await mesh.webhooks.GetWebhookEndpoint(get, metadata=ADMIN)
    endpoint = answer.webhook_endpoint
    assert endpoint.state == webhook_pb2.WebhookEndpoint.STATE_DISABLED
    (notice,) = inbox.verified(watching.secret, "/ok/watching", now_s=mesh.clock.now_ms() // 1000)
    assert notice["type"] == "webhook.disabled"
    assert notice["data"]["endpoint_id"] == endpoint.id
    # What happens now does not wait for it.
    mesh.freeze()
    await mesh.delivered()
    resume = pb.ResumeWebhookEndpointRequest(request_id=mesh.request_id(), endpoint_id=endpoint.id)
    await mesh.webhooks.ResumeWebhookEndpoint(resume, metadata=ADMIN)
    inbox.failures.clear()
    assert await mesh.delivered() == 1
    replay = pb.ReplayWebhookEventsRequest(
        request_id=mesh.request_id(), endpoint_id=endpoint.id, start_time=endpoint.create_time
    )
    replayed = await mesh.webhooks.ReplayWebhookEvents(replay, metadata=ADMIN)
    assert (replayed.event_count, replayed.more) == (2, False)
    assert await mesh.delivered() == 2
    replay.request_id = mesh.request_id()
    again = await mesh.webhooks.ReplayWebhookEvents(replay, metadata=ADMIN)
    assert again.event_count == 0


async def test_a_dead_endpoint_delays_nobody(mesh: NotifyMesh, inbox: Receiver) -> None:
    """Goal: while some endpoints hang, the others are told everything at once. Method: the running
    dispatcher, and an inbox that does not answer some of them.
    """
    for number in range(3):
        await mesh.endpoint(inbox.url(f"/slow/{number}"))
    await mesh.endpoint(inbox.url("/ok/quick"))
    for _ in range(40):
        mesh.freeze()
    await mesh.caught_up()
    task = asyncio.create_task(mesh.dispatcher.run())
    try:
        await _until(lambda: len(inbox.at("/ok/quick")) == 40)
        # Of others, one at a time: all are events of one account.
        assert all(len(inbox.at(f"/slow/{number}")) <= FAILURES for number in range(3))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_one_process_delivers_and_another_takes_over(
    mesh: NotifyMesh, inbox: Receiver
) -> None:
    """Goal: two that run do not send anything twice; if one goes, the other goes on."""
    made = await mesh.endpoint(inbox.url("/ok"))
    name = made.webhook_endpoint.id
    one = asyncio.create_task(mesh.dispatcher.run())
    await asyncio.sleep(0.2)
    other = asyncio.create_task(mesh.other_dispatcher().run())
    try:
        for _ in range(20):
            mesh.freeze()
        await mesh.caught_up()
        await _until(lambda: len(inbox.received) >= 20)
        while {each.state for each in await deliveries(mesh, name)} != {  # noqa: ASYNC110
            _STATE.STATE_DELIVERED
        }:
            await asyncio.sleep(0.02)
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        mesh.freeze()
        await mesh.caught_up()
        await _until(lambda: len(inbox.received) >= 21)
        assert len({each.headers["webhook-id"] for each in inbox.received}) == 21
        assert len(inbox.received) == 21
    finally:
        for task in (one, other):
            task.cancel()
        await asyncio.gather(one, other, return_exceptions=True)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what others have received sets no event
            await asyncio.sleep(0.02)


async def test_paused_endpoints_wait(mesh: NotifyMesh, inbox: Receiver) -> None:
    made = await mesh.endpoint(inbox.url("/ok"))
    name = made.webhook_endpoint.id
    pause = pb.PauseWebhookEndpointRequest(request_id=mesh.request_id(), endpoint_id=name)
    await mesh.webhooks.PauseWebhookEndpoint(pause, metadata=ADMIN)
    mesh.freeze()
    assert await mesh.delivered() == 0
    resume = pb.ResumeWebhookEndpointRequest(request_id=mesh.request_id(), endpoint_id=name)
    await mesh.webhooks.ResumeWebhookEndpoint(resume, metadata=ADMIN)
    assert await mesh.delivered() == 1


async def test_rotation_signs_with_both(mesh: NotifyMesh, inbox: Receiver) -> None:
    made = await mesh.endpoint(inbox.url("/ok"))
    rotate = pb.RotateWebhookSecretRequest(
        request_id=mesh.request_id(), endpoint_id=made.webhook_endpoint.id
    )
    rotated = await mesh.webhooks.RotateWebhookSecret(rotate, metadata=ADMIN)
    assert rotated.secret != made.secret
    mesh.freeze()
    await mesh.delivered()
    now_s = mesh.clock.now_ms() // 1000
    assert len(inbox.verified(made.secret, "/ok", now_s=now_s)) == 1
    assert len(inbox.verified(rotated.secret, "/ok", now_s=now_s)) == 1
    inbox.received.clear()
    mesh.clock.advance(DAY_MS)
    mesh.freeze()
    await mesh.delivered()
    (one,) = inbox.received
    assert len(one.headers["webhook-signature"].split(" ")) == 1
    assert len(inbox.verified(rotated.secret, "/ok", now_s=mesh.clock.now_ms() // 1000)) == 1


async def test_resending_one(mesh: NotifyMesh, inbox: Receiver) -> None:
    made = await mesh.endpoint(inbox.url("/ok"))
    mesh.freeze()
    await mesh.delivered()
    (one,) = await deliveries(mesh, made.webhook_endpoint.id)
    request = pb.ResendWebhookDeliveryRequest(
        request_id=mesh.request_id(), endpoint_id=one.endpoint_id, event_id=one.event_id
    )
    answer = await mesh.webhooks.ResendWebhookDelivery(request, metadata=ADMIN)
    assert answer.delivery.state == _STATE.STATE_PENDING
    assert await mesh.webhooks.ResendWebhookDelivery(request, metadata=ADMIN) == answer
    assert await mesh.delivered() == 1
    assert [each.number for each in await attempts(mesh, one)] == [1, 2]
    assert inbox.received[0].body == inbox.received[1].body


async def test_what_is_asked_for_again_while_it_is_sent(mesh: NotifyMesh, inbox: Receiver) -> None:
    """Goal: it is sent once more, although the attempt that is under way is taken."""
    made = await mesh.endpoint(inbox.url("/slow"))
    mesh.freeze()
    await mesh.caught_up()
    sending = asyncio.create_task(mesh.dispatcher.deliver_due())
    await _until(lambda: len(inbox.received) == 1)
    mesh.clock.advance(1)
    (one,) = await deliveries(mesh, made.webhook_endpoint.id)
    request = pb.ResendWebhookDeliveryRequest(
        request_id=mesh.request_id(), endpoint_id=one.endpoint_id, event_id=one.event_id
    )
    await mesh.webhooks.ResendWebhookDelivery(request, metadata=ADMIN)
    inbox.release.set()
    assert await sending == 2
    (one,) = await deliveries(mesh, made.webhook_endpoint.id)
    assert (one.state, one.attempt_count) == (_STATE.STATE_DELIVERED, 2)


async def test_a_dead_endpoint_is_left_alone(mesh: NotifyMesh, inbox: Receiver) -> None:
    """Goal: what waits for it does not make for a request each; once it answers, all is sent."""
    made = await mesh.endpoint(inbox.url("/ok/dead"))
    inbox.failures["/ok/dead"] = 6
    for _ in range(20):
        mesh.freeze()
    assert await mesh.delivered() == FAILURES
    for seconds in (1, 2, 4):
        mesh.clock.advance(1_000 * seconds - 1)
        assert await mesh.dispatcher.deliver_due() == 0
        mesh.clock.advance(1)
        assert await mesh.dispatcher.deliver_due() == 1
    mesh.clock.advance(8_000)
    assert await mesh.dispatcher.deliver_due() == 20
    found = await deliveries(mesh, made.webhook_endpoint.id)
    assert {one.state for one in found} == {_STATE.STATE_DELIVERED}
