"""Scenes of the edge: who you are, what you may do, how much, and a record of it."""

from __future__ import annotations

import asyncio
import json
import shlex
from typing import Any

import httpx
import jwt

from runtime import pki
from runtime.demo import requests, web
from runtime.demo.stage import Stage

#: What an API key may call within a minute, unless it says otherwise.
_LIMIT_PER_MINUTE = 100
#: Longer than any cache of what a key may do.
_REVOKED_LOOKS = 40
_LOOK_S = 0.25


async def session(stage: Stage) -> None:
    """What is somebody else's does not exist; who has logged out changes nothing any more."""
    stage.scene("Alice's token: for her own card, nobody else's, and not after logout")
    alice = stage.people["Alice"]
    own, other = (f"/v1/cards/{stage.holders[name].card_id}" for name in ("Alice", "Carol"))
    seen = await web.get(stage, own, alice.bearer)
    stage.check("her own card", found=seen.status_code, expected=httpx.codes.OK)
    stage.tell(f"her own card: HTTP {seen.status_code}", own_card=seen.status_code)
    hidden = await web.get(stage, other, alice.bearer)
    stage.check("Carol's card", found=hidden.status_code, expected=httpx.codes.NOT_FOUND)
    stage.tell(
        f"Carol's card: HTTP {hidden.status_code}, as if there were none",
        other_card=hidden.status_code,
    )
    await web.post(stage, "/v1/sessions:logout", {}, alice.bearer)
    gone = await web.send(stage, f"{own}:freeze", {}, alice.bearer)
    stage.check("after logout", found=gone.status_code, expected=httpx.codes.UNAUTHORIZED)
    stage.tell(
        f"logged out: the token, though not expired, freezes no card: HTTP {gone.status_code}",
        after_logout=gone.status_code,
    )


async def api_key(stage: Stage) -> None:
    """A merchant calls with a key: so often and no more, and not at all once it is revoked."""
    stage.scene("A merchant's API key: 100 calls a minute, and none once it is revoked")
    created = web.answer_of(
        stage,
        await stage.mesh.web.post(
            "/v1/api-keys",
            json={
                "owner_id": "mer_demo",
                "display_name": "till 1",
                "scopes": ["authorizations:write", "authorizations:read"],
            },
            headers={"Idempotency-Key": stage.request_id()},
        ),
    )
    key = {"x-api-key": created["secret"]}
    request_id = stage.request_id()
    purchase = requests.purchase(stage, stage.holders["Carol"].card_id, 2_199, requests.BOOKS)
    body = {
        "card_id": purchase.card_id,
        "amount": web.json_money(purchase.amount.amount_minor),
        "merchant": {"descriptor": purchase.merchant.descriptor, "category_code": "5942"},
    }
    line = curl_line(stage, request_id, body)
    stage.tell(line, style="dim", curl=line)
    path = "/v1/authorizations"
    decided = await web.post(stage, path, body, {**key, "Idempotency-Key": request_id})
    stage.check("decision", found=decided["decision"], expected="DECISION_APPROVED")
    stage.tell(
        f"HTTP 200, {decided['decision']}, code {decided['authorization_code']}",
        style="green",
        answer=decided,
    )
    path = f"{path}/{decided['authorization_id']}"
    looks = [await web.get(stage, path, key) for _ in range(_LIMIT_PER_MINUTE)]
    codes = [answer.status_code for answer in looks]
    stage.check("the first 100", found=set(codes[:-1]), expected={httpx.codes.OK.value})
    limited = httpx.codes.TOO_MANY_REQUESTS.value
    stage.check("request 101", found=codes[-1], expected=limited)
    wait_s = int(looks[-1].headers["retry-after"])
    stage.tell(
        f"requests 2 to 100: HTTP 200; request 101: HTTP {codes[-1]}, retry after {wait_s} s",
        limited=codes[-1],
        retry_after_s=wait_s,
    )
    await _revoke(stage, created["api_key"]["id"], path, key)


def curl_line(stage: Stage, request_id: str, body: dict[str, Any]) -> str:
    """The same request for a shell, with the key in a variable."""
    fields = ",\n".join(f'  "{name}": {json.dumps(value)}' for name, value in body.items())
    ca = shlex.quote(str(pki.ca_path(stage.mesh.settings)))
    return (
        f"curl {stage.mesh.edge_url}/v1/authorizations \\\n"
        f'  --cacert {ca} -H "x-api-key: $key" \\\n'
        f'  -H "Idempotency-Key: {request_id}" \\\n'
        f"  -H \"Content-Type: application/json\" -d '{{\n{fields}}}'"
    )


async def _revoke(stage: Stage, key_id: str, path: str, key: dict[str, str]) -> None:
    loop = asyncio.get_running_loop()
    revoked = await stage.mesh.web.post(
        f"/v1/api-keys/{key_id}:revoke",
        json={},
        headers={"Idempotency-Key": stage.request_id()},
    )
    stage.check("HTTP status", found=revoked.status_code, expected=httpx.codes.OK)
    began = loop.time()
    answer = await web.get(stage, path, key)
    for _ in range(_REVOKED_LOOKS):
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            break
        await asyncio.sleep(_LOOK_S)
        answer = await web.get(stage, path, key)
    after_s = loop.time() - began
    stage.check("a revoked key", found=answer.status_code, expected=httpx.codes.UNAUTHORIZED)
    stage.tell(
        f"revoked: HTTP {answer.status_code}, {after_s * 1000:.0f} ms later",
        revoked=answer.status_code,
        revoked_after_s=round(after_s, 3),
    )


async def rotate_keys(stage: Stage) -> None:
    """A new signing key takes over while calls go on."""
    stage.scene("The key that signs tokens is replaced while calls go on")
    before = await _key_ids(stage)
    signed_with: set[str] = set()
    calls = failed = 0
    path = f"/v1/cards/{stage.holders['Carol'].card_id}"
    loop = asyncio.get_running_loop()
    stage.backstage.rotate_token_key()
    until = loop.time() + stage.backstage.key_signs_after_s + 1.0
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
        f"{calls} calls, with tokens of the old key and then of the new one: {failed} failed",
        calls=calls,
        failed=failed,
        keys=len(signed_with),
    )


async def audit(stage: Stage) -> None:
    """What administrators did is in a chain of entries; who changes one breaks it."""
    stage.scene("The audit log: a chain of hashes, which shows when somebody has changed it")
    links, wrong = await stage.backstage.verified()
    stage.check("the chain", found=wrong, expected="")
    stage.tell(f"`holdfast audit verify`: {links} links, all intact", style="green", links=links)
    row = await stage.backstage.tampered()
    stage.tell(f"the owner of the database changes the actor of row {row}", tampered=row)
    _, wrong = await stage.backstage.verified()
    stage.check("the changed row is named", found=f"row {row}:" in wrong, expected=True)
    stage.tell(f"`holdfast audit verify`: {wrong}", style="red", wrong=wrong)


async def _key_ids(stage: Stage) -> set[str]:
    answer = await stage.mesh.web.get("/.well-known/jwks.json", auth=web.NOBODY)
    return {key["kid"] for key in answer.json()["keys"]}
