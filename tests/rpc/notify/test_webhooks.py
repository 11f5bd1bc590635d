"""WebhookService: answers, replays, refusals; deliveries are in tests/integration/notify."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from holdfast.notify.v1 import event_service_pb2 as event_pb
from holdfast.notify.v1 import webhook_pb2
from holdfast.notify.v1 import webhook_service_pb2 as pb
from notify.webhook_service import ENDPOINTS_MAX
from runtime.events.signing import key_of
from runtime.validate import timestamp
from tests.accounts_mesh import refusal_of
from tests.notify_mesh import (
    ADMIN,
    COMPANY,
    MANAGER,
    OTHER_COMPANY,
    OTHER_MANAGER,
    OTHER_USER,
    Headers,
    NotifyMesh,
)

URL = "https://example.com/hook"
UNKNOWN = "whe_0a" + "9" * 32
EVENT = "evt_0a" + "9" * 32
_STATE = webhook_pb2.WebhookEndpoint.State


async def refused(method: Any, request: Any, caller: Headers = ADMIN) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await method(request, metadata=caller)
    return refusal_of(error.value)


async def test_a_secret_is_shown_once(mesh: NotifyMesh) -> None:
    request = pb.CreateWebhookEndpointRequest(
        request_id="r-1", owner_id=COMPANY, url=URL, description="ours", types=["card.*"]
    )
    made = await mesh.webhooks.CreateWebhookEndpoint(request, metadata=MANAGER)
    endpoint = made.webhook_endpoint
    assert len(key_of(made.secret)) == 32
    assert (endpoint.owner_id, endpoint.url, endpoint.description) == (COMPANY, URL, "ours")
    assert (list(endpoint.types), endpoint.state) == (["card.*"], _STATE.STATE_ACTIVE)
    again = await mesh.webhooks.CreateWebhookEndpoint(request, metadata=MANAGER)
    assert (again.webhook_endpoint, again.secret) == (endpoint, "")
    request.url = URL + "?"
    error = await refused(mesh.webhooks.CreateWebhookEndpoint, request, MANAGER)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    stored = await mesh.pool.fetchval("SELECT secret FROM webhook_endpoint")
    assert key_of(made.secret) not in stored
    (entry,) = await mesh.pool.fetch(
        "SELECT * FROM audit.entry WHERE request_id = 'r-1' AND reason = '' AND $1 = ANY(targets)",
        endpoint.id,
    )
    assert made.secret not in str(entry)


async def test_the_life_of_an_endpoint(mesh: NotifyMesh) -> None:
    made = await mesh.endpoint(URL)
    name = made.webhook_endpoint.id
    stub = mesh.webhooks

    def ids() -> dict[str, str]:
        return {"request_id": mesh.request_id(), "endpoint_id": name}

    updated = await stub.UpdateWebhookEndpoint(
        pb.UpdateWebhookEndpointRequest(**ids(), url=URL + "/2", types=["user.created"]),
        metadata=MANAGER,
    )
    assert (updated.webhook_endpoint.url, list(updated.webhook_endpoint.types)) == (
        URL + "/2",
        ["user.created"],
    )
    rotated = await stub.RotateWebhookSecret(
        pb.RotateWebhookSecretRequest(**ids(), overlap=Duration(seconds=60)), metadata=MANAGER
    )
    until_ms = rotated.webhook_endpoint.previous_secret_expire_time.ToMilliseconds()
    assert until_ms == mesh.clock.now_ms() + 60_000
    assert rotated.secret not in ("", made.secret)
    paused = await stub.PauseWebhookEndpoint(
        pb.PauseWebhookEndpointRequest(**ids()), metadata=MANAGER
    )
    assert paused.webhook_endpoint.state == _STATE.STATE_PAUSED
    resumed = await stub.ResumeWebhookEndpoint(
        pb.ResumeWebhookEndpointRequest(**ids()), metadata=MANAGER
    )
    assert resumed.webhook_endpoint.state == _STATE.STATE_ACTIVE
    got = await stub.GetWebhookEndpoint(
        pb.GetWebhookEndpointRequest(endpoint_id=name), metadata=MANAGER
    )
    assert got.webhook_endpoint == resumed.webhook_endpoint
    deleted = await stub.DeleteWebhookEndpoint(
        pb.DeleteWebhookEndpointRequest(**ids()), metadata=MANAGER
    )
    assert deleted.webhook_endpoint.state == _STATE.STATE_DELETED
    request = pb.PauseWebhookEndpointRequest(**ids())
    assert (await refused(stub.PauseWebhookEndpoint, request)).code is grpc.StatusCode.NOT_FOUND
    listed = await stub.ListWebhookEndpoints(
        pb.ListWebhookEndpointsRequest(owner_id=COMPANY), metadata=MANAGER
    )
    assert list(listed.webhook_endpoints) == []


async def test_disabled_ones_are_not_paused(mesh: NotifyMesh) -> None:
    made = await mesh.endpoint(URL)
    await mesh.pool.execute("UPDATE webhook_endpoint SET state = 'DISABLED'")
    request = pb.PauseWebhookEndpointRequest(request_id="r-9", endpoint_id=made.webhook_endpoint.id)
    error = await refused(mesh.webhooks.PauseWebhookEndpoint, request)
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ILLEGAL_TRANSITION",
    )
    assert error.metadata == {"from": "DISABLED", "to": "PAUSED", "allowed": "ACTIVE"}


async def test_lists_and_pages(mesh: NotifyMesh) -> None:
    names = []
    for _ in range(3):
        mesh.clock.advance(1)
        names.append((await mesh.endpoint(URL)).webhook_endpoint.id)
    mesh.clock.advance(1)
    names.append((await mesh.endpoint(URL, owner_id=OTHER_COMPANY)).webhook_endpoint.id)

    async def listed(caller: Headers, owner_id: str = "") -> list[str]:
        found, token = [], ""
        while True:
            request = pb.ListWebhookEndpointsRequest(
                owner_id=owner_id, page_size=2, page_token=token
            )
            answer = await mesh.webhooks.ListWebhookEndpoints(request, metadata=caller)
            found += [one.id for one in answer.webhook_endpoints]
            token = answer.next_page_token
            if not token:
                return found

    assert await listed(ADMIN) == names[::-1]
    assert await listed(ADMIN, OTHER_COMPANY) == names[3:]
    assert await listed(MANAGER, COMPANY) == names[2::-1]


async def test_not_too_many(mesh: NotifyMesh) -> None:
    for _ in range(ENDPOINTS_MAX):
        await mesh.endpoint(URL)
    request = pb.CreateWebhookEndpointRequest(request_id="r-2", owner_id=COMPANY, url=URL)
    error = await refused(mesh.webhooks.CreateWebhookEndpoint, request)
    assert error.reason == "TOO_MANY_WEBHOOK_ENDPOINTS"
    await mesh.endpoint(URL, owner_id=OTHER_COMPANY)


Make = Callable[[str], tuple[str, Any]]
REQUESTS: list[Make] = [
    lambda name: ("GetWebhookEndpoint", pb.GetWebhookEndpointRequest(endpoint_id=name)),
    lambda name: (
        "UpdateWebhookEndpoint",
        pb.UpdateWebhookEndpointRequest(request_id="r", endpoint_id=name, url=URL),
    ),
    lambda name: (
        "RotateWebhookSecret",
        pb.RotateWebhookSecretRequest(request_id="r", endpoint_id=name),
    ),
    lambda name: (
        "PauseWebhookEndpoint",
        pb.PauseWebhookEndpointRequest(request_id="r", endpoint_id=name),
    ),
    lambda name: (
        "ResumeWebhookEndpoint",
        pb.ResumeWebhookEndpointRequest(request_id="r", endpoint_id=name),
    ),
    lambda name: (
        "DeleteWebhookEndpoint",
        pb.DeleteWebhookEndpointRequest(request_id="r", endpoint_id=name),
    ),
    lambda name: ("ListWebhookDeliveries", pb.ListWebhookDeliveriesRequest(endpoint_id=name)),
    lambda name: (
        "ListWebhookAttempts",
        pb.ListWebhookAttemptsRequest(endpoint_id=name, event_id=EVENT),
    ),
    lambda name: (
        "ResendWebhookDelivery",
        pb.ResendWebhookDeliveryRequest(request_id="r", endpoint_id=name, event_id=EVENT),
    ),
    lambda name: (
        "ReplayWebhookEvents",
        pb.ReplayWebhookEventsRequest(
            request_id="r", endpoint_id=name, start_time=timestamp(1_700_000_000_000)
        ),
    ),
]


@pytest.mark.parametrize("make", REQUESTS)
async def test_another_s_endpoint_is_not_there(mesh: NotifyMesh, make: Make) -> None:
    """Unknown, another company's, that of the whole installation, or one's own former company's."""
    made = await mesh.endpoint(URL)
    whole = await mesh.endpoint(URL, owner_id="")
    cases = [
        (UNKNOWN, ADMIN),
        (UNKNOWN, MANAGER),
        (made.webhook_endpoint.id, OTHER_MANAGER),
        (whole.webhook_endpoint.id, MANAGER),
    ]
    for name, caller in cases:
        method, request = make(name)
        error = await refused(getattr(mesh.webhooks, method), request, caller)
        assert error.reason == "WEBHOOK_ENDPOINT_NOT_FOUND", (method, caller)
    mesh.accounts.dismissed.add((COMPANY, OTHER_USER))
    method, request = make(made.webhook_endpoint.id)
    error = await refused(getattr(mesh.webhooks, method), request, MANAGER)
    assert error.reason == "WEBHOOK_ENDPOINT_NOT_FOUND", method
    mesh.accounts.down = True
    error = await refused(getattr(mesh.webhooks, method), request, MANAGER)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "CHECK_UNAVAILABLE")


async def test_managers_make_them_for_their_company_only(mesh: NotifyMesh) -> None:
    stub = mesh.webhooks
    request = pb.CreateWebhookEndpointRequest(request_id="r", owner_id=OTHER_COMPANY, url=URL)
    error = await refused(stub.CreateWebhookEndpoint, request, MANAGER)
    assert error.reason == "COMPANY_NOT_FOUND"
    for method, nobody in (
        (stub.CreateWebhookEndpoint, pb.CreateWebhookEndpointRequest(request_id="r", url=URL)),
        (stub.ListWebhookEndpoints, pb.ListWebhookEndpointsRequest()),
    ):
        error = await refused(method, nobody, MANAGER)
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["owner_id"])


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        (
            "CreateWebhookEndpoint",
            pb.CreateWebhookEndpointRequest(
                owner_id="usr_0a" + "1" * 32,
                url="http://example.com",
                description="x" * 201,
                types=["card.melted"],
            ),
            ["request_id", "owner_id", "url", "description", "types[0]"],
        ),
        (
            "CreateWebhookEndpoint",
            pb.CreateWebhookEndpointRequest(request_id="r", url="https://10.0.0.1/"),
            ["url"],
        ),
        ("CreateWebhookEndpoint", pb.CreateWebhookEndpointRequest(request_id="r"), ["url"]),
        (
            "UpdateWebhookEndpoint",
            pb.UpdateWebhookEndpointRequest(endpoint_id="x"),
            ["request_id", "endpoint_id", "url"],
        ),
        (
            "RotateWebhookSecret",
            pb.RotateWebhookSecretRequest(overlap=Duration(seconds=8 * 86_400)),
            ["request_id", "endpoint_id", "overlap"],
        ),
        ("GetWebhookEndpoint", pb.GetWebhookEndpointRequest(endpoint_id="x"), ["endpoint_id"]),
        (
            "ListWebhookEndpoints",
            pb.ListWebhookEndpointsRequest(owner_id="x", page_size=-1, page_token="x"),
            ["owner_id", "page_size", "page_token"],
        ),
        (
            "ListWebhookDeliveries",
            pb.ListWebhookDeliveriesRequest(state=9, page_size=-1),  # type: ignore[arg-type]
            ["endpoint_id", "state", "page_size"],
        ),
        (
            "ListWebhookAttempts",
            pb.ListWebhookAttemptsRequest(endpoint_id="x", event_id="y"),
            ["endpoint_id", "event_id"],
        ),
        (
            "ResendWebhookDelivery",
            pb.ResendWebhookDeliveryRequest(),
            ["request_id", "endpoint_id", "event_id"],
        ),
        (
            "ReplayWebhookEvents",
            pb.ReplayWebhookEventsRequest(end_time=timestamp(1)),
            ["request_id", "endpoint_id", "start_time", "end_time"],
        ),
        ("PauseWebhookEndpoint", pb.PauseWebhookEndpointRequest(), ["request_id", "endpoint_id"]),
    ],
)
async def test_every_wrong_field_is_named(
    mesh: NotifyMesh, method: str, request_: Any, fields: list[str]
) -> None:
    error = await refused(getattr(mesh.webhooks, method), request_)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, fields)


async def test_events_of_others_are_not_resent(mesh: NotifyMesh) -> None:
    made = await mesh.endpoint(URL)
    mesh.freeze("acct_0b" + "3" * 32)
    await mesh.caught_up()
    event_id = await mesh.pool.fetchval("SELECT id FROM event")
    name = made.webhook_endpoint.id
    resend = pb.ResendWebhookDeliveryRequest(request_id="r", endpoint_id=name, event_id=event_id)
    error = await refused(mesh.webhooks.ResendWebhookDelivery, resend, MANAGER)
    assert error.reason == "EVENT_NOT_FOUND"
    attempts = pb.ListWebhookAttemptsRequest(endpoint_id=name, event_id=event_id)
    error = await refused(mesh.webhooks.ListWebhookAttempts, attempts, MANAGER)
    assert error.reason == "EVENT_NOT_FOUND"


async def test_what_is_to_be_sent_is_listed(mesh: NotifyMesh) -> None:
    made = await mesh.endpoint(URL)
    for _ in range(3):
        mesh.freeze()
    await mesh.caught_up()
    found, token = [], ""
    while True:
        request = pb.ListWebhookDeliveriesRequest(
            endpoint_id=made.webhook_endpoint.id,
            state=webhook_pb2.WebhookDelivery.STATE_PENDING,
            page_size=2,
            page_token=token,
        )
        answer = await mesh.webhooks.ListWebhookDeliveries(request, metadata=MANAGER)
        found += [one.event_id for one in answer.deliveries]
        token = answer.next_page_token
        if not token:
            break
    events = await mesh.events.ListEvents(event_pb.ListEventsRequest(), metadata=MANAGER)
    assert found == [one.id for one in events.events]
    assert {one.next_attempt_time.ToMilliseconds() for one in answer.deliveries} == {
        mesh.clock.now_ms()
    }


async def test_what_did_not_happen_is_told_as_a_test(mesh: NotifyMesh) -> None:
    request = event_pb.TriggerEventRequest(
        request_id="r-1", type="payment.returned", owner_id=COMPANY
    )
    made = await mesh.endpoint(URL)
    answer = await mesh.events.TriggerEvent(request, metadata=ADMIN)
    assert await mesh.events.TriggerEvent(request, metadata=ADMIN) == answer
    assert answer.event.test
    listed = await mesh.events.ListEvents(event_pb.ListEventsRequest(), metadata=MANAGER)
    (event,) = listed.events
    assert (event.id, event.test, event.sequence) == (answer.event.id, True, 1)
    deliveries = pb.ListWebhookDeliveriesRequest(endpoint_id=made.webhook_endpoint.id)
    sent = await mesh.webhooks.ListWebhookDeliveries(deliveries, metadata=MANAGER)
    assert [one.event_id for one in sent.deliveries] == [event.id]
    wrong = event_pb.TriggerEventRequest(type="card.melted", owner_id="x", account_id="y")
    error = await refused(mesh.events.TriggerEvent, wrong)
    assert error.fields == ["request_id", "type", "owner_id", "account_id"]
    denied = await refused(mesh.events.TriggerEvent, request, MANAGER)
    assert denied.code is grpc.StatusCode.PERMISSION_DENIED
