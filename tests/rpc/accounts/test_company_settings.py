"""What a company has chosen for itself is obeyed where accounts are opened and cards are issued."""

from __future__ import annotations

from typing import Any

import grpc

from holdfast.accounts.v1 import account_lifecycle_pb2 as life
from holdfast.accounts.v1 import account_pb2, account_service_pb2, card_bulk_service_pb2, card_pb2
from holdfast.accounts.v1 import company_pb2 as company
from holdfast.accounts.v1 import company_service_pb2 as companies
from holdfast.accounts.v1.card_service_pb2 import IssueCardRequest
from holdfast.accounts.v1.programme_pb2 import Programme
from holdfast.authz.v1.projection_service_pb2 import ApplyAccountUserRequest
from holdfast.type.v1.money_pb2 import Money
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls
from tests.accounts_applying import create_programme, submit
from tests.accounts_mesh import AccountsMesh, call, refused, usd
from tests.accounts_people import ANNA, BORIS, CHLOE, STAFF, as_user, found_company, join
from tests.rpc.accounts.test_leaving import told

Card = card_pb2.Card


async def choosing(mesh: AccountsMesh, **settings: Any) -> company.Company:
    """A company of Anna's with these settings."""
    founded = await found_company(mesh, ANNA)
    request = companies.UpdateCompanyRequest(
        request_id=mesh.request_id(),
        company_id=founded.id,
        time_zone="Europe/Madrid",
        settings=company.CompanySettings(**settings),
    )
    answer: companies.UpdateCompanyResponse = await call(
        mesh.companies.UpdateCompany, request, **as_user(ANNA)
    )
    return answer.company


def manager_of(company_id: str) -> dict[str, Any]:
    roles = (("x-auth-roles", "manager"), ("x-auth-company", company_id))
    return {"principal": ("x-auth-subject", BORIS), "metadata": roles}


async def opened(mesh: AccountsMesh, owner_id: str, programme_id: str = "") -> account_pb2.Account:
    request = account_service_pb2.OpenAccountRequest(
        request_id=mesh.request_id(),
        owner_id=owner_id,
        credit_limit=usd(1_000),
        programme_id=programme_id,
    )
    answer: account_service_pb2.OpenAccountResponse = await call(mesh.accounts.OpenAccount, request)
    return answer.account


def issuing(
    mesh: AccountsMesh, account_id: str, kind: Card.Kind.ValueType = Card.KIND_VIRTUAL
) -> IssueCardRequest:
    return IssueCardRequest(request_id=mesh.request_id(), account_id=account_id, kind=kind)


async def imported(mesh: AccountsMesh, **fields: Any) -> Any:
    """The only result of an import of one card."""
    row = card_bulk_service_pb2.ImportedCard(reference=mesh.request_id(), **fields)
    request = card_bulk_service_pb2.ImportCardsRequest(request_id=mesh.request_id(), cards=[row])
    (result,) = (await call(mesh.card_bulk.ImportCards, request, **STAFF)).results
    return result


async def test_accounts_have_the_chosen_programme_unless_one_is_named(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    one = await choosing(mesh, default_programme_id="prog_gold")
    other = await found_company(mesh, ANNA)
    assert (await opened(mesh, one.id)).programme_id == "prog_gold"
    assert (await opened(mesh, one.id, "prog_silver")).programme_id == "prog_silver"
    for owner_id in (other.id, BORIS):
        assert (await opened(mesh, owner_id)).programme_id == "prog_standard"
    made = await imported(mesh, owner_id=one.id, credit_limit=usd(1_000))
    request = account_service_pb2.GetAccountRequest(account_id=made.account_id)
    found = (await call(mesh.accounts.GetAccount, request)).account
    assert found.programme_id == "prog_gold"


async def test_accounts_are_in_the_currency_of_their_programme(mesh: AccountsMesh) -> None:
    """Goal: fees of a programme are amounts in its currency: nobody pays 29 dollars as 2900 yen."""
    await create_programme(mesh)
    chosen = await choosing(mesh, default_programme_id="prog_gold")
    for owner_id, programme_id in ((BORIS, "prog_gold"), (chosen.id, "")):
        request = account_service_pb2.OpenAccountRequest(
            request_id=mesh.request_id(),
            owner_id=owner_id,
            programme_id=programme_id,
            credit_limit=Money(currency_code="JPY", amount_minor=5),
        )
        error = await refused(mesh.accounts.OpenAccount, request, **STAFF)
        assert (error.code, error.fields) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            ["credit_limit.currency_code"],
        )
        request.programme_id = "prog_elsewhere"
        opened_there = (await call(mesh.accounts.OpenAccount, request, **STAFF)).account
        assert opened_there.credit_limit.currency_code == "JPY"
        request.request_id = mesh.request_id()
        request.programme_id = "prog_gold"
        request.credit_limit.currency_code = "USD"
        await call(mesh.accounts.OpenAccount, request, **STAFF)
    assert await mesh.count("account") == 4


async def test_cards_are_of_the_chosen_kinds(mesh: AccountsMesh) -> None:
    kinds = [Card.KIND_SINGLE_USE, Card.KIND_VIRTUAL]
    chosen = await choosing(mesh, card_kinds=kinds)
    account = await opened(mesh, chosen.id)
    physical = issuing(mesh, account.id, Card.KIND_PHYSICAL)
    error = await refused(mesh.cards.IssueCard, physical, **STAFF)
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CARD_KIND_NOT_ALLOWED",
    )
    assert error.metadata == {"kind": "PHYSICAL", "allowed": "SINGLE_USE, VIRTUAL"}
    for kind in kinds:
        await call(mesh.cards.IssueCard, issuing(mesh, account.id, kind), **STAFF)
    result = await imported(mesh, account_id=account.id, kind=Card.KIND_PHYSICAL)
    assert [one.field for one in result.violations] == ["kind"]
    result = await imported(mesh, account_id=account.id)
    assert result.card_id
    # Somebody's own account is nobody else's choice.
    own = await opened(mesh, BORIS)
    await call(mesh.cards.IssueCard, issuing(mesh, own.id, Card.KIND_PHYSICAL), **STAFF)


async def test_the_first_card_of_an_approval_is_of_a_chosen_kind(mesh: AccountsMesh) -> None:
    business = Programme.KIND_BUSINESS
    await create_programme(mesh, first_card_kind=Card.KIND_PHYSICAL, kind=business)
    for user_id, ending, kinds, kind in (
        (ANNA, "9999", [Card.KIND_MERCHANT_LOCKED], "MERCHANT_LOCKED"),
        (BORIS, "9998", [], "PHYSICAL"),
    ):
        chosen = await choosing(mesh, card_kinds=kinds)
        if user_id != ANNA:
            await join(mesh, chosen.id, user_id, "ADMIN", by=ANNA)
        await submit(mesh, ending, user_id=user_id, company_id=chosen.id)
        await mesh.worker.work_due()
        found = await mesh.pool.fetchrow(
            "SELECT id, kind FROM card"
            " WHERE account_id = (SELECT id FROM account WHERE owner_id = $1)",
            chosen.id,
        )
        assert found["kind"] == kind
        assert told(mesh, found["id"]).controls.merchant_lock is (kind == "MERCHANT_LOCKED")


async def test_managers_issue_cards_where_the_company_lets_them(mesh: AccountsMesh) -> None:
    for lets in (False, True):
        chosen = await choosing(mesh, managers_issue_cards=lets)
        account = await opened(mesh, chosen.id)
        request = issuing(mesh, account.id)
        if lets:
            await call(mesh.cards.IssueCard, request, **manager_of(chosen.id))
            continue
        error = await refused(mesh.cards.IssueCard, request, **manager_of(chosen.id))
        assert (error.code, error.reason, error.metadata) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "MANAGERS_ISSUE_NO_CARDS",
            {"company_id": chosen.id},
        )
        await call(mesh.cards.IssueCard, request, **STAFF)


async def test_employees_have_the_monthly_limit_unless_the_request_says_otherwise(
    mesh: AccountsMesh,
) -> None:
    chosen = await choosing(mesh, employee_monthly_limit=usd(5_000))
    await join(mesh, chosen.id, BORIS, "EMPLOYEE", by=ANNA)
    await join(mesh, chosen.id, CHLOE, "MANAGER", by=ANNA)

    async def added(user_id: str, **fields: Any) -> SpendControls:
        account = await opened(mesh, chosen.id)
        request = life.AddAccountUserRequest(
            request_id=mesh.request_id(), account_id=account.id, user_id=user_id, **fields
        )
        answer = await call(mesh.accounts.AddAccountUser, request, **STAFF)
        controls: SpendControls = answer.account_user.controls
        return controls

    (limit,) = (await added(BORIS)).limits
    assert (limit.control_id, limit.amount) == ("employee-month", usd(5_000))
    assert limit.HasField("counting_since")
    assert limit.calendar == CalendarWindow(
        unit=CalendarWindow.UNIT_MONTH, timezone="Europe/Madrid"
    )
    (applied,) = [
        one.controls for one in mesh.authorizer.requests if isinstance(one, ApplyAccountUserRequest)
    ]
    assert list(applied.limits) == [limit]
    own = SpendControls(transaction_maximum=usd(7))
    assert await added(BORIS, controls=own) == own
    assert await added(BORIS, controls=SpendControls()) == SpendControls()
    assert await added(CHLOE) == SpendControls()
