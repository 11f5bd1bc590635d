"""Erasing somebody: through the edge, and on through the mesh to who else knew the person."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from holdfast.accounts.v1 import account_lifecycle_pb2, account_pb2, account_service_pb2
from holdfast.accounts.v1 import user_service_pb2 as users
from holdfast.type.v1.money_pb2 import Money
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import connect
from tests.databases import connected
from tests.e2e.edge.world import until


def named(kind: Any, **fields: Any) -> Any:
    return kind(request_id=uuid.uuid4().hex, **fields)


@pytest.mark.timeout(60)
async def test_payments_is_told_of_the_accounts_of_who_was_erased(full_mesh: Devstack) -> None:
    """Goal: accounts may tell payments, and does; it is done with a moment later."""
    async with connect(full_mesh.settings, full_mesh.ports) as mesh:
        email = f"{uuid.uuid4().hex}@example.com"
        made = await mesh.users.CreateUser(named(users.CreateUserRequest, name="Ada", email=email))
        user_id = made.user.id
        opened = await mesh.accounts.OpenAccount(
            named(
                account_service_pb2.OpenAccountRequest,
                owner_id=user_id,
                credit_limit=Money(currency_code="USD", amount_minor=100_000),
            )
        )
        account_id = opened.account.id
        await mesh.accounts.CloseAccount(
            named(account_lifecycle_pb2.CloseAccountRequest, account_id=account_id)
        )

        async def is_closed() -> bool:
            asked = account_service_pb2.GetAccountRequest(account_id=account_id)
            found = await mesh.accounts.GetAccount(asked)
            return bool(found.account.state == account_pb2.Account.STATE_CLOSED)

        await until(is_closed)
        await mesh.users.CloseUser(named(users.CloseUserRequest, user_id=user_id))
        await mesh.users.EraseUser(named(users.EraseUserRequest, user_id=user_id))

    async def is_forgotten() -> bool:
        finished = "SELECT finish_time IS NOT NULL FROM payments.erasure WHERE account_id = $1"
        return bool(await connection.fetchval(finished, account_id))

    async with connected(full_mesh.owner_dsn) as connection:
        await until(is_forgotten)
