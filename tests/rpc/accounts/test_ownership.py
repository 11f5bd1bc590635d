"""What is whose: cardholders and managers see and change what is theirs; nothing else exists."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.accounts.v1.account_lifecycle_pb2 import (
    AddAccountUserRequest,
    RemoveAccountUserRequest,
)
from holdfast.accounts.v1.account_service_pb2 import GetAccountRequest, ListAccountsRequest
from holdfast.accounts.v1.card_service_pb2 import (
    CloseCardRequest,
    FreezeCardRequest,
    GetCardRequest,
    ListCardsRequest,
    SetCardControlsRequest,
)
from holdfast.accounts.v1.company_service_pb2 import SetCompanyRulesRequest
from holdfast.accounts.v1.dispute_pb2 import Dispute
from holdfast.accounts.v1.dispute_service_pb2 import (
    DisputeAuthorizationRequest,
    GetDisputeRequest,
    ListDisputesRequest,
    WithdrawDisputeRequest,
)
from holdfast.accounts.v1.member_pb2 import Member
from holdfast.accounts.v1.member_service_pb2 import RemoveMemberRequest, UpdateMemberRequest
from tests.accounts_disputing import Shopper
from tests.accounts_mesh import (
    OTHER_OWNER,
    OWNER,
    UNKNOWN_ACCOUNT,
    UNKNOWN_CARD,
    AccountsMesh,
    call,
    refused,
)
from tests.accounts_people import ANNA, BORIS, as_user, found_company, join

ANN, BEN = OTHER_OWNER, "usr_0c" + "5" * 32


def _as(subject: str, role: str = "cardholder", company_id: str = "") -> dict[str, Any]:
    company = (("x-auth-company", company_id),) if company_id else ()
    return {
        "principal": ("x-auth-subject", subject),
        "metadata": (("x-auth-roles", role), *company),
    }


MANAGER = _as("usr_0d" + "6" * 32, "manager", OWNER)
STRANGER = _as("usr_0d" + "7" * 32, "manager", "co_0a" + "8" * 32)


async def test_a_cardholder_has_its_own_only(mesh: AccountsMesh) -> None:
    account = await mesh.open_account(ANN)
    card = await mesh.issue_card(account.id)
    found = await call(
        mesh.accounts.GetAccount, GetAccountRequest(account_id=account.id), **_as(ANN)
    )
    assert found.account == account
    freeze = FreezeCardRequest(request_id="f", card_id=card.id)
    error = await refused(mesh.cards.FreezeCard, freeze, **_as(BEN))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "CARD_NOT_FOUND")
    assert (await call(mesh.cards.FreezeCard, freeze, **_as(ANN))).card.state == card.STATE_FROZEN


@pytest.mark.parametrize("who", [_as(BEN), STRANGER], ids=["cardholder", "manager"])
async def test_foreign_is_answered_like_unknown(mesh: AccountsMesh, who: dict[str, Any]) -> None:
    """Also like what an administrator is told of an unknown id: no answer tells what exists."""
    account = await mesh.open_account(ANN)
    card = await mesh.issue_card(account.id)
    for method, request, field, foreign, unknown in (
        (mesh.accounts.GetAccount, GetAccountRequest(), "account_id", account.id, UNKNOWN_ACCOUNT),
        (mesh.cards.ListCards, ListCardsRequest(), "account_id", account.id, UNKNOWN_ACCOUNT),
        (mesh.cards.GetCard, GetCardRequest(), "card_id", card.id, UNKNOWN_CARD),
        (
            mesh.cards.CloseCard,
            CloseCardRequest(request_id="c"),
            "card_id",
            card.id,
            UNKNOWN_CARD,
        ),
    ):
        told = []
        for name, caller in ((foreign, who), (unknown, who), (unknown, {})):
            setattr(request, field, name)
            error = await refused(method, request, **caller)
            assert error.metadata == {field: name}
            told.append((error.code, error.reason))
        assert told[0] == told[1] == told[2], field


async def test_a_company_and_its_employee(mesh: AccountsMesh) -> None:
    """The employee uses the card; what it may be used for is the manager's to say."""
    account = await mesh.open_account(OWNER)
    add = AddAccountUserRequest(request_id="u", account_id=account.id, user_id=ANN)
    await call(mesh.accounts.AddAccountUser, add, **MANAGER)
    card = await mesh.issue_card(account.id, user_id=ANN)
    other = await mesh.issue_card(account.id)
    controls = SetCardControlsRequest(request_id="s", card_id=card.id)

    assert await call(mesh.cards.GetCard, GetCardRequest(card_id=card.id), **_as(ANN))
    freeze = FreezeCardRequest(request_id="f", card_id=card.id)
    assert await call(mesh.cards.FreezeCard, freeze, **_as(ANN))
    assert await call(
        mesh.accounts.GetAccount, GetAccountRequest(account_id=account.id), **_as(ANN)
    )
    for method, request in (
        (mesh.cards.SetCardControls, controls),
        (mesh.cards.GetCard, GetCardRequest(card_id=other.id)),
        (mesh.cards.ListCards, ListCardsRequest(account_id=account.id)),
    ):
        error = await refused(method, request, **_as(ANN))
        assert error.code is grpc.StatusCode.NOT_FOUND
        assert await call(method, request, **MANAGER)


async def test_lists_have_what_is_the_callers(mesh: AccountsMesh) -> None:
    own, shared = await mesh.open_account(ANN), await mesh.open_account(OWNER)
    companys = await mesh.open_account(OWNER)
    await mesh.open_account(BEN)
    add = AddAccountUserRequest(request_id="u", account_id=shared.id, user_id=ANN)
    await call(mesh.accounts.AddAccountUser, add)

    async def listed(who: dict[str, Any], owner_id: str = "") -> set[str]:
        request = ListAccountsRequest(owner_id=owner_id)
        return {one.id for one in (await call(mesh.accounts.ListAccounts, request, **who)).accounts}

    assert await listed(_as(ANN)) == {own.id, shared.id}
    assert await listed(_as(ANN), OWNER) == {shared.id}
    assert await listed(_as(ANN), BEN) == set()
    assert await listed(MANAGER) == {shared.id, companys.id}
    assert await listed(STRANGER) == set()
    assert len(await listed({})) == 4


@pytest.mark.parametrize("how", ["removed", "employee"])
async def test_a_dismissed_manager_has_nothing_at_once(mesh: AccountsMesh, how: str) -> None:
    """Goal: whom a company has removed, or made an employee, changes and sees nothing of it from
    then on, with a token that still says manager.
    """
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BORIS, "MANAGER", by=ANNA)
    account = await mesh.open_account(company.id)
    card = await mesh.issue_card(account.id)
    boris = _as(BORIS, "manager", company.id)
    list_all = ListAccountsRequest()
    rules = SetCompanyRulesRequest(request_id="r", company_id=company.id)
    asked: list[tuple[Any, Any]] = [
        (mesh.accounts.GetAccount, GetAccountRequest(account_id=account.id)),
        (mesh.cards.ListCards, ListCardsRequest(account_id=account.id)),
        (mesh.cards.SetCardControls, SetCardControlsRequest(request_id="s", card_id=card.id)),
        (mesh.companies.SetCompanyRules, rules),
    ]
    for method, request in asked:
        assert await call(method, request, **boris)
    assert [one.id for one in (await call(mesh.accounts.ListAccounts, list_all, **boris)).accounts]

    named = {"request_id": "x", "company_id": company.id, "user_id": BORIS}
    if how == "removed":
        await call(mesh.members.RemoveMember, RemoveMemberRequest(**named), **as_user(ANNA))
    else:
        change = UpdateMemberRequest(**named, role=Member.ROLE_EMPLOYEE)
        await call(mesh.members.UpdateMember, change, **as_user(ANNA))
    for method, request in asked:
        assert (await refused(method, request, **boris)).code is grpc.StatusCode.NOT_FOUND
    assert not (await call(mesh.accounts.ListAccounts, list_all, **boris)).accounts

    again = UpdateMemberRequest(**{**named, "request_id": "y"}, role=Member.ROLE_MANAGER)
    if how == "removed":
        await join(mesh, company.id, BORIS, "MANAGER", by=ANNA)
    else:
        await call(mesh.members.UpdateMember, again, **as_user(ANNA))
    assert await call(*asked[0], **boris)


async def test_api_keys_need_scopes(mesh: AccountsMesh) -> None:
    account = await mesh.open_account(ANN)
    request = GetAccountRequest(account_id=account.id)
    headers = (("x-auth-roles", "admin"), ("x-auth-scopes", "authorizations:read"))
    error = await refused(mesh.accounts.GetAccount, request, metadata=headers)
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


async def test_disputes_of_a_card_are_its_users_while_they_share_the_account(
    mesh: AccountsMesh,
) -> None:
    """Who was removed neither reads what is said of it since, nor takes it back."""
    account = await mesh.open_account(OWNER)
    add = AddAccountUserRequest(request_id="u", account_id=account.id, user_id=ANN)
    await call(mesh.accounts.AddAccountUser, add, **MANAGER)
    card = await mesh.issue_card(account.id, user_id=ANN)
    purchase, _ = await Shopper(mesh, account.id, card.id).charged(500)
    asked = DisputeAuthorizationRequest(
        request_id="d", authorization_id=purchase, reason=Dispute.REASON_FRAUD
    )
    dispute = (await call(mesh.disputes.DisputeAuthorization, asked, **_as(ANN))).dispute
    calls: tuple[tuple[Any, Any], ...] = (
        (mesh.disputes.GetDispute, GetDisputeRequest(dispute_id=dispute.id)),
        (mesh.disputes.ListDisputes, ListDisputesRequest(card_id=card.id)),
        (
            mesh.disputes.WithdrawDispute,
            WithdrawDisputeRequest(request_id="w", dispute_id=dispute.id),
        ),
    )
    for method, request in calls[:2]:
        assert await call(method, request, **_as(ANN))
    leave = RemoveAccountUserRequest(request_id="r", account_id=account.id, user_id=ANN)
    await call(mesh.accounts.RemoveAccountUser, leave, **MANAGER)
    for method, request in calls:
        error = await refused(method, request, **_as(ANN))
        assert error.code is grpc.StatusCode.NOT_FOUND, request
        assert await call(method, request, **MANAGER)
