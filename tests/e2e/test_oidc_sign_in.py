"""Somebody signs in elsewhere: through Envoy, with an issuer that others wrote, to a call that the
session makes.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from runtime import pki
from runtime.devstack.supervisor import Devstack
from tests.e2e.edge.world import until
from tests.oidc_emulator import REDIRECT_URI, Emulator

PASSWORD = "correct horse battery"


@pytest.fixture
async def web(full_mesh: Devstack) -> AsyncIterator[httpx.AsyncClient]:
    url = f"https://localhost:{full_mesh.ports['edge_https']}"
    trust = ssl.create_default_context(cafile=str(pki.ca_path(full_mesh.settings)))
    async with httpx.AsyncClient(base_url=url, verify=trust) as client:
        yield client


async def _post(web: httpx.AsyncClient, path: str, *, token: str = "", **body: Any) -> Any:
    headers = {"idempotency-key": uuid.uuid4().hex}
    if token:
        headers["authorization"] = f"Bearer {token}"
    return await web.post(path, json=body, headers=headers)


async def _agreed(web: httpx.AsyncClient, elsewhere: Emulator, subject: str) -> dict[str, str]:
    """What the browser brings back from the issuer."""
    asked = {"issuer": "sweep", "redirect_uri": REDIRECT_URI}
    begun = await _post(web, "/v1/sessions:beginOidc", **asked)
    assert begun.status_code == 200, begun.text
    url = begun.json()["authorization_url"]
    state, code = await asyncio.to_thread(elsewhere.agree, url, subject)
    token = begun.json()["flow_token"]
    return {"flow_token": token, "state": state, "authorization_code": code}


def _person(elsewhere: Emulator) -> tuple[str, str]:
    """Subject and verified address of somebody whom the issuer knows."""
    mark = uuid.uuid4().hex
    email = f"{mark}@example.com"
    elsewhere.knows(mark, email=email, email_verified=True, name="Ada")
    return mark, email


async def test_a_newcomer_has_a_session_that_calls_and_ends(
    web: httpx.AsyncClient, elsewhere: Emulator
) -> None:
    subject, _ = _person(elsewhere)
    shown = await _agreed(web, elsewhere, subject)
    signed_in = await _post(web, "/v1/sessions:completeOidc", **shown)
    assert signed_in.status_code == 200, signed_in.text
    assert signed_in.json()["registered"]
    token = signed_in.json()["tokens"]["access_token"]
    user_id = signed_in.json()["session"]["user_id"]
    bearer = {"authorization": f"Bearer {token}"}

    async def known() -> bool:
        """Accounts is told behind the answer."""
        found = await web.get(f"/v1/users/{user_id}?view=VIEW_FULL", headers=bearer)
        return found.status_code == 200 and found.json()["user"]["name"] == "Ada"

    await until(known)
    # What came back once is good for nobody else, nor is another browser's flow.
    again = await _post(web, "/v1/sessions:completeOidc", **shown)
    assert (again.status_code, again.json()["details"][0]["reason"]) == (401, "FLOW_ENDED")
    theirs = await _agreed(web, elsewhere, subject)
    mixed = {**theirs, "flow_token": shown["flow_token"]}
    put_upon = await _post(web, "/v1/sessions:completeOidc", **mixed)
    assert put_upon.json()["details"][0]["reason"] == "FLOW_ENDED"
    # The same person, known again, and signed out.
    second = await _post(web, "/v1/sessions:completeOidc", **theirs)
    assert second.json()["session"]["user_id"] == user_id
    assert not second.json()["registered"]
    token = second.json()["tokens"]["access_token"]
    assert (await _post(web, "/v1/sessions:logout", token=token)).status_code == 200
    ended = await _post(web, "/v1/sessions:logout", token=token)
    assert ended.json()["details"][0]["reason"] == "SESSION_ENDED"


async def test_an_account_is_linked_by_its_owner_and_opened_by_nobody_else(
    web: httpx.AsyncClient, elsewhere: Emulator
) -> None:
    subject, email = _person(elsewhere)
    signing_in = {"email": email, "password": PASSWORD}
    made = await _post(web, "/v1/users:register", name="Ada", **signing_in)
    assert made.status_code == 200, made.text
    shown = await _agreed(web, elsewhere, subject)
    taken = await _post(web, "/v1/sessions:completeOidc", **shown)
    assert (taken.status_code, taken.json()["details"][0]["reason"]) == (409, "EMAIL_TAKEN")
    token = (await _post(web, "/v1/sessions:login", **signing_in)).json()["tokens"]["access_token"]
    refused = await _post(web, "/v1/users:linkOidc", token=token, **shown)
    assert refused.json()["details"][0]["reason"] == "PASSWORD_REQUIRED"
    linked = await _post(web, "/v1/users:linkOidc", token=token, password=PASSWORD, **shown)
    assert linked.status_code == 200, linked.text
    shown = await _agreed(web, elsewhere, subject)
    opened = await _post(web, "/v1/sessions:completeOidc", **shown)
    assert opened.json()["session"]["user_id"] == made.json()["user_id"], opened.text
