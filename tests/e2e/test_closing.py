"""An account closes by itself once nothing is owed or held; what comes later is shown."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from holdfast.accounts.v1 import account_lifecycle_pb2 as life
from holdfast.accounts.v1 import account_service_pb2 as accounts
from holdfast.accounts.v1.account_pb2 import Account
from holdfast.authz.v1 import ledger_pb2, ledger_service_pb2
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient, connect
from tests.authz_mesh import reversal_of
from tests.authz_messages import forced, refund_of
from tests.e2e.test_purchases import fresh, open_card


@pytest.fixture
async def client(full_mesh: Devstack) -> AsyncIterator[MeshClient]:
    assert full_mesh.ports is not None
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        yield client


async def _state(client: MeshClient, account_id: str) -> Account.State.ValueType:
    request = accounts.GetAccountRequest(account_id=account_id)
    return (await client.accounts.GetAccount(request)).account.state


async def _until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.2)


async def test_closed_when_the_last_hold_is_gone(client: MeshClient) -> None:
    account_id, card_id = await open_card(client, limit_minor=100_000)
    held = (await client.network.Authorize(fresh(card_id, 500))).authorization_id
    request = life.CloseAccountRequest(request_id=uuid.uuid4().hex, account_id=account_id)
    closing = (await client.accounts.CloseAccount(request)).account
    assert closing.state == Account.STATE_CLOSING
    await asyncio.sleep(3)
    assert await _state(client, account_id) == Account.STATE_CLOSING, "something is held"
    await client.network.ReverseAuthorization(reversal_of(held, request_id=uuid.uuid4().hex))

    async def closed() -> bool:
        return await _state(client, account_id) == Account.STATE_CLOSED

    await _until(closed)
    late = forced(card_id, 70)
    late.request_id = uuid.uuid4().hex
    posted = (await client.network.ForcePost(late)).authorization_id
    # The books are left as balanced as they were: nothing is owed.
    back = refund_of(posted, 70)
    back.request_id = uuid.uuid4().hex
    await client.network.Refund(back)
    wanted = ledger_service_pb2.ListLateEntriesRequest(account_id=account_id)

    async def both() -> bool:
        return len((await client.ledger.ListLateEntries(wanted)).entries) == 2

    await _until(both)
    found = (await client.ledger.ListLateEntries(wanted)).entries
    assert {one.late for one in found} == {ledger_pb2.Entry.LATE_ACCOUNT_CLOSED}
    assert await _state(client, account_id) == Account.STATE_CLOSED
