"""kill -9 of accounts in the middle of many approvals opens nothing twice, and forgets nothing.

Method: a whole mesh; applications are submitted and wait for a person, who approves all of them at
once through Envoy, repeating each request until it is answered; meanwhile accounts is killed and
comes back; then `holdfast reconcile`'s own comparison of accounts and authorizer. APPROVALS=500 is
the size of the requirement; the default keeps the suite quick.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import asyncpg
import grpc
import pytest

from authz.reconcile import Difference
from holdfast.accounts.v1 import application_pb2, programme_pb2
from holdfast.accounts.v1 import application_service_pb2 as pb
from holdfast.accounts.v1 import programme_service_pb2 as programmes
from holdfast.accounts.v1 import user_service_pb2 as users
from holdfast.authz.v1 import authorization_service_pb2 as authz_rpc
from holdfast.type.v1.money_pb2 import Money
from runtime.cli.reconcile_configuration import reconcile_configuration
from runtime.devstack.supervisor import Devstack
from runtime.devstack.temporary import temporary_mesh
from runtime.mesh_client import MeshClient, connect
from tests.accounts_applying import submission
from tests.authz_mesh import purchase
from tests.databases import connected

T = TypeVar("T")

APPROVALS = int(os.environ.get("APPROVALS", "60"))
#: Calls under way at once; each server has room for 128.
AT_ONCE = 100
#: Everybody begins at once, so the last one waits for all the others.
PATIENCE_S = 60.0 + APPROVALS / 4
UNKNOWN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
State = application_pb2.Application.State


@pytest.fixture
async def stack() -> AsyncIterator[Devstack]:
    async with temporary_mesh() as stack:
        yield stack


@pytest.fixture
async def client(stack: Devstack) -> AsyncIterator[MeshClient]:
    assert stack.ports is not None
    async with connect(stack.settings, stack.ports) as client:
        yield client


async def answered(call: Callable[[], Awaitable[T]], room: asyncio.Semaphore) -> tuple[T, int]:
    """The answer, and how often its request was repeated."""
    until, repeated = time.monotonic() + PATIENCE_S, 0
    while True:
        try:
            async with room:
                return await call(), repeated
        except grpc.aio.AioRpcError as error:
            # Envoy passes on that the server died in the middle of its answer.
            died = "RST_STREAM" in (error.details() or "")
            if not (died or error.code() in UNKNOWN) or time.monotonic() > until:
                raise
            repeated += 1
            await asyncio.sleep(0.05)


async def submitted(client: MeshClient, room: asyncio.Semaphore) -> list[str]:
    """Applications that a person has to look at."""
    usd = Money(currency_code="USD", amount_minor=1_000_000)
    await client.programmes.CreateProgramme(
        programmes.CreateProgrammeRequest(
            request_id="programme",
            programme_id="prog_gold",
            display_name="Gold",
            kind=programme_pb2.Programme.KIND_CONSUMER,
            network=programme_pb2.Programme.NETWORK_VISA,
            currency_code="USD",
            bin="400000",
            underwriting=programme_pb2.Underwriting(
                credit_limit_min=Money(currency_code="USD", amount_minor=50_000),
                credit_limit_max=usd,
                always_review=True,
            ),
        )
    )

    async def one(number: int) -> str:
        user_id = f"usr_{number % 64:02x}{number:032x}"
        person = users.CreateUserRequest(
            request_id=f"user-{number}", user_id=user_id, name="A User", email="user@example.com"
        )
        await answered(lambda: client.users.CreateUser(person), room)
        request = submission(
            request_id=f"submit-{number}",
            user_id=user_id,
            requested_limit=usd,
        )
        request.applicant.tax_id = f"512-{1 + number % 99:02d}-{1_000 + number:04d}"
        answer, _ = await answered(lambda: client.applications.SubmitApplication(request), room)
        return answer.application.id

    return list(await asyncio.gather(*(one(number) for number in range(APPROVALS))))


async def none_left(database: asyncpg.Connection, condition: str) -> None:
    """Waits until no application is like that."""
    query = f"SELECT count(*) FROM accounts.application WHERE {condition}"
    async with asyncio.timeout(PATIENCE_S):
        while await database.fetchval(query):  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.1)


@pytest.fixture
async def looking(stack: Devstack) -> AsyncIterator[asyncpg.Connection]:
    """Sees every schema."""
    async with connected(stack.owner_dsn) as connection:
        yield connection


@pytest.mark.timeout(600)
async def test_accounts_killed_in_the_middle_of_approvals(
    stack: Devstack, client: MeshClient, looking: asyncpg.Connection
) -> None:
    """Each application has exactly one account and one card, there and at the authorizer."""
    room = asyncio.Semaphore(AT_ONCE)
    names = await submitted(client, room)
    await none_left(looking, "state = 'SUBMITTED'")

    async def approve(name: str) -> tuple[application_pb2.Application, int]:
        request = pb.ApproveApplicationRequest(
            request_id=f"ok-{name[-8:]}",
            application_id=name,
            credit_limit=Money(currency_code="USD", amount_minor=1_000_000),
        )
        answer, repeated = await answered(
            lambda: client.applications.ApproveApplication(request), room
        )
        return answer.application, repeated

    tasks = [asyncio.create_task(approve(name)) for name in names]
    for pause_s in (0.15, 0.4, 0.6):
        await asyncio.sleep(pause_s)
        stack.kill("accounts")
        await stack.wait_ready()
    results = await asyncio.gather(*tasks)
    assert sum(repeated for _, repeated in results), "the kills must have been felt"
    assert all(one.state == State.STATE_APPROVED and one.fulfilled for one, _ in results)
    await none_left(looking, "fulfilment <> 'DONE'")
    for table in ("account", "card"):
        ids = {row["id"] for row in await looking.fetch(f"SELECT id FROM accounts.{table}")}
        assert ids == {getattr(one, f"{table}_id") for one, _ in results}
        assert len(ids) == APPROVALS

    async def spends(one: application_pb2.Application) -> None:
        balance = authz_rpc.GetBalanceRequest(account_id=one.account_id)
        found, _ = await answered(lambda: client.authorizations.GetBalance(balance), room)
        assert found.credit_limit.amount_minor == 1_000_000
        request = purchase(one.card_id, 100, f"buy-{one.id[-8:]}")
        bought, _ = await answered(lambda: client.network.Authorize(request), room)
        assert bought.response_code == "00", bought

    await asyncio.gather(*(spends(one) for one, _ in results))
    # Neither less nor more than that at the authorizer, each at its version.
    found: list[Difference] = []
    await reconcile_configuration(stack.settings, on_difference=found.append)
    assert not found
