"""The OpenAPI document: valid, complete, and as Envoy transcodes."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate

from runtime.access import ANYONE, TOKEN_ROLES, load_access
from runtime.openapi import document


def _operations() -> list[dict[str, Any]]:
    return [operation for verbs in document()["paths"].values() for operation in verbs.values()]


def test_it_is_openapi() -> None:
    validate(document())


def test_it_has_every_method_of_the_edge_and_no_other() -> None:
    policies = load_access().policies.values()
    edge = {one.path for one in policies if one.roles & {ANYONE, *TOKEN_ROLES}}
    assert {one["x-grpc-method"] for one in _operations()} == edge
    names = [one["operationId"] for one in _operations()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("operation", _operations(), ids=lambda one: one["operationId"])
def test_every_element_says_what_it_is(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    for parameter in operation.get("parameters", ()):
        assert parameter["description"], parameter["name"]
    body = operation.get("requestBody")
    if body:
        schema = body["content"]["application/json"]["schema"]
        in_path = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        # Envoy refuses what is said twice.
        assert in_path.isdisjoint(schema.get("properties", ()))


def test_credentials() -> None:
    paths = document()["paths"]
    assert paths["/v1/sessions:login"]["post"]["security"] == []
    assert paths["/v1/accounts"]["get"]["security"] == [{"token": []}]
    assert paths["/v1/authorizations"]["post"]["security"] == [{"token": []}, {"api_key": []}]


def test_proto_json() -> None:
    """64-bit integers are strings, enums names, times RFC 3339, bytes base64."""
    schemas = document()["components"]["schemas"]
    amount = schemas["type.v1.Money"]["properties"]["amount_minor"]
    assert (amount["type"], amount["format"]) == ("string", "int64")
    decision = schemas["authz.v1.Decision"]
    assert decision["enum"][:2] == ["DECISION_UNSPECIFIED", "DECISION_APPROVED"]
    body = document()["paths"]["/v1/applications/{application_id}/documents"]["post"]
    fields = body["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert fields["content"]["contentEncoding"] == "base64"
    account = schemas["accounts.v1.Account"]["properties"]
    assert account["create_time"]["format"] == "date-time"
