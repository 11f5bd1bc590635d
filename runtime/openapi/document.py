"""The OpenAPI document: one operation for each way to call a method with JSON."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from runtime.access import ANYONE, TOKEN_ROLES, policy_of
from runtime.contract import Rpc, contract, rpcs
from runtime.openapi.errors import (
    ERROR,
    HEADERS,
    STATUS,
    error_responses,
    headers,
    references,
)
from runtime.openapi.examples import Examples
from runtime.openapi.links import Links, Operation
from runtime.openapi.schemas import Schema, Schemas, is_required, name_of
from runtime.request_id import IDEMPOTENCY_KEY_HEADER

_VERSION = "v1"
_ABOUT = """\
Everything that web clients may call at the edge. Each operation is a gRPC method, too, with the
same rules; `protos/` has the contract.

- Ask for a token with `POST /v1/sessions:login`, and send it as `Authorization: Bearer …`. Where
  the operation names scopes, merchants may send an API key as `x-api-key` instead.
- An operation that changes something has a `request_id`, in its body or as header
  `Idempotency-Key`. The same id with the same content has the same answer; after 503 or 504 the
  outcome is unknown: repeat the same request.
- An error is a `google.rpc.Status`: a code, a message, and details, of which one has a stable
  `reason`. Every answer has an `x-request-id`, which finds it in all logs.
- Lists come in pages: the `next_page_token` of one is the `page_token` of the next, with the same
  filters; an empty one means that there are no more.
- Who calls more than 100 times a minute, unless more is agreed, gets 429: `retry-after` says how
  long to wait.
- 64-bit integers are strings, as in all of proto JSON; numbers are read, too. What is not
  known is refused in a query, and ignored in a body.
"""
#: What Envoy passes on as it is.
_FILE = ".google.api.HttpBody"
_SECURITY: dict[str, Schema] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token, from `POST /v1/sessions:login`.",
    },
    "api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "A merchant's or partner's API key, from `POST /v1/api-keys`.",
    },
}


@cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1 of everything that JSON clients reach at the edge."""
    schemas = Schemas(contract())
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, str] = {}
    operations = list(_operations())
    links = Links(operations, schemas)
    for one in operations:
        operation = _Operation(one, schemas, links).made()
        paths.setdefault(one.binding.template, {})[one.binding.verb.lower()] = operation
        tags[operation["tags"][0]] = schemas.comments.of(f".{one.rpc.service}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Holdfast", "version": _VERSION, "description": _ABOUT},
        "servers": [{"url": "/", "description": "The edge that this came from."}],
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "paths": paths,
        "components": {
            "securitySchemes": _SECURITY,
            "headers": HEADERS,
            "responses": error_responses(),
            "schemas": {**dict(sorted(schemas.components.items())), STATUS: ERROR},
        },
    }


def _operations() -> Iterator[Operation]:
    for rpc in rpcs():
        policy = policy_of(rpc)
        if policy is None or policy.roles.isdisjoint({ANYONE, *TOKEN_ROLES}):
            continue
        name = f"{_short(rpc)}_{rpc.name}"
        for number, binding in enumerate(policy.bindings):
            suffix = f"_{number + 1}" if number else ""
            yield Operation(name=name + suffix, rpc=rpc, policy=policy, binding=binding)


def _short(rpc: Rpc) -> str:
    return rpc.service.rpartition(".")[2]


class _Operation:
    """The operation object of one way to call one method."""

    def __init__(self, operation: Operation, schemas: Schemas, links: Links) -> None:
        self._name = operation.name
        self._rpc = operation.rpc
        self._policy = operation.policy
        self._binding = operation.binding
        self._schemas = schemas
        self._links = links.of(operation)
        self._examples = Examples(
            fields=schemas.fields, values=schemas.values, is_required=is_required
        )
        self._input = self._rpc.method.input_type
        self._path_fields = operation.path_fields

    def made(self) -> dict[str, Any]:
        """The operation object."""
        comment = self._schemas.comments.of(f".{self._rpc.service}.{self._rpc.name}")
        operation: dict[str, Any] = {
            "operationId": self._name,
            "tags": [_short(self._rpc)],
            "summary": comment.partition("\n\n")[0].partition(". ")[0].rstrip(".") + ".",
            "description": f"{comment}\n\n{self._who()}",
            "x-grpc-method": self._rpc.path,
            "x-roles": sorted(self._policy.roles & {ANYONE, *TOKEN_ROLES}),
            "security": self._security(),
        }
        if parameters := self._parameters():
            operation["parameters"] = parameters
        if self._asks_for_body():
            # Anything but the whole message is a field of type HttpBody: the bytes as they come.
            body: dict[str, Any] = {"description": "The raw body, as its sender has signed it."}
            if self._binding.body == "*":
                body = self._schemas.message(self._input, without=self._path_fields)
            content = {"application/json": {"schema": body}}
            if self._binding.body == "*":
                content["application/json"]["example"] = self._examples.of_request(
                    self._input, self._path_fields
                )
            operation["requestBody"] = {"required": True, "content": content}
        operation["responses"] = self._responses(comment)
        return operation

    def _asks_for_body(self) -> bool:
        """False also if there may be one that says nothing."""
        body = self._binding.body
        return body == "*" or (bool(body) and is_required(self._schemas.fields(self._input)[body]))

    def _who(self) -> str:
        if ANYONE in self._policy.roles:
            return "No credential is asked for."
        roles = ", ".join(role for role in TOKEN_ROLES if role in self._policy.roles)
        scopes = ", ".join(f"`{scope}`" for scope in self._policy.scopes)
        return f"Roles: {roles}." + (f" Scopes of an API key: {scopes}." if scopes else "")

    def _security(self) -> list[dict[str, list[str]]]:
        if ANYONE in self._policy.roles:
            return []
        names = ["token", "api_key"] if self._policy.scopes else ["token"]
        return [{name: []} for name in names]

    def _parameters(self) -> list[dict[str, Any]]:
        fields = self._schemas.fields(self._input)
        found = [self._parameter(fields[name], "path") for name in sorted(self._path_fields)]
        if self._binding.body != "*":
            found += [
                self._parameter(field, "query")
                for name, field in fields.items()
                if name not in self._path_fields and name != self._binding.body
            ]
        if "request_id" in fields:
            found.append(
                {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "description": "Instead of `request_id`, or equal to it.",
                    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"},
                }
            )
        assert IDEMPOTENCY_KEY_HEADER == "idempotency-key", "the name that clients are told"
        return found

    def _parameter(self, field: Any, where: str) -> dict[str, Any]:
        schema = self._schemas.field(self._input, field)
        description = schema.pop("description")
        if where == "path":
            # An empty one is another path, and Envoy refuses escaped slashes.
            schema["minLength"], schema["pattern"] = 1, "^[A-Za-z0-9_-]+$"
        return {
            "name": field.name,
            "in": where,
            "description": description,
            "required": where == "path" or is_required(field),
            "schema": schema,
        }

    def _answer(self, name: str) -> dict[str, Any]:
        if name == _FILE:
            # Its content type is in the answer.
            return {"description": "A file.", "content": {"*/*": {"schema": {}}}}
        return {
            "description": f"A `{name_of(name)}`.",
            "content": {"application/json": {"schema": self._schemas.reference(name)}},
        }

    def _responses(self, comment: str) -> dict[str, Any]:
        found: dict[str, Any] = {"200": self._answer(self._rpc.method.output_type)}
        found["200"]["headers"] = headers("x-request-id", *self._headers())
        if self._links:
            found["200"]["links"] = self._links
        is_open = ANYONE in self._policy.roles
        has_body = bool(self._binding.body)
        return found | references(
            comment,
            has_body=has_body,
            asks_for_credential=not is_open,
            may_be_anothers=bool(self._policy.owner),
        )

    def _headers(self) -> Iterator[str]:
        if "request_id" in self._schemas.fields(self._input):
            yield "idempotent-replayed"
