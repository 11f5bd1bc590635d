"""Who goes on at the edge while gateway has no connection to the cache Valkey."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from runtime import redis
from runtime.cli.token import issue_token
from runtime.devstack import valkey
from runtime.devstack.supervisor import Devstack
from runtime.settings import OPERATOR
from tests.e2e.edge.world import until

AUTHORIZATION = "/v1/authorizations/auth_0a" + "1" * 32
PASSWORD = "correct horse battery"


@pytest.fixture
async def web(full_mesh: Devstack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{full_mesh.ports['edge_http']}", timeout=10
    ) as client:
        yield client


async def _post(
    web: httpx.AsyncClient, path: str, body: dict[str, Any], headers: dict[str, str]
) -> httpx.Response:
    return await web.post(path, json={"request_id": uuid.uuid4().hex, **body}, headers=headers)


async def _session(web: httpx.AsyncClient) -> dict[str, str]:
    """The header of a new user who is signed in."""
    person = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    assert (await _post(web, "/v1/users:register", {**person, "name": "Ada"}, {})).is_success
    login = await _post(web, "/v1/sessions:login", person, {})
    return {"authorization": f"Bearer {login.json()['tokens']['access_token']}"}


def _told(answer: httpx.Response) -> tuple[int, str]:
    details = answer.json().get("details")
    return answer.status_code, details[0]["reason"] if details else ""


async def test_what_cannot_be_checked_is_refused_and_the_rest_goes_on(
    full_mesh: Devstack, web: httpx.AsyncClient
) -> None:
    settings = full_mesh.settings
    token = issue_token(settings, subject=OPERATOR, roles=("admin",))
    operator = {"authorization": f"Bearer {token}"}
    created = await _post(
        web,
        "/v1/api-keys",
        {"owner_id": f"mer_{uuid.uuid4().hex}", "scopes": ["authorizations:read"]},
        operator,
    )
    key, session = {"x-api-key": created.json()["secret"]}, await _session(web)
    found = (httpx.codes.NOT_FOUND, "AUTHORIZATION_NOT_FOUND")
    assert _told(await web.get(AUTHORIZATION, headers=key)) == found
    assert (await web.get("/v1/sessions", headers=session)).is_success

    url = settings.cache_url or ""
    async with redis.client(settings, url, server=valkey.CACHE, user="test") as opened:
        client: Any = opened
        await client.execute_command("ACL", "SETUSER", "gateway", "off")
        try:
            await client.execute_command("CLIENT", "KILL", "USER", "gateway")
            refused = (httpx.codes.SERVICE_UNAVAILABLE, "CACHE_UNAVAILABLE")
            assert _told(await web.get("/v1/sessions", headers=session)) == refused
            logout = await _post(web, "/v1/sessions:logout", {}, session)
            assert _told(logout) == refused
            for others in (key, operator):
                answer = await web.get(AUTHORIZATION, headers=others)
                assert _told(answer) == found
                assert "x-ratelimit-limit" not in answer.headers
            guarded = (httpx.codes.SERVICE_UNAVAILABLE, "LIMITER_UNAVAILABLE")
            for path in ("/v1/sessions:login", "/v1/sessions:beginOidc"):
                assert _told(await _post(web, path, {}, {})) == guarded
            reveal = f"/v1/cards/card_0a{'1' * 32}:reveal"
            for others in (session, operator):
                assert _told(await _post(web, reveal, {}, others)) == guarded
        finally:
            await client.execute_command("ACL", "SETUSER", "gateway", "on")

    async def back() -> bool:
        answer = await web.get("/v1/sessions", headers=session)
        return answer.is_success and "x-ratelimit-limit" in answer.headers

    await until(back)
