"""Messages about API keys to what is to be done, and back. Every wrong field is named."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from gateway.api_key import ApiKey, network_of
from gateway.credential import MERCHANT_ID, MERCHANT_ID_RULE
from gateway.requests import keyed
from holdfast.gateway.v1 import api_key_pb2
from holdfast.gateway.v1 import api_key_service_pb2 as pb
from runtime import ids
from runtime.errors import FailedPrecondition, NotFound
from runtime.identity import current_identity
from runtime.key_ring import KeyRing
from runtime.paging import Page, page_of
from runtime.rate_limits import KEY_LIMIT_MAX
from runtime.request_id import content_of, request_id_of
from runtime.request_records import RequestKey
from runtime.validate import Violations, milliseconds, timestamp

DAY_MS = 86_400_000
OVERLAP_DEFAULT_MS = DAY_MS
OVERLAP_MAX_MS = 7 * DAY_MS
DISPLAY_NAME_LENGTH_MAX = 100
NETWORKS_MAX = 32
SCOPES_MAX = 64

_STATE = api_key_pb2.ApiKey.State


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApiKey:
    """A key to be made."""

    owner_id: str
    display_name: str
    scopes: tuple[str, ...]
    allowed_networks: tuple[str, ...]
    limit_per_minute: int
    expire_time_ms: int | None


def create(
    request: pb.CreateApiKeyRequest,
    context: Any,
    *,
    ring: KeyRing,
    scopes: Collection[str],
    now_ms: int,
) -> tuple[RequestKey, CreateApiKey]:
    """Checks CreateApiKeyRequest; `scopes` are those that there are."""
    violations = Violations()
    key = _key_of(request, context, ring, violations)
    _owner(request.owner_id, violations, required=True)
    violations.text("display_name", request.display_name, limit=DISPLAY_NAME_LENGTH_MAX)
    if not request.scopes or len(request.scopes) > SCOPES_MAX:
        violations.add("scopes", f"needs 1 to {SCOPES_MAX} scopes: {', '.join(sorted(scopes))}")
    for number, scope in enumerate(request.scopes[:SCOPES_MAX]):
        if scope not in scopes:
            violations.add(f"scopes[{number}]", f"must be one of {', '.join(sorted(scopes))}")
    if len(request.allowed_networks) > NETWORKS_MAX:
        violations.add("allowed_networks", f"must be at most {NETWORKS_MAX}")
    networks = [network_of(text) for text in request.allowed_networks[:NETWORKS_MAX]]
    for number, network in enumerate(networks):
        if network is None:
            violations.add(f"allowed_networks[{number}]", "must be a network, e.g. 192.0.2.0/24")
    if not 0 <= request.limit_per_minute <= KEY_LIMIT_MAX:
        violations.add("limit_per_minute", f"must be 0 to {KEY_LIMIT_MAX}")
    elif request.limit_per_minute and "admin" not in current_identity().roles:
        violations.add("limit_per_minute", "is set by administrators only")
    violations.timestamp("expire_time", request)
    expire_time_ms = milliseconds(request.expire_time) if request.HasField("expire_time") else None
    if expire_time_ms is not None and expire_time_ms <= now_ms:
        violations.add("expire_time", "must be in the future")
    violations.raise_if_any()
    return key, CreateApiKey(
        owner_id=request.owner_id,
        display_name=request.display_name,
        scopes=tuple(dict.fromkeys(request.scopes)),
        allowed_networks=tuple(dict.fromkeys(one for one in networks if one)),
        limit_per_minute=request.limit_per_minute,
        expire_time_ms=expire_time_ms,
    )


def rotate(
    request: pb.RotateApiKeyRequest, context: Any, *, ring: KeyRing
) -> tuple[RequestKey, str, int]:
    """Checks RotateApiKeyRequest; returns the key's id and the overlap (ms)."""
    violations = Violations()
    key = _key_of(request, context, ring, violations)
    violations.id("api_key_id", request.api_key_id, ids.API_KEY)
    overlap_ms = OVERLAP_DEFAULT_MS
    if request.HasField("overlap"):
        overlap_ms = request.overlap.seconds * 1000 + request.overlap.nanos // 1_000_000
    if not 0 <= overlap_ms <= OVERLAP_MAX_MS:
        violations.add("overlap", "must be 0 to 7 days")
    violations.raise_if_any()
    return key, request.api_key_id, overlap_ms


def revoke(
    request: pb.RevokeApiKeyRequest, context: Any, *, ring: KeyRing
) -> tuple[RequestKey, str]:
    """Checks RevokeApiKeyRequest; returns the key's id."""
    violations = Violations()
    key = _key_of(request, context, ring, violations)
    violations.id("api_key_id", request.api_key_id, ids.API_KEY)
    violations.raise_if_any()
    return key, request.api_key_id


def get(request: pb.GetApiKeyRequest) -> str:
    """Checks GetApiKeyRequest."""
    violations = Violations()
    violations.id("api_key_id", request.api_key_id, ids.API_KEY)
    violations.raise_if_any()
    return request.api_key_id


def page(request: pb.ListApiKeysRequest, *, owner_id: str) -> Page:
    """Checks ListApiKeysRequest; the page is one of the keys of `owner_id`."""
    violations = Violations()
    _owner(request.owner_id, violations, required=False)
    found = page_of(
        request.page_size, request.page_token, scope=f"api-keys {owner_id}", violations=violations
    )
    violations.raise_if_any()
    return found


def message(key: ApiKey, *, now_ms: int) -> api_key_pb2.ApiKey:
    """The key on the wire."""
    until_ms = key.previous_expire_time_ms
    return api_key_pb2.ApiKey(
        id=key.id,
        owner_id=key.owner_id,
        display_name=key.display_name,
        state=_STATE.Value(f"STATE_{key.state}"),
        scopes=key.scopes,
        allowed_networks=key.allowed_networks,
        limit_per_minute=key.limit_per_minute,
        expire_time=timestamp(key.expire_time_ms) if key.expire_time_ms else None,
        previous_secret_expire_time=(
            timestamp(until_ms) if until_ms is not None and until_ms > now_ms else None
        ),
        create_time=timestamp(key.create_time_ms),
        update_time=timestamp(key.update_time_ms),
    )


def not_found(api_key_id: str) -> NotFound:
    """The error for a key that is not there, or another's."""
    metadata = {"api_key_id": api_key_id}
    return NotFound("no such API key", reason="API_KEY_NOT_FOUND", metadata=metadata)


def not_active(key: ApiKey) -> FailedPrecondition:
    """The error for a change of a key that has ended."""
    return FailedPrecondition(
        f"an API key that is {key.state} gets no new secret",
        reason="ILLEGAL_TRANSITION",
        metadata={"from": str(key.state), "to": "ACTIVE", "allowed": ""},
    )


def _owner(value: str, violations: Violations, *, required: bool) -> None:
    if not value and not required:
        return
    if not value:
        violations.add("owner_id", "is required")
    violations.pattern("owner_id", value, MERCHANT_ID, MERCHANT_ID_RULE)


def _key_of(request: Any, context: Any, ring: KeyRing, violations: Violations) -> RequestKey:
    request_id = request_id_of(request.request_id, context.invocation_metadata(), violations)
    return keyed(
        ring,
        b"request\x00" + content_of(request),
        principal=current_identity().principal,
        request_id=request_id,
        method=request.DESCRIPTOR.name.removesuffix("Request"),
    )
