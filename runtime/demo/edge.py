"""Scenes of the edge: who you are, what you may do, how much, and a record of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import jwt

from holdfast.accounts.v1 import account_service_pb2
from runtime.demo import requests
from runtime.demo.stage import CURRENCY, Holder, Stage, money
from runtime.mesh_client import CALL_TIMEOUT_S

_FRANK_LIMIT_MINOR = 50_000
#: What an API key may call within a minute, unless it says otherwise.
_LIMIT_PER_MINUTE = 100
#: Longer than any cache of what a key may do.
_REVOKED_LOOKS = 40
_LOOK_S = 0.25
#: Sends no token of the operator's.
_NOBODY = httpx.Auth()


async def log_in(stage: Stage) -> None:
    """Somebody registers and logs in; what is somebody else's does not exist for him."""
    stage.scene("Frank registers and logs in (JSON): his own card, and nobody else's")
    # Made up here, for one mesh that lives for a minute.
    login = {
        "email": f"frank.{secrets.token_hex(4)}@example.com",
        "password": secrets.token_urlsafe(18),
    }
    registered = await _post(
        stage, "/v1/users:register", {**login, "name": "Frank Sample"}, headers={}
    )
    user_id = registered["user_id"]
    account = await stage.mesh.accounts.OpenAccount(
        account_service_pb2.OpenAccountRequest(
            request_id=stage.request_id(),
            owner_id=user_id,
            credit_limit=requests.money_of(_FRANK_LIMIT_MINOR),
        ),
        timeout=CALL_TIMEOUT_S,
    )
    card = await requests.issue_card(stage, account.account.id)
    stage.holders["Frank"] = Holder(
        name="Frank",
        account_id=account.account.id,
        card_id=card.id,
        limit_minor=_FRANK_LIMIT_MINOR,
    )
    session = await _post(stage, "/v1/sessions:login", login, headers={})
    bearer = {"Authorization": f"Bearer {session['tokens']['access_token']}"}
    stage.tell(
        f"logged in: an access token for {session['tokens']['expires_in_s']} s, roles"
        f" {', '.join(session['session']['roles'])}",
        user_id=user_id,
    )
    own = await _get(stage, f"/v1/cards/{card.id}", bearer)
    stage.check("his own card", found=own.status_code, expected=httpx.codes.OK)
    other = await _get(stage, f"/v1/cards/{stage.holders['Alice'].card_id}", bearer)
    stage.check("Alice's card", found=other.status_code, expected=httpx.codes.NOT_FOUND)
    stage.tell(
        f"his card: HTTP {own.status_code}; Alice's: HTTP {other.status_code}, as if there were"
        " none",
        other_card=other.status_code,
    )
    await _post(stage, "/v1/sessions:logout", {}, headers=bearer)
    gone = await _send(stage, f"/v1/cards/{card.id}:freeze", {}, headers=bearer)
    stage.check("after logout", found=gone.status_code, expected=httpx.codes.UNAUTHORIZED)
    stage.tell(
        f"logged out: the same token can freeze no card any more, HTTP {gone.status_code}",
        after_logout=gone.status_code,
    )


async def rotate_keys(stage: Stage, *, rotate: Callable[[], object], signs_after_s: float) -> None:
    """A new signing key takes over while calls go on."""
    stage.scene("The key that signs tokens is rotated while calls go on")
    before = await _key_ids(stage)
    signed_with: set[str] = set()
    calls = failed = 0
    path = f"/v1/cards/{stage.holders['Alice'].card_id}"
    loop = asyncio.get_running_loop()
    rotate()
    until = loop.time() + signs_after_s + 1.0
    while loop.time() < until:
        stage.mesh.tokens.renew()
        signed_with.add(jwt.get_unverified_header(stage.mesh.tokens.token())["kid"])
        answer = await stage.mesh.web.get(path)
        calls += 1
        failed += answer.status_code != httpx.codes.OK
        await asyncio.sleep(0.01)
    after = await _key_ids(stage)
    stage.check("failed calls", found=failed, expected=0)
    stage.check("new keys", found=len(after - before), expected=1)
    stage.check("keys that signed", found=signed_with, expected=after)
    stage.tell(
        f"{calls} calls, each with a new token, signed with the old key or the new one: 0 failed",
        calls=calls,
        failed=failed,
        keys=len(signed_with),
    )


async def api_key(stage: Stage) -> None:
    """A merchant calls with a key: so often and no more, and not at all once it is revoked."""
    stage.scene("A merchant's API key: request 101 within a minute, and a key that is revoked")
    created = await stage.mesh.web.post(
        "/v1/api-keys",
        json={
            "owner_id": "mer_demo",
            "display_name": "till 1",
            "scopes": ["authorizations:write", "authorizations:read"],
        },
        headers={"Idempotency-Key": stage.request_id()},
    )
    stage.check("HTTP status", found=created.status_code, expected=httpx.codes.OK)
    key = {"x-api-key": created.json()["secret"]}
    purchase = {
        "card_id": stage.holders["Alice"].card_id,
        "amount": {"currency_code": CURRENCY, "amount_minor": "350"},
        "merchant": {"descriptor": requests.COFFEE.descriptor, "category_code": "5814"},
    }
    decided = await _post(stage, "/v1/authorizations", purchase, headers=key)
    stage.check("decision", found=decided["decision"], expected="DECISION_APPROVED")
    path = f"/v1/authorizations/{decided['authorization_id']}"
    answers = [await _get(stage, path, key) for _ in range(_LIMIT_PER_MINUTE)]
    codes = [answer.status_code for answer in answers]
    stage.check("the first 100", found=set(codes[:-1]), expected={httpx.codes.OK.value})
    refused = answers[-1]
    stage.check(
        "request 101", found=refused.status_code, expected=httpx.codes.TOO_MANY_REQUESTS.value
    )
    wait_s = int(refused.headers["retry-after"])
    stage.tell(
        f"a purchase of {money(350)} and 99 looks at it: fine; request 101: HTTP"
        f" {refused.status_code}, wait {wait_s} s",
        limited=refused.status_code,
        retry_after_s=wait_s,
    )
    await _revoke(stage, created.json()["api_key"]["id"], path, key)


async def _revoke(stage: Stage, key_id: str, path: str, key: dict[str, str]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    revoked = await stage.mesh.web.post(
        f"/v1/api-keys/{key_id}:revoke",
        json={},
        headers={"Idempotency-Key": stage.request_id()},
    )
    stage.check("HTTP status", found=revoked.status_code, expected=httpx.codes.OK)
    answer = await _get(stage, path, key)
    for _ in range(_REVOKED_LOOKS):
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            break
        await asyncio.sleep(_LOOK_S)
        answer = await _get(stage, path, key)
    stage.check("a revoked key", found=answer.status_code, expected=httpx.codes.UNAUTHORIZED)
    stage.tell(
        f"revoked: HTTP {answer.status_code} after {loop.time() - began:.1f} s",
        revoked=answer.status_code,
        revoked_after_s=round(loop.time() - began, 1),
    )


#: Verifies the audit log: entries in its chains, and what is wrong with the first bad row.
Verify = Callable[[], Awaitable[tuple[int, str]]]
#: Changes one row behind everybody's back; returns its id.
Tamper = Callable[[], Awaitable[int]]


async def audit(stage: Stage, *, verify: Verify, tamper: Tamper) -> None:
    """What administrators did is in a chain of entries; who changes one breaks it."""
    stage.scene("The audit log: a chain that shows when somebody changed it")
    entries, wrong = await verify()
    stage.check("the chain", found=wrong, expected="")
    stage.tell(f"`holdfast audit verify`: {entries} entries, all intact", entries=entries)
    row = await tamper()
    _, wrong = await verify()
    stage.check("the changed row is named", found=str(row) in wrong, expected=True)
    stage.tell(f"one row is changed in PostgreSQL, by its owner: {wrong}", style="red", wrong=wrong)


async def _key_ids(stage: Stage) -> set[str]:
    answer = await stage.mesh.web.get("/.well-known/jwks.json", auth=_NOBODY)
    return {key["kid"] for key in answer.json()["keys"]}


async def _get(stage: Stage, path: str, headers: dict[str, str]) -> httpx.Response:
    return await stage.mesh.web.get(path, headers=headers, auth=_NOBODY)


async def _send(
    stage: Stage, path: str, body: dict[str, Any], *, headers: dict[str, str]
) -> httpx.Response:
    named = {**headers, "Idempotency-Key": stage.request_id()}
    return await stage.mesh.web.post(path, json=body, headers=named, auth=_NOBODY)


async def _post(
    stage: Stage, path: str, body: dict[str, Any], *, headers: dict[str, str]
) -> dict[str, Any]:
    answer = await _send(stage, path, body, headers=headers)
    stage.check(f"POST {path}", found=answer.status_code, expected=httpx.codes.OK)
    found: dict[str, Any] = answer.json()
    return found
