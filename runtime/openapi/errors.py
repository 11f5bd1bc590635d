"""Errors of the document: what they look like, and which of them an operation has."""

from __future__ import annotations

import json
import re
from http import HTTPStatus

from runtime.error_text import json_of
from runtime.errors import (
    DeadlineExceeded,
    HoldfastError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RequestIdReused,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Violation,
)
from runtime.openapi.schemas import Schema

STATUS = "google.rpc.Status"
_CODE = re.compile(r"\b([A-Z][A-Z_]+)\b(?: \(([^)]*)\))?")
#: HTTP status by gRPC code, as Envoy has it.
_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
#: What any call may meet at the edge: malformed, too many, too large, nobody there, too late.
_ALWAYS = (400, 429, 503, 504)
_WITH_BODY = (413, 415)
_WITH_CREDENTIAL = (401, 403)
_DETAIL: Schema = {
    "type": "object",
    "properties": {
        "@type": {
            "type": "string",
            "description": "Which of the three it is.",
            "examples": ["type.googleapis.com/google.rpc.ErrorInfo"],
        },
        "reason": {
            "type": "string",
            "description": "ErrorInfo: what is the matter, for programs; stable.",
            "examples": ["CARD_NOT_FOUND"],
        },
        "domain": {"type": "string", "description": "ErrorInfo: always `holdfast`."},
        "metadata": {
            "type": "object",
            "description": "ErrorInfo: what it is about, e.g. `card_id` or `state`.",
            "additionalProperties": {"type": "string"},
        },
        "field_violations": {
            "type": "array",
            "description": "BadRequest: every wrong field, by its path, and what is wrong with it.",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
            },
        },
        "retry_delay": {
            "type": "string",
            "description": "RetryInfo: when to ask again.",
            "examples": ["12.500s"],
        },
    },
    "required": ["@type"],
    "additionalProperties": True,
}
ERROR: Schema = {
    "type": "object",
    "description": "An error: no decision was made.",
    "properties": {
        "code": {"type": "integer", "description": "A google.rpc.Code.", "examples": [5]},
        "message": {"type": "string", "description": "For people; not stable."},
        "details": {
            "type": "array",
            "description": "One google.rpc.ErrorInfo with a stable `reason`, and what else helps: "
            "google.rpc.BadRequest names each wrong field, google.rpc.RetryInfo says when to ask "
            "again.",
            "items": _DETAIL,
        },
    },
    "required": ["code", "message"],
}
HEADERS: dict[str, Schema] = {
    "x-request-id": {
        "description": "Id of this call in all logs: the caller's own, or a new one.",
        "schema": {"type": "string"},
    },
    "idempotent-replayed": {
        "description": "`true`: this request had its answer before, and nothing happened again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "retry-after": {
        "description": "Seconds to wait.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
}
#: One error of each status, as services say it.
_EXAMPLES: dict[int, HoldfastError] = {
    400: InvalidArgument.of([Violation("page_size", "must not be negative")]),
    401: Unauthenticated("the session has ended: sign in again", reason="SESSION_ENDED"),
    403: PermissionDenied("only a user may apply, for itself", reason="NOT_A_USER"),
    404: NotFound("no such card", reason="CARD_NOT_FOUND", metadata={"card_id": "card_2a01"}),
    409: RequestIdReused("order-42"),
    429: ResourceExhausted(
        "no more than 100 calls a minute; try again in 13 s",
        reason="RATE_LIMITED",
        metadata={"limit_per_minute": "100", "counted": "user"},
        retry_after_ms=12_500,
    ),
    503: Unavailable("the outcome is unknown: repeat the same request"),
    504: DeadlineExceeded("the deadline passed; the outcome is unknown: repeat the same request"),
}


def headers(*names: str) -> dict[str, Schema]:
    """References to headers of an answer."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def references(
    comment: str, *, has_body: bool, asks_for_credential: bool, may_be_anothers: bool
) -> dict[str, Schema]:
    """The errors of an operation: those that its comment names, with their reasons, and those that
    the edge has for every call like it. What is another's does not exist.
    """
    named: dict[int, list[str]] = {}
    for found in _CODE.finditer(comment.partition("Errors:")[2]):
        if found[1] in _STATUSES:
            named.setdefault(_STATUSES[found[1]], []).append(found[0])
    statuses = {*named, *_ALWAYS}
    if asks_for_credential:
        statuses.update(_WITH_CREDENTIAL)
    if may_be_anothers:
        statuses.add(_STATUSES["NOT_FOUND"])
    if has_body:
        statuses.update(_WITH_BODY)
    answers: dict[str, Schema] = {}
    for status in sorted(statuses):
        answers[str(status)] = {"$ref": f"#/components/responses/{status}"}
        if any("(" in one for one in named.get(status, ())):
            # What a reference says of itself stands in place of what it refers to.
            text = f"{HTTPStatus(status).phrase}. {', '.join(named[status])}"
            answers[str(status)]["description"] = text
    return answers


def error_responses() -> dict[str, Schema]:
    """Each with the gRPC codes that look like it."""
    return {str(status): _response(status) for status in sorted({*_STATUSES.values(), *_WITH_BODY})}


def _response(status: int) -> Schema:
    codes = ", ".join(code for code, one in _STATUSES.items() if one == status)
    content: Schema = {"schema": {"$ref": f"#/components/schemas/{STATUS}"}}
    if status in _EXAMPLES:
        content["example"] = _example(_EXAMPLES[status])
    more = ("retry-after",) if status == HTTPStatus.TOO_MANY_REQUESTS else ()
    return {
        "description": f"{HTTPStatus(status).phrase}. {codes}".removesuffix(" "),
        "headers": headers("x-request-id", *more),
        "content": {"application/json": content},
    }


def _example(error: HoldfastError) -> Schema:
    """As the edge says it. Maps have no order of their own: the document is the same each time."""
    answer: Schema = json.loads(json_of(error))
    for detail in answer.get("details", ()):
        if "metadata" in detail:
            detail["metadata"] = dict(sorted(detail["metadata"].items()))
    return answer
