"""The OpenAPI document: valid, complete, and as Envoy transcodes."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from openapi_spec_validator import validate

from runtime.access import ANYONE, TOKEN_ROLES, load_access
from runtime.contract import contract, rpcs
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


def test_every_error_is_said() -> None:
    """Of every operation itself, and with its reasons; what is another's is not found."""
    policies = load_access().policies
    for operation in _operations():
        said = operation["description"].partition("Errors:")[2].strip()
        assert not said.startswith("as "), operation["operationId"]
        if policies[operation["x-grpc-method"]].owner:
            assert "404" in operation["responses"], operation["operationId"]
    conflict = document()["paths"]["/v1/cards"]["post"]["responses"]["409"]
    assert conflict["description"] == "Conflict. ALREADY_EXISTS (REQUEST_ID_REUSED)"
    limit = document()["components"]["responses"]["429"]["content"]["application/json"]
    assert limit["example"]["details"][0]["reason"] == "RATE_LIMITED"


def _links(path: str, verb: str) -> dict[str, dict[str, str]]:
    found = document()["paths"][path][verb]["responses"]["200"].get("links", {})
    return {name: one["parameters"] for name, one in found.items()}


def test_what_is_made_is_linked_to_all_that_takes_it() -> None:
    links = _links("/v1/cards", "post")
    by_path = {
        operation["operationId"]
        for path, verbs in document()["paths"].items()
        if "{card_id}" in path
        for operation in verbs.values()
    }
    assert by_path <= set(links)
    assert links["CardService_FreezeCard"] == {"card_id": "$response.body#/card/id"}
    assert links["AuthorizationService_ListAuthorizations"] == links["CardService_FreezeCard"]
    # A part of a name is enough, and what the source was told is handed on.
    endpoint = _links("/v1/webhook-endpoints", "post")["WebhookService_GetWebhookEndpoint"]
    assert endpoint == {"endpoint_id": "$response.body#/webhook_endpoint/id"}
    added = _links("/v1/applications/{application_id}/documents", "post")
    assert added["ApplicationService_RevealDocument"] == {
        "application_id": "$request.path.application_id",
        "document_id": "$response.body#/document/id",
    }


def test_what_is_changed_or_listed_is_linked_to_what_shows_it() -> None:
    assert set(_links("/v1/cards/{card_id}:freeze", "post")) == {"CardService_GetCard"}
    assert _links("/v1/companies/{company_id}:setRules", "post") == {
        "CompanyService_GetCompanyRules": {"company_id": "$request.path.company_id"}
    }
    listed = _links("/v1/accounts/{account_id}/statements", "get")
    assert listed["StatementService_GetStatement"] == {
        "account_id": "$response.body#/statements/0/account_id",
        "number": "$response.body#/statements/0/number",
    }
    assert listed["next_page"] == {
        "account_id": "$request.path.account_id",
        "page_size": "$request.query.page_size",
        "page_token": "$response.body#/next_page_token",
    }
    assert not _links("/v1/webhook-endpoints/{endpoint_id}:delete", "post")
    assert not _links("/v1/cards/{card_id}", "get")


def test_links_hand_over_whole_paths() -> None:
    operations = {one["operationId"]: one for one in _operations()}
    for source in operations.values():
        for link in source["responses"]["200"].get("links", {}).values():
            parameters = operations[link["operationId"]]["parameters"]
            assert set(link["parameters"]) <= {one["name"] for one in parameters}
            in_path = {one["name"] for one in parameters if one["in"] == "path"}
            assert in_path <= set(link["parameters"]), (source["operationId"], link)


def test_examples_are_requests() -> None:
    """Each is what its method takes, with everything that its schema requires."""
    by_path = {f"/{rpc.service}/{rpc.name}": rpc for rpc in rpcs()}
    pool = descriptor_pool.DescriptorPool()
    for file in contract().file:
        pool.Add(file)
    for operation in _operations():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" not in content:
            continue
        rpc = by_path[operation["x-grpc-method"]]
        descriptor = pool.FindMessageTypeByName(rpc.method.input_type.lstrip("."))
        request = message_factory.GetMessageClass(descriptor)()
        json_format.ParseDict(content["example"], request)
        assert set(content["schema"].get("required", ())) <= set(content["example"])
        changes = "request_id" in content["schema"]["properties"]
        assert ("request_id" in content["example"]) == changes, operation["operationId"]
