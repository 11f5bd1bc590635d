"""Nothing is opened for a company or a person who is suspended at the same moment: what opens and
what suspends look at the same row.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from accounts.company_store import Companies
from holdfast.accounts.v1 import card_bulk_service_pb2 as bulk
from holdfast.accounts.v1 import card_pb2, company_pb2, company_service_pb2, programme_pb2
from holdfast.accounts.v1.account_service_pb2 import OpenAccountRequest
from holdfast.accounts.v1.card_service_pb2 import IssueCardRequest
from tests.accounts_applying import (
    State,
    approve,
    checked,
    create_programme,
    get,
    submission,
    submit,
)
from tests.accounts_mesh import AccountsMesh, call, refused, usd
from tests.accounts_people import ANNA, STAFF, as_user, found_company

#: Sees whether anybody waits for the connection that asks.
WAITED_FOR = """SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted
    AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"""
#: Nobody else has an account or a person locked, neither for a change nor to stand still.
LOCK_ALL = """SELECT id FROM {table} ORDER BY id FOR UPDATE NOWAIT"""
#: Nothing is approved by itself.
REVIEWED = programme_pb2.Underwriting(
    credit_limit_min=usd(50_000), credit_limit_max=usd(1_000_000), always_review=True
)


@asynccontextmanager
async def suspending(mesh: AccountsMesh, table: str, name: str) -> AsyncIterator[Any]:
    """The transaction that suspends somebody, to be committed when this ends."""
    async with mesh.pool.acquire() as connection, connection.transaction():
        suspend = f"UPDATE {table} SET state = 'SUSPENDED', version = version + 1 WHERE id = $1"
        assert await connection.execute(suspend, name) == "UPDATE 1"
        yield connection


async def waiting(connection: Any, work: Awaitable[Any]) -> asyncio.Future[Any]:
    """The work, once it waits for what the connection has locked."""
    running = asyncio.ensure_future(work)
    while not await connection.fetchval(WAITED_FOR):
        assert not running.done(), f"it waits for nobody: {running.result()}"
        await asyncio.sleep(0.01)
    return running


async def company_with_all(mesh: AccountsMesh) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """A company, and what opens something for it."""
    kind = programme_pb2.Programme.KIND_BUSINESS
    await create_programme(mesh, kind=kind, underwriting=REVIEWED)
    company = await found_company(mesh, ANNA)
    account = await mesh.open_account(company.id)
    reviewed = await checked(mesh, "9999", company_id=company.id)
    assert reviewed.state == State.STATE_IN_REVIEW
    rows = [
        bulk.ImportedCard(reference="there", account_id=account.id),
        bulk.ImportedCard(reference="new", owner_id=company.id, credit_limit=usd(5)),
    ]
    return company.id, {
        "OpenAccount": (
            mesh.accounts.OpenAccount,
            OpenAccountRequest(
                request_id="o",
                owner_id=company.id,
                credit_limit=usd(5),
                parent_account_id=account.id,
            ),
        ),
        "IssueCard": (
            mesh.cards.IssueCard,
            IssueCardRequest(
                request_id="i", account_id=account.id, kind=card_pb2.Card.KIND_VIRTUAL
            ),
        ),
        "ApproveApplication": (mesh.applications.ApproveApplication, approve(reviewed.id)),
        "SubmitApplication": (
            mesh.applications.SubmitApplication,
            submission(company_id=company.id, request_id="s"),
        ),
        "ImportCards": (
            mesh.card_bulk.ImportCards,
            bulk.ImportCardsRequest(request_id="m", cards=rows),
        ),
    }


async def locks_nothing_else(connection: Any) -> None:
    """Whoever waits for a company has locked no account and no person before: companies come first,
    so that nobody who has the company, and wants those, waits in turn.
    """
    for table in ("account", "person"):
        await connection.fetch(LOCK_ALL.format(table=table))


@pytest.mark.parametrize("name", ["OpenAccount", "IssueCard", "ApproveApplication"])
async def test_a_company_that_is_suspended_meanwhile_gets_nothing(
    mesh: AccountsMesh, name: str
) -> None:
    company_id, openings = await company_with_all(mesh)
    before = await mesh.count("account"), await mesh.count("card")
    async with suspending(mesh, "company", company_id) as connection:
        running = await waiting(connection, refused(*openings[name], **STAFF))
        await locks_nothing_else(connection)
    assert (await running).reason == "COMPANY_NOT_ACTIVE"
    assert (await mesh.count("account"), await mesh.count("card")) == before


async def test_nor_does_it_apply(mesh: AccountsMesh) -> None:
    company_id, openings = await company_with_all(mesh)
    async with suspending(mesh, "company", company_id) as connection:
        asked = refused(*openings["SubmitApplication"], **as_user(ANNA))
        running = await waiting(connection, asked)
        await locks_nothing_else(connection)
    assert (await running).reason == "COMPANY_NOT_ACTIVE"


async def test_nor_is_anything_imported_for_it(mesh: AccountsMesh) -> None:
    company_id, openings = await company_with_all(mesh)
    async with suspending(mesh, "company", company_id) as connection:
        running = await waiting(connection, call(*openings["ImportCards"], **STAFF))
        await locks_nothing_else(connection)
    results = (await running).results
    fields = [[one.field for one in result.violations] for result in results]
    assert fields == [["account_id"], ["owner_id"]]


async def test_nor_does_the_scorecard_approve_what_it_applied_for(mesh: AccountsMesh) -> None:
    await create_programme(mesh, kind=programme_pb2.Programme.KIND_BUSINESS)
    company = await found_company(mesh, ANNA)
    applied = await submit(mesh, "9999", company_id=company.id)
    async with suspending(mesh, "company", company.id) as connection:
        running = await waiting(connection, mesh.worker.work_due())
        await locks_nothing_else(connection)
    await running
    assert (await get(mesh, applied.id)).state == State.STATE_IN_REVIEW


@pytest.mark.parametrize("name", ["OpenAccount", "ApproveApplication", "ImportCards"])
async def test_nor_does_a_person_who_is_suspended_meanwhile(mesh: AccountsMesh, name: str) -> None:
    await create_programme(mesh, underwriting=REVIEWED)
    reviewed = await checked(mesh, "9999")
    row = bulk.ImportedCard(reference="new", owner_id=ANNA, credit_limit=usd(5))
    method, request = {
        "OpenAccount": (
            mesh.accounts.OpenAccount,
            OpenAccountRequest(request_id="o", owner_id=ANNA, credit_limit=usd(5)),
        ),
        "ApproveApplication": (mesh.applications.ApproveApplication, approve(reviewed.id)),
        "ImportCards": (
            mesh.card_bulk.ImportCards,
            bulk.ImportCardsRequest(request_id="m", cards=[row]),
        ),
    }[name]
    work = call if name == "ImportCards" else refused
    async with suspending(mesh, "person", ANNA) as connection:
        running = await waiting(connection, work(method, request, **STAFF))
    answer = await running
    if name == "ImportCards":
        assert [one.field for one in answer.results[0].violations] == ["owner_id"]
    else:
        assert answer.reason == "USER_NOT_ACTIVE"
    assert await mesh.count("account") == 0


async def test_who_is_suspended_waits_for_what_is_being_opened(mesh: AccountsMesh) -> None:
    """The other way round: what began before is there when the suspension is answered."""
    company = await found_company(mesh, ANNA)
    change = company_service_pb2.UpdateCompanyRequest(
        request_id="away", company_id=company.id, state=company_pb2.Company.STATE_SUSPENDED
    )
    async with mesh.store.transaction(now_ms=mesh.clock.now_ms()) as transaction:
        steady = await Companies(transaction.connection).steady_of_owner(company.id)
        assert steady is not None
        suspension = call(mesh.companies.UpdateCompany, change, **STAFF)
        running = await waiting(transaction.connection, suspension)
    assert (await running).company.state == company_pb2.Company.STATE_SUSPENDED
