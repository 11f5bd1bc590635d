"""Which calls that Envoy answered itself are in the audit log, and what it says of them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from gateway.refusal_tally import NOBODY_MAX, ONE_BY_ONE_MAX, SUMS_MAX, Tally
from gateway.refusals import Refusals, Told, told_of
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
ALICE = {"subject": "usr_alice", "roles": "cardholder"}


def told(path: str = FREEZE_JSON, **fields: Any) -> Told:
    """What Envoy tells of a call that was refused for its role."""
    usual: dict[str, Any] = {
        "id": UUID(int=1),
        "time_ms": 1_800_000_000_000,
        "listener": "edge",
        "peer": "192.0.2.7",
        "verb": "POST",
        "trace_id": "trace-1",
        "status": 200,
        "details": "rbac_access_denied_matched_policy[none]",
        "asked": False,
    }
    texts = dict.fromkeys((one for one in Told._fields if one not in usual), "")
    return Told(**{**texts, **usual, "path": path, **fields})


def test_a_line_of_envoys_is_read_also_behind_a_part_of_one() -> None:
    """As `envoy/common.yaml.j2` has it; null: not there."""
    found = {
        "at": "1800000000000",
        "details": "jwt_authn_access_denied{Jwt_is_missing}",
        "grpc_status": None,
        "grpc_trailer": None,
        "id": "00000000-0000-0000-0000-000000000001",
        "listener": "edge",
        "original_path": None,
        "path": FREEZE_JSON,
        "peer": "192.0.2.7",
        "request_id": '{"at":',
        "roles": None,
        "spiffe": None,
        "status": 401,
        "subject": None,
        "trace_id": "trace-1",
        "upstream_us": None,
        "verb": "POST",
    }
    line = json.dumps(found, separators=(",", ":")).encode() + b"\n"
    expected = told(status=401, details=found["details"], request_id='{"at":')
    assert told_of(line) == expected
    assert told_of(line[:50] + line) == expected
    assert told_of(line[:50] + b"\n") is None
    assert told_of(b"[]\n") is None
    served = {**found, "upstream_us": 0, "status": None}
    assert told_of(json.dumps(served).encode()) == expected._replace(asked=True, status=0)


def test_a_refusal_says_who_what_and_why() -> None:
    """JSON: the ids of the path; a key of idempotency; the role that was shown."""
    one = told(FREEZE, original_path=FREEZE_JSON, grpc_status="7", request_id="freeze-1", **ALICE)
    assert REFUSALS.entry_of(one) == AuditEntry(
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
            {"status": 401, "details": "jwt_authn_access_denied{Jwt_is_expired}"},
            "UNAUTHENTICATED",
            "TOKEN_REFUSED",
        ),
        ({"status": 429, "details": "request_rate_limited"}, "RESOURCE_EXHAUSTED", "RATE_LIMITED"),
        (
            {"grpc_status": "16", "details": "ext_authz_denied"},
            "UNAUTHENTICATED",
            "CREDENTIAL_REFUSED",
        ),
        ({"grpc_trailer": "16", "details": "overload"}, "UNAUTHENTICATED", "OVERLOADED"),
        ({"status": 503, "details": "no_healthy_upstream"}, "UNAVAILABLE", "NO_HEALTHY_UPSTREAM"),
        ({"status": 418, "details": ""}, "INVALID_ARGUMENT", ""),
        ({"grpc_status": "99", "details": "x" * 99}, "UNKNOWN", "X" * 64),
    ],
)
def test_codes_and_reasons(fields: dict[str, Any], code: str, reason: str) -> None:
    """Of nobody, if no token was good."""
    entry = REFUSALS.entry_of(told(**fields))
    assert entry is not None
    assert (entry.actor, entry.code, entry.reason) == ("", code, reason)


@pytest.mark.parametrize(
    "one",
    [
        told(FREEZE, grpc_status="0", details="direct_response"),
        told(FREEZE, status=200),
        told(FREEZE, status=0),
        told(FREEZE, grpc_status="7", details="via_upstream"),
        told(FREEZE, status=504, asked=True),
        told("/holdfast.accounts.v1.CardService/GetCard", status=403),
        told("/v1/nothing/of:ours", status=404),
        told(FREEZE, status=401, verb="OPTIONS"),
        told(REVERSE, status=429, subject="usr_alice", roles="merchant"),
        told(FREEZE, status=503, details="no_healthy_upstream", listener="mesh"),
    ],
)
def test_what_is_none(one: Told) -> None:
    """Answers, what a service was asked, reads, paths that are none, merchants' movements, and what
    our own services ask again by themselves.
    """
    assert REFUSALS.entry_of(one) is None


def test_movements_of_others_and_services_without_a_right_are_told() -> None:
    """Somebody who administers, or who has shown nothing; a service at what is not for it."""
    assert REFUSALS.entry_of(told(REVERSE, status=401))
    assert REFUSALS.entry_of(told(REVERSE, status=401, **ALICE))
    both = {"subject": "usr_alice", "roles": "admin merchant"}
    assert REFUSALS.entry_of(told(REVERSE, status=429, **both))
    spiffe = "spiffe://holdfast.local/service/notify"
    entry = REFUSALS.entry_of(told(FREEZE, grpc_status="7", spiffe=spiffe, listener="mesh"))
    assert entry is not None
    assert entry.actor == spiffe


@pytest.mark.parametrize("request_id", ["x" * 65, "ada@example.com", ""])
def test_what_is_not_well_formed_is_not_kept(request_id: str) -> None:
    """Whoever is refused does not write into a log that is kept for good what they like."""
    path = "/v1/cards/4111111111111111:freeze"
    found = REFUSALS.entry_of(
        told(path, status=401, trace_id="a trace id with spaces", request_id=request_id)
    )
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
    (summed,) = tally.close()
    assert (summed.actor, summed.targets, summed.reason) == ("usr_alice", (), "REPEATED")
    assert summed.after == {"calls": 150 - ONE_BY_ONE_MAX, "reason": "TOKEN_REFUSED"}
    assert tally.has_room(refusal(actor="usr_alice")), "another minute"
    assert tally.close() == []
    addresses = NOBODY_MAX + SUMS_MAX + 10
    assert sum(tally.has_room(refusal(number)) for number in range(addresses)) == NOBODY_MAX
    sums = tally.close()
    assert len(sums) == SUMS_MAX + 1
    assert (sums[-1].peer, sums[-1].method, sums[-1].after) == ("", "", {"calls": 10, "reason": ""})
