"""What the audit log says of a call that Envoy refused by itself: from a line of its to an entry.

Envoy has no body to tell of: ids and the request's id are those of the path and the headers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from google.rpc import code_pb2

from gateway.usage import Paths
from runtime.access import Policy
from runtime.audit.entry import AuditEntry
from runtime.error_text import code_of_http
from runtime.ids import is_any_id, is_request_id
from runtime.trace import TRACE_ID_REGEX

#: The listener of our own services.
MESH = "mesh"

_ANSWERED_BY_A_SERVICE = "via_upstream"
#: Our own services ask again by themselves until these have passed: that is no refusal.
_NOT_YET = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED"})
#: With these nothing is called that changes something, whatever the path.
_NO_CHANGE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Stable reasons of what Envoy says in its own words; anything else is its word, in capitals.
_REASONS = {
    "jwt_authn_access_denied": "TOKEN_REFUSED",
    "rbac_access_denied_matched_policy": "ROLE_REFUSED",
    "ext_authz_denied": "CREDENTIAL_REFUSED",
    "ext_authz_error": "CHECK_UNAVAILABLE",
    "request_rate_limited": "RATE_LIMITED",
    "local_rate_limited": "RATE_LIMITED",
    "rate_limiter_error": "LIMITER_UNAVAILABLE",
    "overload": "OVERLOADED",
}
_REASON_MAX = 64
_ACTOR_MAX = 256
_PEER_MAX = 64
_TRACE_ID = re.compile(TRACE_ID_REGEX)
#: How every line begins (`envoy/common.yaml.j2`), and nothing within one does: quotes are escaped.
_BEGINNING = b'{"at":'


class Told(NamedTuple):
    """What Envoy tells of a call, by the names of its access log."""

    #: Of this call, made by Envoy.
    id: UUID
    time_ms: int
    listener: str
    peer: str
    verb: str
    path: str
    #: What the caller asked for, if that was JSON.
    original_path: str
    trace_id: str
    request_id: str
    #: Who it is by a token or key, or by a certificate; empty: not established.
    subject: str
    spiffe: str
    roles: str
    status: int
    #: As the answer has it, ahead of its body or after it; empty: not there.
    grpc_status: str
    grpc_trailer: str
    details: str
    #: Whether a service was given the call.
    asked: bool


_TEXTS = tuple(one for one in Told._fields if one not in ("id", "time_ms", "status", "asked"))


def told_of(line: bytes) -> Told | None:
    """None: not whole. In front may be the beginning of another, by an Envoy that was killed."""
    try:
        found = json.loads(line[max(line.rfind(_BEGINNING), 0) :])
        texts = {name: str(found[name] or "") for name in _TEXTS}
        return Told(
            id=UUID(found["id"]),
            time_ms=int(found["at"]),
            status=int(found["status"] or 0),
            asked=found["upstream_us"] is not None,
            **texts,
        )
    except (ValueError, KeyError, TypeError):
        return None


class Refusals:
    """Knows which methods change something. `mutations`: their policies by gRPC path."""

    def __init__(self, paths: Paths, mutations: Mapping[str, Policy]) -> None:
        self._paths = paths
        self._mutations = mutations

    def entry_of(self, told: Told) -> AuditEntry | None:
        """The entry; None for what is no refusal of Envoy's, changes nothing, or is a movement
        that a merchant was refused: nothing that merchants wait for is audited.
        """
        # What a service was asked, it has recorded itself.
        if told.asked or told.details == _ANSWERED_BY_A_SERVICE:
            return None
        paths = (told.path, told.original_path)
        found = [one for path in paths if (one := self._paths.find(told.verb, path)).method]
        policy = self._mutations.get(found[0].method) if found else None
        code = _code_of(told)
        if policy is None or not code or told.verb in _NO_CHANGE:
            return None
        roles = tuple(sorted(set(told.roles.replace(",", " ").split())))
        if told.listener == MESH and code in _NOT_YET:
            return None
        sells = "merchant" in policy.roles.intersection(roles) and "admin" not in roles
        if sells and policy.cluster == "authz":
            return None
        parameters = dict.fromkeys(text for one in found for text in one.parameters)
        return AuditEntry(
            actor=(told.subject or told.spiffe)[:_ACTOR_MAX],
            roles=roles,
            peer=told.peer[:_PEER_MAX],
            method=policy.path,
            targets=tuple(filter(is_any_id, parameters)),
            request_id=told.request_id if is_request_id(told.request_id) else "",
            trace_id=told.trace_id if _TRACE_ID.fullmatch(told.trace_id) else "",
            code=code,
            reason=_reason_of(told.details),
        )


def _code_of(told: Told) -> str:
    """The name of the status that the caller was told; '': the call was not refused."""
    statuses = (told.grpc_trailer, told.grpc_status)
    number = next((int(one) for one in statuses if one.isascii() and one.isdigit()), None)
    if number is None:
        number = code_of_http(told.status)
    if number == code_pb2.OK:
        return ""
    known = code_pb2.Code.values()
    return str(code_pb2.Code.Name(number if number in known else code_pb2.UNKNOWN))


def _reason_of(details: str) -> str:
    """Envoy's `response_code_details`, up to what it says of the one call."""
    word = re.split(r"[^a-z0-9_]", details.lower(), maxsplit=1)[0]
    return _REASONS.get(word, word.upper())[:_REASON_MAX]
