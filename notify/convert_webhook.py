"""Webhook endpoints on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from holdfast.notify.v1 import webhook_pb2
from holdfast.notify.v1 import webhook_service_pb2 as pb
from notify.addresses import Network, fault_of_url
from notify.convert_event import expanded
from notify.endpoint import DeliveryState, Endpoint, IllegalChange
from notify.webhook_store import Attempt, Delivery
from runtime import ids
from runtime.errors import FailedPrecondition, NotFound
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, milliseconds, timestamp

DESCRIPTION_LENGTH_MAX = 200
OVERLAP_DEFAULT_MS = 24 * 3_600_000
OVERLAP_MAX_MS = 7 * OVERLAP_DEFAULT_MS

_STATE = webhook_pb2.WebhookEndpoint.State
_DELIVERY = webhook_pb2.WebhookDelivery.State


class Details(NamedTuple):
    """What its owner says of an endpoint."""

    url: str
    description: str
    types: tuple[str, ...]


def create(
    request: pb.CreateWebhookEndpointRequest, context: Any, *, allowed: Sequence[Network]
) -> tuple[RequestKey, Details]:
    """Checks CreateWebhookEndpointRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("owner_id", request.owner_id, ids.COMPANY, required=False)
    details = _details(request, violations, allowed)
    violations.raise_if_any()
    return key, details


def update(
    request: pb.UpdateWebhookEndpointRequest, context: Any, *, allowed: Sequence[Network]
) -> tuple[RequestKey, Details]:
    """Checks UpdateWebhookEndpointRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("endpoint_id", request.endpoint_id, ids.WEBHOOK_ENDPOINT)
    details = _details(request, violations, allowed)
    violations.raise_if_any()
    return key, details


def rotate(request: pb.RotateWebhookSecretRequest, context: Any) -> tuple[RequestKey, int]:
    """Checks RotateWebhookSecretRequest; returns the overlap, ms."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("endpoint_id", request.endpoint_id, ids.WEBHOOK_ENDPOINT)
    overlap_ms = OVERLAP_DEFAULT_MS
    if request.HasField("overlap"):
        overlap_ms = request.overlap.seconds * 1000 + request.overlap.nanos // 1_000_000
    if not 0 <= overlap_ms <= OVERLAP_MAX_MS:
        violations.add("overlap", "must be 0 to 7 days")
    violations.raise_if_any()
    return key, overlap_ms


def change(
    request: pb.PauseWebhookEndpointRequest
    | pb.ResumeWebhookEndpointRequest
    | pb.DeleteWebhookEndpointRequest,
    context: Any,
) -> RequestKey:
    """Checks a request that names an endpoint and nothing else."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("endpoint_id", request.endpoint_id, ids.WEBHOOK_ENDPOINT)
    violations.raise_if_any()
    return key


def resend(request: pb.ResendWebhookDeliveryRequest, context: Any) -> RequestKey:
    """Checks ResendWebhookDeliveryRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("endpoint_id", request.endpoint_id, ids.WEBHOOK_ENDPOINT)
    violations.id("event_id", request.event_id, ids.EVENT)
    violations.raise_if_any()
    return key


def replay(
    request: pb.ReplayWebhookEventsRequest, context: Any, *, now_ms: int
) -> tuple[RequestKey, int, int]:
    """Checks ReplayWebhookEventsRequest; returns both ends, ms."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("endpoint_id", request.endpoint_id, ids.WEBHOOK_ENDPOINT)
    if not request.HasField("start_time"):
        violations.add("start_time", "is required")
    violations.timestamp("start_time", request)
    violations.timestamp("end_time", request)
    violations.raise_if_any()
    end_ms = milliseconds(request.end_time) if request.HasField("end_time") else now_ms + 1
    return key, milliseconds(request.start_time), end_ms


def get(endpoint_id: str, event_id: str | None = None) -> None:
    """Checks what a read names."""
    violations = Violations()
    violations.id("endpoint_id", endpoint_id, ids.WEBHOOK_ENDPOINT)
    if event_id is not None:
        violations.id("event_id", event_id, ids.EVENT)
    violations.raise_if_any()


def page(request: pb.ListWebhookEndpointsRequest) -> Page:
    """Checks ListWebhookEndpointsRequest."""
    violations = Violations()
    violations.id("owner_id", request.owner_id, ids.COMPANY, required=False)
    scope = f"webhook-endpoints {request.owner_id}"
    found = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return found


def deliveries(request: pb.ListWebhookDeliveriesRequest) -> tuple[Page, DeliveryState | None]:
    """Checks ListWebhookDeliveriesRequest."""
    violations = Violations()
    violations.id("endpoint_id", request.endpoint_id, ids.WEBHOOK_ENDPOINT)
    violations.enum("state", request.state, _DELIVERY.DESCRIPTOR.values_by_number)
    scope = f"webhook-deliveries {request.endpoint_id} {request.state}"
    found = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    if not request.state:
        return found, None
    return found, DeliveryState(_DELIVERY.Name(request.state).removeprefix("STATE_"))


def types_of(types: Sequence[str]) -> tuple[str, ...]:
    """All types that are meant by what was checked before; none: all."""
    return expanded("types", types, Violations())


def message(endpoint: Endpoint, *, now_ms: int) -> webhook_pb2.WebhookEndpoint:
    """The endpoint on the wire."""
    until_ms = endpoint.previous_expire_time_ms
    since_ms = endpoint.failing_since_ms
    return webhook_pb2.WebhookEndpoint(
        id=endpoint.id,
        owner_id=endpoint.owner_id,
        url=endpoint.url,
        description=endpoint.description,
        types=endpoint.types,
        state=_STATE.Value(f"STATE_{endpoint.state}"),
        previous_secret_expire_time=(
            timestamp(until_ms) if until_ms is not None and until_ms > now_ms else None
        ),
        failing_since=None if since_ms is None else timestamp(since_ms),
        create_time=timestamp(endpoint.create_time_ms),
        update_time=timestamp(endpoint.update_time_ms),
    )


def delivery(one: Delivery) -> webhook_pb2.WebhookDelivery:
    """The delivery on the wire."""
    is_pending = one.state is DeliveryState.PENDING
    return webhook_pb2.WebhookDelivery(
        endpoint_id=one.endpoint_id,
        event_id=one.event_id,
        event_type=one.event_type,
        state=_DELIVERY.Value(f"STATE_{one.state}"),
        attempt_count=one.attempts,
        next_attempt_time=timestamp(one.due_time_ms) if is_pending else None,
        create_time=timestamp(one.create_time_ms),
    )


def attempt(one: Attempt) -> webhook_pb2.WebhookAttempt:
    """The attempt on the wire."""
    return webhook_pb2.WebhookAttempt(
        number=one.number,
        start_time=timestamp(one.start_time_ms),
        duration_ms=one.duration_ms,
        status=one.status,
        error=one.error,
        response=one.response,
    )


def not_found(endpoint_id: str) -> NotFound:
    """The error for an endpoint that is not there, or another's."""
    return NotFound(
        "no such webhook endpoint",
        reason="WEBHOOK_ENDPOINT_NOT_FOUND",
        metadata={"endpoint_id": endpoint_id},
    )


def illegal(refusal: IllegalChange) -> FailedPrecondition:
    """The error for a change that the endpoint's state forbids."""
    return FailedPrecondition(
        f"a webhook endpoint that is {refusal.state} cannot become {refusal.wanted}",
        reason="ILLEGAL_TRANSITION",
        metadata={
            "from": str(refusal.state),
            "to": str(refusal.wanted),
            "allowed": ",".join(refusal.allowed),
        },
    )


def _details(
    request: pb.CreateWebhookEndpointRequest | pb.UpdateWebhookEndpointRequest,
    violations: Violations,
    allowed: Sequence[Network],
) -> Details:
    if not request.url:
        violations.add("url", "is required")
    elif fault := fault_of_url(request.url, allowed):
        violations.add("url", fault)
    violations.text("description", request.description, limit=DESCRIPTION_LENGTH_MAX)
    expanded("types", request.types, violations)
    types = tuple(dict.fromkeys(request.types))
    return Details(url=request.url, description=request.description, types=types)
