"""What the audit log says of a call that Envoy refused by itself: from its access log to an entry.

Envoy has no body to tell of: ids and the request's id are those of the path and the headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from google.rpc import code_pb2

from envoy_wire import access_log_pb2 as wire
from gateway.usage import CALLER_HEADERS, Paths, grpc_status_of, verb_of
from runtime.access import Policy
from runtime.audit.entry import AuditEntry
from runtime.error_text import code_of_http
from runtime.identity import ROLES_HEADER
from runtime.ids import is_any_id
from runtime.request_id import IDEMPOTENCY_KEY_HEADER
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
_REQUEST_ID = re.compile(r"[!-~]{1,128}")


class Refusals:
    """Knows which methods change something. `mutations`: their policies by gRPC path."""

    def __init__(self, paths: Paths, mutations: Mapping[str, Policy]) -> None:
        self._paths = paths
        self._mutations = mutations

    def entry_of(self, told: wire.HttpAccessLogEntry, *, listener: str) -> AuditEntry | None:
        """The entry; None for what is no refusal of Envoy's, changes nothing, or is a movement
        that a merchant was refused: nothing that merchants wait for is audited.
        """
        common, request, response = told.common_properties, told.request, told.response
        # What a service was asked, it has recorded itself.
        asked = common.HasField("time_to_first_upstream_tx_byte")
        if asked or response.response_code_details == _ANSWERED_BY_A_SERVICE:
            return None
        verb = verb_of(request)
        paths = (request.path, request.original_path)
        found = [one for path in paths if (one := self._paths.find(verb, path)).method]
        policy = self._mutations.get(found[0].method) if found else None
        code = _code_of(response)
        if policy is None or not code or verb in _NO_CHANGE:
            return None
        headers = request.request_headers
        roles = tuple(sorted(set(headers.get(ROLES_HEADER, "").replace(",", " ").split())))
        if listener == MESH and code in _NOT_YET:
            return None
        if "merchant" in policy.roles.intersection(roles) and policy.cluster == "authz":
            return None
        parameters = dict.fromkeys(text for one in found for text in one.parameters)
        address = common.downstream_remote_address.socket_address.address
        return AuditEntry(
            actor=next(filter(None, map(headers.get, CALLER_HEADERS)), "")[:_ACTOR_MAX],
            roles=roles,
            peer=address[:_PEER_MAX],
            method=policy.path,
            targets=tuple(filter(is_any_id, parameters)),
            request_id=_if_well_formed(_REQUEST_ID, headers.get(IDEMPOTENCY_KEY_HEADER, "")),
            trace_id=_if_well_formed(_TRACE_ID, request.request_id),
            code=code,
            reason=_reason_of(response.response_code_details),
        )


def _code_of(response: wire.HttpResponseProperties) -> str:
    """The name of the status that the caller was told; '': the call was not refused."""
    number = grpc_status_of(response)
    if number is None:
        number = code_of_http(response.response_code.value)
    if number == code_pb2.OK:
        return ""
    known = code_pb2.Code.values()
    return str(code_pb2.Code.Name(number if number in known else code_pb2.UNKNOWN))


def _reason_of(details: str) -> str:
    """Envoy's `response_code_details`, up to what it says of the one call."""
    word = re.split(r"[^a-z0-9_]", details.lower(), maxsplit=1)[0]
    return _REASONS.get(word, word.upper())[:_REASON_MAX]


def _if_well_formed(pattern: re.Pattern[str], text: str) -> str:
    return text if pattern.fullmatch(text) else ""
