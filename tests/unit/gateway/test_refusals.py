"""Which calls that Envoy answered itself are in the audit log, and what it says of them."""

from __future__ import annotations

from typing import Any

import pytest

from envoy_wire import access_log_pb2 as wire
from gateway.refusal_tally import NOBODY_MAX, ONE_BY_ONE_MAX, SUMS_MAX, Tally
from gateway.refusals import Refusals
from gateway.usage import Paths
from runtime.access import load_access
from runtime.audit.entry import AuditEntry
from runtime.contract import Binding, rpcs

CARD = f"card_0a{'1' * 32}"
FREEZE = "/holdfast.accounts.v1.CardService/FreezeCard"
FREEZE_JSON = f"/v1/cards/{CARD}:freeze"
REVERSE = "/holdfast.authz.v1.AuthorizationService/ReverseAuthorization"
PATHS = Paths(
    (binding.verb, binding.template, rpc.path)
    for rpc in rpcs()
    for binding in (*rpc.bindings, Binding(verb="", template="", body=""))
)
CHANGING = {one.path for one in rpcs() if one.changes}
REFUSALS = Refusals(
    PATHS, {path: one for path, one in load_access().policies.items() if path in CHANGING}
)
ALICE = {"x-auth-subject": "usr_alice", "x-auth-roles": "cardholder"}


def told(
    path: str,
    *,
    verb: int = 3,
    http: int = 200,
    grpc: str = "",
    details: str = "rbac_access_denied_matched_policy[none]",
    asked: bool = False,
    headers: dict[str, str] | None = None,
) -> wire.HttpAccessLogEntry:
    """What Envoy tells of a call; 3 is POST, 7 OPTIONS."""
    entry = wire.HttpAccessLogEntry()
    common, request, response = entry.common_properties, entry.request, entry.response
    common.downstream_remote_address.socket_address.address = "192.0.2.7"
    if asked:
        common.time_to_first_upstream_tx_byte.FromMicroseconds(300)
    request.request_method, request.path, request.request_id = verb, path, "trace-1"
    request.request_headers.update(headers or {})
    response.response_code.value, response.response_code_details = http, details
    if grpc:
        response.response_headers["grpc-status"] = grpc
    return entry


def test_a_refusal_says_who_what_and_why() -> None:
    """JSON: the ids of the path; a key of idempotency; the role that was shown."""
    headers = {**ALICE, "idempotency-key": "freeze-1"}
    entry = told(FREEZE, grpc="7", headers=headers)
    entry.request.original_path = FREEZE_JSON
    assert REFUSALS.entry_of(entry, listener="edge") == AuditEntry(
        actor="usr_alice",
        roles=("cardholder",),
        peer="192.0.2.7",
        method=FREEZE,
        targets=(CARD,),
        request_id="freeze-1",
        trace_id="trace-1",
        code="PERMISSION_DENIED",
        reason="ROLE_REFUSED",
    )


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        (
            {"http": 401, "details": "jwt_authn_access_denied{Jwt_is_expired}"},
            "UNAUTHENTICATED",
            "TOKEN_REFUSED",
        ),
        ({"http": 429, "details": "request_rate_limited"}, "RESOURCE_EXHAUSTED", "RATE_LIMITED"),
        ({"grpc": "16", "details": "ext_authz_denied"}, "UNAUTHENTICATED", "CREDENTIAL_REFUSED"),
        ({"http": 503, "details": "no_healthy_upstream"}, "UNAVAILABLE", "NO_HEALTHY_UPSTREAM"),
        ({"http": 418, "details": ""}, "INVALID_ARGUMENT", ""),
        ({"grpc": "99", "details": "x" * 99}, "UNKNOWN", "X" * 64),
    ],
)
def test_codes_and_reasons(fields: dict[str, Any], code: str, reason: str) -> None:
    """Of nobody, if no token was good."""
    entry = REFUSALS.entry_of(told(FREEZE_JSON, **fields), listener="edge")
    assert entry is not None
    assert (entry.actor, entry.code, entry.reason) == ("", code, reason)


@pytest.mark.parametrize(
    ("entry", "listener"),
    [
        (told(FREEZE, grpc="0", details="direct_response"), "edge"),
        (told(FREEZE, http=200), "edge"),
        (told(FREEZE, http=0), "edge"),
        (told(FREEZE, grpc="7", details="via_upstream"), "edge"),
        (told(FREEZE, http=504, asked=True), "edge"),
        (told("/holdfast.accounts.v1.CardService/GetCard", http=403), "edge"),
        (told("/v1/nothing/of:ours", http=404), "edge"),
        (told(FREEZE, http=401, verb=7), "edge"),
        (
            told(REVERSE, http=429, headers={**ALICE, "x-auth-roles": "merchant"}),
            "edge",
        ),
        (told(FREEZE, http=503, details="no_healthy_upstream"), "mesh"),
    ],
)
def test_what_is_none(entry: wire.HttpAccessLogEntry, listener: str) -> None:
    """Answers, what a service was asked, reads, paths that are none, merchants' movements, and what
    our own services ask again by themselves.
    """
    assert REFUSALS.entry_of(entry, listener=listener) is None


def test_movements_of_others_and_services_without_a_right_are_told() -> None:
    """Somebody who administers, or who has shown nothing; a service at what is not for it."""
    for headers in ({}, ALICE):
        assert REFUSALS.entry_of(told(REVERSE, http=401, headers=headers), listener="edge")
    spiffe = {"x-auth-spiffe": "spiffe://holdfast.local/service/notify"}
    entry = REFUSALS.entry_of(told(FREEZE, grpc="7", headers=spiffe), listener="mesh")
    assert entry is not None
    assert entry.actor == spiffe["x-auth-spiffe"]


def test_what_is_not_well_formed_is_not_kept() -> None:
    """Whoever is refused does not write into a log that is kept for good what they like."""
    entry = told("/v1/cards/4111111111111111:freeze", http=401)
    entry.request.request_id = "a trace id with spaces"
    entry.request.request_headers["idempotency-key"] = "x" * 200
    found = REFUSALS.entry_of(entry, listener="edge")
    assert found is not None
    assert (found.targets, found.request_id, found.trace_id) == ((), "", "")


def refusal(number: int = 0, *, actor: str = "") -> AuditEntry:
    return AuditEntry(
        actor=actor,
        roles=(),
        peer=f"192.0.2.{number}",
        method=FREEZE,
        targets=(CARD,),
        request_id="r",
        trace_id="t",
        code="UNAUTHENTICATED",
        reason="TOKEN_REFUSED",
    )


def test_beyond_the_bound_they_are_added_up_and_none_is_untold() -> None:
    """One caller; then many addresses, of which each stays within its own bound."""
    tally = Tally()
    assert sum(tally.has_room(refusal(actor="usr_alice")) for _ in range(150)) == ONE_BY_ONE_MAX
    (told,) = tally.close()
    assert (told.actor, told.targets, told.reason) == ("usr_alice", (), "REPEATED")
    assert told.after == {"calls": 150 - ONE_BY_ONE_MAX, "reason": "TOKEN_REFUSED"}
    assert tally.has_room(refusal(actor="usr_alice")), "another minute"
    assert tally.close() == []
    addresses = NOBODY_MAX + SUMS_MAX + 10
    assert sum(tally.has_room(refusal(number)) for number in range(addresses)) == NOBODY_MAX
    sums = tally.close()
    assert len(sums) == SUMS_MAX + 1
    assert (sums[-1].peer, sums[-1].method, sums[-1].after) == ("", "", {"calls": 10, "reason": ""})
