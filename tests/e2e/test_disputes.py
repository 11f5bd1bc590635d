"""A cardholder disputes a charge at the edge, in JSON; nobody else does, and nothing else is."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from holdfast.type.v1.money_pb2 import Money
from runtime import pki
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient, connect
from tests.authz_mesh import capture_of
from tests.e2e.test_former_managers import World
from tests.e2e.test_purchases import fresh

AMOUNT = 4_200
#: Until the ledger is settled and accounts has taken it in.
LOOKS, LOOK_S = 300, 0.1


@pytest.fixture
async def world(full_mesh: Devstack) -> AsyncIterator[World]:
    url = f"https://localhost:{full_mesh.ports['edge_https']}"
    trust = ssl.create_default_context(cafile=str(pki.ca_path(full_mesh.settings)))
    async with httpx.AsyncClient(base_url=url, verify=trust, timeout=30) as client:
        yield World(client, full_mesh)


@pytest.fixture
async def client(full_mesh: Devstack) -> AsyncIterator[MeshClient]:
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        yield client


async def dispute(world: World, purchase: str, token: str, **body: Any) -> httpx.Response:
    """`POST /v1/authorizations/{id}:dispute`."""
    return await world.web.post(
        f"/v1/authorizations/{purchase}:dispute",
        json={"reason": "REASON_NOT_RECEIVED", **body},
        headers={"authorization": f"Bearer {token}", "idempotency-key": uuid.uuid4().hex},
    )


def reason(answer: httpx.Response) -> str:
    """Why it was refused; every refusal says something that people read."""
    body = answer.json()
    assert body["message"]
    found: str = next(one["reason"] for one in body["details"] if "reason" in one)
    return found


async def once_settled(world: World, purchase: str, token: str, *, before: str) -> httpx.Response:
    """The answer to a dispute of more than the charge, once it is another than before."""
    money = {"currency_code": "USD", "amount_minor": str(AMOUNT + 1)}
    for _ in range(LOOKS):
        answer = await dispute(world, purchase, token, amount=money)
        if reason(answer) != before:
            break
        await asyncio.sleep(LOOK_S)
    return answer


async def test_a_cardholder_disputes(world: World, client: MeshClient) -> None:
    anna, boris = await world.person(), await world.person()
    tokens = [await world.token(one) for one in (anna, boris)]
    issued = await world.post(
        "/v1/cards",
        world.staff,
        account_id=await world.account(anna.user_id),
        user_id=anna.user_id,
        kind="KIND_VIRTUAL",
    )
    held = await client.network.Authorize(fresh(issued["card"]["id"], AMOUNT))
    purchase = held.authorization_id
    unposted = await once_settled(world, purchase, tokens[0], before="AUTHORIZATION_NOT_FOUND")
    assert (unposted.status_code, reason(unposted)) == (400, "CHARGE_NOT_POSTED")
    clearing = capture_of(purchase, AMOUNT, uuid.uuid4().hex, final=True)
    await client.network.CaptureAuthorization(clearing)
    too_much = await once_settled(world, purchase, tokens[0], before="CHARGE_NOT_POSTED")
    assert (too_much.status_code, reason(too_much)) == (400, "AMOUNT_EXCEEDS_CHARGE")
    foreign = await dispute(world, purchase, tokens[1])
    assert (foreign.status_code, reason(foreign)) == (404, "AUTHORIZATION_NOT_FOUND")
    unknown = await dispute(world, f"auth_0a{uuid.uuid4().hex}", tokens[0])
    assert (unknown.status_code, reason(unknown)) == (404, "AUTHORIZATION_NOT_FOUND")
    opened = await dispute(world, purchase, tokens[0])
    assert opened.status_code == 200, opened.text
    found = opened.json()["dispute"]
    assert (found["state"], found["authorization_id"]) == ("STATE_SUBMITTED", purchase)
    money = {"currency_code": "USD", "amount_minor": str(AMOUNT)}
    assert found["amount"] == money
    again = await dispute(world, purchase, tokens[0])
    assert (again.status_code, reason(again)) == (400, "DISPUTE_EXISTS")
    for token, status in zip(tokens, (200, 404), strict=True):
        assert await world.status(f"/v1/disputes/{found['id']}", token) == status
    assert Money(currency_code="USD", amount_minor=AMOUNT) == held.approved_amount
