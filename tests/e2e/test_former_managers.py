"""Whom a company removes, or makes an employee, reads nothing of it any more: not in accounts, and
not in the authorizer, which goes by the token.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest

from gateway.session_check import READ_CACHE_MS
from runtime import pki
from runtime.cli.token import issue_token
from runtime.devstack.supervisor import Devstack

PASSWORD = "correct horse battery"


class Person(NamedTuple):
    """Somebody who can sign in."""

    user_id: str
    email: str


class World:
    """Staff, and whoever else calls at the edge."""

    def __init__(self, web: httpx.AsyncClient, mesh: Devstack) -> None:
        self.web = web
        self.staff = issue_token(mesh.settings, subject="usr_" + "0" * 34, roles=("admin",))

    async def post(self, path: str, bearer: str = "", /, **body: Any) -> Any:
        headers = {"idempotency-key": uuid.uuid4().hex}
        if bearer:
            headers["authorization"] = f"Bearer {bearer}"
        answer = await self.web.post(path, json=body, headers=headers)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    async def status(self, path: str, token: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return (await self.web.get(path, headers=headers)).status_code

    async def person(self) -> Person:
        email = f"{uuid.uuid4().hex}@example.com"
        made = await self.post("/v1/users:register", email=email, password=PASSWORD, name="Boris")
        return Person(made["user_id"], email)

    async def account(self, owner_id: str) -> str:
        limit = {"currency_code": "USD", "amount_minor": "100000"}
        opened = await self.post("/v1/accounts", self.staff, owner_id=owner_id, credit_limit=limit)
        account_id: str = opened["account"]["id"]
        return account_id

    async def token(self, person: Person) -> str:
        signing_in = {"email": person.email, "password": PASSWORD}
        token: str = (await self.post("/v1/sessions:login", **signing_in))["tokens"]["access_token"]
        return token


@pytest.fixture
async def world(full_mesh: Devstack) -> AsyncIterator[World]:
    url = f"https://localhost:{full_mesh.ports['edge_https']}"
    trust = ssl.create_default_context(cafile=str(pki.ca_path(full_mesh.settings)))
    async with httpx.AsyncClient(base_url=url, verify=trust) as client:
        yield World(client, full_mesh)


@pytest.mark.parametrize("how", ["removed", "employee"])
async def test_a_former_manager_reads_no_balance(world: World, how: str) -> None:
    """Goal: within seconds of the company's word the token of a manager opens nothing of it in the
    authorizer, nor does the next one; and what is the user's own stays.
    """
    founder, boris = await world.person(), await world.person()
    lead = await world.token(founder)
    names = {"legal_name": "Acme Inc.", "registration_number": uuid.uuid4().hex[:10]}
    made = await world.post("/v1/companies", lead, country_code="US", **names)
    company_id = made["company"]["id"]
    members = f"/v1/companies/{company_id}/members/{boris.user_id}"
    invite = f"/v1/companies/{company_id}/invitations"
    invited = await world.post(invite, lead, email=boris.email, role="ROLE_MANAGER")
    invitation = invited["token"]
    await world.post("/v1/invitations:accept", await world.token(boris), token=invitation)
    access = {"roles": ["manager", "cardholder"], "company_id": company_id}
    await world.post(f"/v1/users/{boris.user_id}:setAccess", world.staff, **access)

    theirs, his = await world.account(company_id), await world.account(boris.user_id)
    balance = f"/v1/accounts/{theirs}/balance"
    before = await world.token(boris)
    assert await world.status(balance, before) == 200

    if how == "removed":
        await world.post(f"{members}:remove", lead)
    else:
        await world.post(f"{members}:update", lead, role="ROLE_EMPLOYEE")
    await asyncio.sleep(READ_CACHE_MS / 1000)
    assert await world.status(balance, before) == 401
    after = await world.token(boris)
    assert await world.status(balance, after) == 404
    assert await world.status(f"/v1/accounts/{his}/balance", after) == 200
    # What staff says of the company's roles does not count against the company.
    await world.post(f"/v1/users/{boris.user_id}:setAccess", world.staff, **access)
    assert await world.status(balance, await world.token(boris)) == 404

    if how == "employee":
        await world.post(f"{members}:update", lead, role="ROLE_MANAGER")
        assert await world.status(balance, await world.token(boris)) == 200
