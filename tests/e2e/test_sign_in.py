"""A person at the edge: JSON over HTTPS, from registering to signing out."""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from gateway.registration import profile_context
from gateway.rings import Rings
from gateway.session_check import READ_CACHE_MS
from runtime import pki
from runtime.cli.token import issue_token
from runtime.clock import SystemClock
from runtime.devstack.supervisor import Devstack
from runtime.secrets import secrets_of
from tests.e2e.edge.world import until

PASSWORD = "correct horse battery"


@pytest.fixture
async def web(full_mesh: Devstack) -> AsyncIterator[httpx.AsyncClient]:
    """A client that trusts the mesh, and has nothing else."""
    url = f"https://localhost:{full_mesh.ports['edge_https']}"
    trust = ssl.create_default_context(cafile=str(pki.ca_path(full_mesh.settings)))
    async with httpx.AsyncClient(base_url=url, verify=trust) as client:
        yield client


async def _post(
    web: httpx.AsyncClient, path: str, body: dict[str, Any], *, token: str = ""
) -> httpx.Response:
    headers = {"idempotency-key": uuid.uuid4().hex}
    if token:
        headers["authorization"] = f"Bearer {token}"
    return await web.post(path, json=body, headers=headers)


async def _get(web: httpx.AsyncClient, path: str, token: str) -> httpx.Response:
    return await web.get(path, headers={"authorization": f"Bearer {token}"})


async def _signed_in(web: httpx.AsyncClient) -> tuple[dict[str, str], dict[str, Any]]:
    """A new user's tokens, and the session."""
    email = f"{uuid.uuid4().hex}@example.com"
    body = {"email": email, "password": PASSWORD, "name": "Ada"}
    registered = await _post(web, "/v1/users:register", body)
    assert registered.status_code == 200, registered.text
    login = await _post(web, "/v1/sessions:login", {"email": email, "password": PASSWORD})
    assert login.status_code == 200, login.text
    assert login.json()["session"]["user_id"] == registered.json()["user_id"]
    return login.json()["tokens"], login.json()["session"]


async def test_a_cardholder_signs_in_and_sees_what_is_own(web: httpx.AsyncClient) -> None:
    tokens, session = await _signed_in(web)
    current = await _get(web, "/v1/sessions/current", tokens["access_token"])
    assert current.status_code == 200, current.text
    assert current.json()["session"]["id"] == session["id"]
    assert session["roles"] == ["cardholder"]
    # Neither what is somebody else's, nor what administrators do.
    card = f"/v1/cards/card_0a{uuid.uuid4().hex}"
    assert (await _get(web, card, tokens["access_token"])).status_code in (403, 404)
    body = {"roles": ["admin"]}
    path = f"/v1/users/{session['user_id']}:setAccess"
    assert (await _post(web, path, body, token=tokens["access_token"])).status_code == 403


async def test_who_registers_is_known_to_accounts(
    web: httpx.AsyncClient, full_mesh: Devstack
) -> None:
    """Once, also when the profile is told twice and accounts has forgotten the first time."""
    tokens, session = await _signed_in(web)
    path, user_id = f"/v1/users/{session['user_id']}", session["user_id"]
    known = await _get(web, f"{path}?view=VIEW_FULL", tokens["access_token"])
    assert known.status_code == 200, known.text
    assert (known.json()["user"]["name"], known.json()["user"]["version"]) == ("Ada", "1")
    assert known.json()["user"]["email"].endswith("@example.com")
    owner = await asyncpg.connect(full_mesh.owner_dsn)
    profile = json.dumps({"request_id": f"register-{user_id}", "email": "a@b.de", "name": "Eve"})
    rings = Rings.of(secrets_of(full_mesh.settings), SystemClock())
    sealed = rings.users.seal(profile.encode(), context=profile_context(user_id))
    try:
        await owner.execute(
            "DELETE FROM accounts.request_record WHERE request_id = $1", f"register-{user_id}"
        )
        await owner.execute(
            "INSERT INTO gateway.outbox (topic, key, payload) VALUES ('profile', $1, $2)",
            user_id,
            sealed,
        )
        count = "SELECT count(*) FROM gateway.outbox WHERE key = $1"

        async def delivered() -> bool:
            return not await owner.fetchval(count, user_id)

        await until(delivered)
    finally:
        await owner.close()
    again = await _get(web, path, tokens["access_token"])
    assert (again.json()["user"]["name"], again.json()["user"]["version"]) == ("Ada", "1")


async def test_a_wrong_password_is_refused(web: httpx.AsyncClient) -> None:
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    answer = await _post(web, "/v1/sessions:login", body)
    assert answer.status_code == 401
    assert answer.json()["details"][0]["reason"] == "WRONG_CREDENTIALS"


async def test_who_changes_the_email_signs_in_with_the_new_one(
    web: httpx.AsyncClient, full_mesh: Devstack
) -> None:
    """By staff; the person needs a second factor, which this one has not."""
    staff = issue_token(full_mesh.settings, subject="usr_" + "0" * 34, roles=("admin",))
    old, new, other = (f"{uuid.uuid4().hex}@example.com" for _ in range(3))
    people = {}
    for email in (old, other):
        signing_in = {"email": email, "password": PASSWORD}
        registered = await _post(web, "/v1/users:register", {**signing_in, "name": "Ada"})
        people[email] = f"/v1/users/{registered.json()['user_id']}"
    tokens = (await _post(web, "/v1/sessions:login", signing_in | {"email": old})).json()["tokens"]

    async def change(email: str, token: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}", "idempotency-key": uuid.uuid4().hex}
        return await web.patch(people[old], json={"email": email}, headers=headers)

    unproven = await change(new, tokens["access_token"])
    assert unproven.json()["details"][0]["reason"] == "SECOND_FACTOR_REQUIRED"
    taken = await change(other, staff)
    assert (taken.status_code, taken.json()["details"][0]["reason"]) == (409, "EMAIL_TAKEN")
    changed = await change(new, staff)
    assert changed.status_code == 200, changed.text
    for email, status in ((old, 401), (new, 200), (other, 200)):
        answer = await _post(web, "/v1/sessions:login", signing_in | {"email": email})
        assert answer.status_code == status, answer.text


async def test_of_all_who_want_an_address_one_has_it(
    web: httpx.AsyncClient, full_mesh: Devstack
) -> None:
    """At the same time. Who comes second is told so, of which nothing has changed; asking again is
    refused again, and answered once the address is free.
    """
    staff = issue_token(full_mesh.settings, subject="usr_" + "0" * 34, roles=("admin",))
    first, second, *emails = (f"{uuid.uuid4().hex}@example.com" for _ in range(6))
    people = []
    for email in emails:
        body = {"email": email, "password": PASSWORD, "name": "Ada"}
        people.append((await _post(web, "/v1/users:register", body)).json()["user_id"])

    async def change(user_id: str, email: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {staff}", "idempotency-key": f"{user_id}-{email}"[:48]}
        return await web.patch(f"/v1/users/{user_id}", json={"email": email}, headers=headers)

    body = {"email": first, "password": PASSWORD, "name": "Eve"}
    answers = await asyncio.gather(
        *(change(one, first) for one in people), _post(web, "/v1/users:register", body)
    )
    codes = [one.status_code for one in answers]
    assert sorted(codes) == [200, 409, 409, 409, 409], codes
    for one in answers:
        if one.status_code == 409:
            assert one.json()["details"][0]["reason"] == "EMAIL_TAKEN"
    for user_id, before, code in zip(people, emails, codes, strict=False):
        known = await _get(web, f"/v1/users/{user_id}?view=VIEW_FULL", staff)
        email = first if code == 200 else before
        assert known.json()["user"]["email"] == email
        signing_in = {"email": email, "password": PASSWORD}
        login = await _post(web, "/v1/sessions:login", signing_in)
        assert login.json()["session"]["user_id"] == user_id
    loser = next(one for one, code in zip(people, codes, strict=False) if code == 409)
    assert (await change(loser, first)).status_code == 409
    if codes[-1] == 409:
        winner = people[codes.index(200)]
        assert (await change(winner, second)).status_code == 200
        assert (await change(loser, first)).status_code == 200


async def test_who_is_suspended_has_no_session_until_reactivated(
    web: httpx.AsyncClient, full_mesh: Devstack
) -> None:
    """Through the mesh, from accounts to the gateway: with the answer the sessions have ended."""
    staff = issue_token(full_mesh.settings, subject="usr_" + "0" * 34, roles=("admin",))
    email = f"{uuid.uuid4().hex}@example.com"
    signing_in = {"email": email, "password": PASSWORD}
    registered = await _post(web, "/v1/users:register", {**signing_in, "name": "Ada"})
    user = f"/v1/users/{registered.json()['user_id']}"
    tokens = (await _post(web, "/v1/sessions:login", signing_in)).json()["tokens"]
    suspended = await _post(web, f"{user}:suspend", {}, token=staff)
    assert suspended.status_code == 200, suspended.text
    refresh = {"refresh_token": tokens["refresh_token"]}
    assert (await _post(web, "/v1/sessions:refresh", refresh)).status_code == 401
    ended = await _post(web, "/v1/sessions:logout", {}, token=tokens["access_token"])
    assert ended.status_code == 401
    refused = await _post(web, "/v1/sessions:login", signing_in)
    assert refused.json()["details"][0]["reason"] == "WRONG_CREDENTIALS"
    assert (await _post(web, f"{user}:reactivate", {}, token=staff)).status_code == 200
    assert (await _post(web, "/v1/sessions:login", signing_in)).status_code == 200
    assert (await _post(web, f"{user}:close", {}, token=staff)).status_code == 200
    assert (await _post(web, f"{user}:erase", {}, token=staff)).status_code == 200
    assert (await _post(web, "/v1/sessions:login", signing_in)).status_code == 401
    again = await _post(web, "/v1/users:register", {**signing_in, "name": "Ada"})
    assert again.json()["user_id"] != registered.json()["user_id"]


async def test_a_session_that_was_ended_does_nothing_more(web: httpx.AsyncClient) -> None:
    """Nothing changes from that moment on, and soon nothing is read; the token is still good."""
    tokens, session = await _signed_in(web)
    token = tokens["access_token"]
    assert (await _get(web, "/v1/sessions", token)).status_code == 200
    assert (await _post(web, "/v1/sessions:logout", {}, token=token)).status_code == 200
    for path in (f"/v1/sessions/{session['id']}:revoke", "/v1/secondFactors:enroll"):
        refused = await _post(web, path, {}, token=token)
        assert refused.status_code == 401, refused.text
        assert refused.json()["details"][0]["reason"] == "SESSION_ENDED"
    await asyncio.sleep(READ_CACHE_MS / 1000)
    assert (await _get(web, "/v1/sessions", token)).status_code == 401
    refresh = await _post(web, "/v1/sessions:refresh", {"refresh_token": tokens["refresh_token"]})
    assert refresh.status_code == 401


async def _asked(stack: Devstack, method: str) -> float:
    """How often Envoy has asked gateway so far."""
    async with httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{stack.ports['metrics']}/metrics/gateway"
        text = (await client.get(url)).text
    lines = [line for line in text.splitlines() if f'/{method}"}}' in line]
    return sum(float(line.split()[-1]) for line in lines if line.startswith("holdfast_calls_total"))


async def test_a_call_with_a_session_costs_one_question(
    full_mesh: Devstack, web: httpx.AsyncClient
) -> None:
    """The limiter looks at the session, too: nobody asks about it a second time."""
    tokens, _ = await _signed_in(web)
    counted, checked = [await _asked(full_mesh, one) for one in ("ShouldRateLimit", "Check")]
    for _ in range(5):
        assert (await _get(web, "/v1/sessions", tokens["access_token"])).status_code == 200
    assert (
        await _post(web, "/v1/sessions:logout", {}, token=tokens["access_token"])
    ).status_code == 200
    assert await _asked(full_mesh, "ShouldRateLimit") == counted + 6
    assert await _asked(full_mesh, "Check") == checked
