"""JSON over HTTPS, as people and merchants call the edge."""

from __future__ import annotations

from typing import Any

import httpx

from runtime.demo.stage import CURRENCY, Stage

#: Sends no token of the operator's.
NOBODY = httpx.Auth()


async def get(stage: Stage, path: str, headers: dict[str, str]) -> httpx.Response:
    """A call that reads."""
    return await stage.mesh.web.get(path, headers=headers, auth=NOBODY)


async def send(
    stage: Stage, path: str, body: dict[str, Any], headers: dict[str, str]
) -> httpx.Response:
    """A call that changes something, whatever the answer."""
    named = {"Idempotency-Key": stage.request_id(), **headers}
    return await stage.mesh.web.post(path, json=body, headers=named, auth=NOBODY)


async def post(
    stage: Stage, path: str, body: dict[str, Any], headers: dict[str, str]
) -> dict[str, Any]:
    """A call that changes something, and is allowed to."""
    return answer_of(stage, await send(stage, path, body, headers))


def answer_of(stage: Stage, answer: httpx.Response) -> dict[str, Any]:
    """The message of an answer, which must be one."""
    what = f"{answer.request.method} {answer.request.url.path}"
    found_status = answer.status_code if answer.is_success else answer.text
    stage.check(what, found=found_status, expected=httpx.codes.OK)
    found: dict[str, Any] = answer.json()
    return found


def reason_of(answer: httpx.Response) -> str:
    """The reason of an error."""
    reason: str = answer.json()["details"][0]["reason"]
    return reason


def json_money(amount_minor: int) -> dict[str, str]:
    """An amount as JSON has it: 64-bit numbers are texts."""
    return {"currency_code": CURRENCY, "amount_minor": str(amount_minor)}
