"""API keys and limits through the whole mesh: Envoy, gateway, PostgreSQL and Valkey."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from gateway.api_key_check import CACHE_MS
from holdfast.authz.v1 import authorization_service_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as pb_grpc
from runtime.cli.token import issue_token
from runtime.devstack.supervisor import Devstack
from runtime.settings import OPERATOR

_NUMBERS = itertools.count(1)
UNKNOWN = "auth_0a" + "1" * 32
PATH = f"/v1/authorizations/{UNKNOWN}"


@pytest.fixture
async def web(full_mesh: Devstack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{full_mesh.ports['edge_http']}", timeout=10
    ) as client:
        yield client


def _bearer(stack: Devstack, subject: str, role: str = "admin") -> dict[str, str]:
    token = issue_token(stack.settings, subject=subject, roles=(role,))
    return {"authorization": f"Bearer {token}"}


async def _created(stack: Devstack, web: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    number = next(_NUMBERS)
    body = {
        "request_id": f"api-key-{number}",
        "owner_id": f"mer_{number}",
        "scopes": ["authorizations:read"],
        **fields,
    }
    answer = await web.post("/v1/api-keys", headers=_bearer(stack, OPERATOR), json=body)
    assert answer.status_code == 200, answer.text
    created: dict[str, Any] = answer.json()
    return created


def _told(answer: httpx.Response) -> tuple[int, str]:
    """Status and reason."""
    details = answer.json()["details"]
    return answer.status_code, details[0]["reason"] if details else ""


async def test_a_key_is_accepted_in_either_header(
    full_mesh: Devstack, web: httpx.AsyncClient
) -> None:
    """NOT_FOUND is the answer of the authorizer: the caller got through, as a merchant."""
    secret = (await _created(full_mesh, web))["secret"]
    for headers in ({"x-api-key": secret}, {"authorization": f"Bearer {secret}"}):
        answer = await web.get(PATH, headers=headers)
        assert _told(answer) == (404, "AUTHORIZATION_NOT_FOUND")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{full_mesh.ports['edge_http']}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await pb_grpc.AuthorizationServiceStub(channel).GetAuthorization(
                pb.GetAuthorizationRequest(authorization_id=UNKNOWN),
                metadata=[("x-api-key", secret)],
            )
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_everything_but_one_right_key_is_refused(
    full_mesh: Devstack, web: httpx.AsyncClient
) -> None:
    secret = (await _created(full_mesh, web))["secret"]
    bearer = _bearer(full_mesh, "usr_1")
    wrong = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    cases: list[tuple[dict[str, str], tuple[int, str]]] = [
        ({"x-api-key": "junk"}, (401, "API_KEY_INVALID")),
        ({"x-api-key": wrong}, (401, "API_KEY_INVALID")),
        ({"x-api-key": ""}, (401, "CREDENTIAL_MISSING")),
        ({"authorization": "Bearer hf_junk"}, (401, "API_KEY_INVALID")),
        ({"x-api-key": secret, **bearer}, (401, "CREDENTIALS_AMBIGUOUS")),
        ({"x-api-key": "junk", "authorization": "Bearer junk"}, (401, "CREDENTIALS_AMBIGUOUS")),
        (
            {"x-api-key": secret, "authorization": f"Bearer {secret}"},
            (401, "CREDENTIALS_AMBIGUOUS"),
        ),
        ({"authorization": "Bearer junk"}, (401, "")),
        ({}, (401, "")),
    ]
    for headers, told in cases:
        assert _told(await web.get(PATH, headers=headers)) == told, headers.keys()
    # What somebody says of himself counts nothing.
    claims = {"x-auth-subject": "usr_root", "x-auth-roles": "admin", "x-auth-address": "192.0.2.1"}
    answer = await web.get("/v1/accounts", headers={"x-api-key": secret, **claims})
    assert _told(answer) == (403, "SCOPE_MISSING")


async def test_scopes_and_networks_bind_a_key(full_mesh: Devstack, web: httpx.AsyncClient) -> None:
    reading = (await _created(full_mesh, web))["secret"]
    answer = await web.post("/v1/authorizations", headers={"x-api-key": reading}, json={})
    assert _told(answer) == (403, "SCOPE_MISSING")
    # No key manages keys.
    answer = await web.get("/v1/api-keys", headers={"x-api-key": reading})
    assert _told(answer) == (403, "SCOPE_MISSING")
    elsewhere = await _created(full_mesh, web, allowed_networks=["192.0.2.0/24"])
    headers = {"x-api-key": elsewhere["secret"], "x-forwarded-for": "192.0.2.7"}
    assert _told(await web.get(PATH, headers=headers)) == (403, "ADDRESS_NOT_ALLOWED")
    here = await _created(full_mesh, web, allowed_networks=["127.0.0.1"])
    answer = await web.get(PATH, headers={"x-api-key": here["secret"]})
    assert answer.status_code == 404


async def test_a_merchants_staff_makes_its_keys(
    full_mesh: Devstack, web: httpx.AsyncClient
) -> None:
    """By themselves: signed in, for the merchant that an administrator gave them, for no other."""
    number = next(_NUMBERS)
    address = f"staff.{uuid.uuid4().hex}@example.com"
    known = {"email": address, "password": "correct horse battery"}
    body = {"request_id": uuid.uuid4().hex, "name": "Ada", **known}
    user_id = (await web.post("/v1/users:register", json=body)).json()["user_id"]
    merchant = {"roles": ["merchant"], "merchant_id": f"mer_own_{number}"}
    given = await web.post(
        f"/v1/users/{user_id}:setAccess",
        headers=_bearer(full_mesh, OPERATOR),
        json={"request_id": uuid.uuid4().hex, **merchant},
    )
    assert given.json()["merchant_id"] == merchant["merchant_id"]
    body = {"request_id": uuid.uuid4().hex, **known}
    tokens = (await web.post("/v1/sessions:login", json=body)).json()["tokens"]
    signed_in = {"authorization": f"Bearer {tokens['access_token']}"}
    key = {"request_id": uuid.uuid4().hex, "scopes": ["authorizations:read"]}
    created = await web.post(
        "/v1/api-keys", headers=signed_in, json={**key, "owner_id": merchant["merchant_id"]}
    )
    assert created.status_code == 200, created.text
    answer = await web.get(PATH, headers={"x-api-key": created.json()["secret"]})
    assert _told(answer) == (404, "AUTHORIZATION_NOT_FOUND")
    listed = (await web.get("/v1/api-keys", headers=signed_in)).json()["api_keys"]
    assert [one["id"] for one in listed] == [created.json()["api_key"]["id"]]
    key["request_id"] = uuid.uuid4().hex
    other = await web.post("/v1/api-keys", headers=signed_in, json={**key, "owner_id": "mer_1"})
    assert other.status_code == 403, other.text


async def test_a_revoked_key_ends_within_the_cache(
    full_mesh: Devstack, web: httpx.AsyncClient
) -> None:
    created = await _created(full_mesh, web)
    headers = {"x-api-key": created["secret"]}
    assert (await web.get(PATH, headers=headers)).status_code == 404
    key_id = created["api_key"]["id"]
    rotated = await web.post(
        f"/v1/api-keys/{key_id}:rotate",
        headers=_bearer(full_mesh, OPERATOR),
        json={"request_id": f"rotate-{key_id}"},
    )
    for secret in (created["secret"], rotated.json()["secret"]):
        assert (await web.get(PATH, headers={"x-api-key": secret})).status_code == 404
    await web.post(
        f"/v1/api-keys/{key_id}:revoke",
        headers=_bearer(full_mesh, OPERATOR),
        json={"request_id": f"revoke-{key_id}"},
    )
    await asyncio.sleep(CACHE_MS / 1000)
    for secret in (created["secret"], rotated.json()["secret"]):
        answer = await web.get(PATH, headers={"x-api-key": secret})
        assert answer.status_code == 401


async def test_a_key_has_its_own_limit_exactly(full_mesh: Devstack, web: httpx.AsyncClient) -> None:
    """All at once: as many as the limit get through, whatever secret or header they use."""
    created = await _created(full_mesh, web, limit_per_minute=20)
    headers = {"x-api-key": created["secret"]}
    answers = await asyncio.gather(*(web.get(PATH, headers=headers) for _ in range(60)))
    assert Counter(one.status_code for one in answers) == {404: 20, 429: 40}
    refused = next(one for one in answers if one.status_code == 429)
    assert _told(refused) == (429, "RATE_LIMITED")
    assert 55 <= int(refused.headers["retry-after"]) <= 61
    assert refused.headers["x-ratelimit-limit"].startswith("20,")
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.json()["details"][1]["retry_delay"]


async def test_a_user_gets_100_calls_over_json_and_grpc(
    full_mesh: Devstack, web: httpx.AsyncClient
) -> None:
    headers = _bearer(full_mesh, f"usr_limited_{next(_NUMBERS)}", "auditor")
    answers = await asyncio.gather(*(web.get(PATH, headers=headers) for _ in range(101)))
    assert Counter(one.status_code for one in answers) == {404: 100, 429: 1}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{full_mesh.ports['edge_http']}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await pb_grpc.AuthorizationServiceStub(channel).GetAuthorization(
                pb.GetAuthorizationRequest(authorization_id=UNKNOWN),
                metadata=list(headers.items()),
            )
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status = rpc_status.from_call(error.value)
    assert status is not None
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert 50 <= retry.retry_delay.seconds <= 60
