"""What cardholders and managers see of the authorizer: what is theirs."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import ledger_service_pb2 as ledger
from holdfast.authz.v1 import spend_usage_pb2 as usage
from tests.authz_checks import approved, refused
from tests.authz_mesh import NETWORK, OTHER_NETWORK, AuthzMesh

ANN, BEN = "usr_0a" + "1" * 32, "usr_0a" + "2" * 32
ACME, OTHER = "co_0a" + "3" * 32, "co_0a" + "4" * 32
Headers = tuple[tuple[str, str], ...]


def _as(subject: str, role: str = "cardholder", company_id: str = "") -> Headers:
    company = (("x-auth-company", company_id),) if company_id else ()
    return (("x-auth-subject", subject), ("x-auth-roles", role), *company)


def _calls(mesh: AuthzMesh, account: str, card: str, held: str) -> list[tuple[Any, Any]]:
    return [
        (mesh.authorization.GetBalance, rpc.GetBalanceRequest(account_id=account)),
        (mesh.ledger_service.ListEntries, ledger.ListEntriesRequest(account_id=account)),
        (
            mesh.authorization.ListAuthorizations,
            rpc.ListAuthorizationsRequest(account_id=account),
        ),
        (mesh.authorization.ListAuthorizations, rpc.ListAuthorizationsRequest(card_id=card)),
        (mesh.authorization.GetAuthorization, rpc.GetAuthorizationRequest(authorization_id=held)),
        (mesh.authorization.GetSpendUsage, usage.GetSpendUsageRequest(card_id=card)),
    ]


async def _made(mesh: AuthzMesh, owner_id: str, user_id: str = "") -> tuple[str, str, str]:
    account = mesh.ids.new("acct", 10)
    await mesh.apply_account(account, owner_id=owner_id)
    card = mesh.ids.new("card", 10)
    await mesh.apply_card(card, account, user_id=user_id)
    if user_id:
        await mesh.apply_account_user(account, user_id, controls=None)
    held = await approved(mesh, card, 100)
    await mesh.settle()
    return account, card, held


@pytest.mark.parametrize(
    ("owner_id", "theirs", "others"),
    [
        (ANN, _as(ANN), _as(BEN)),
        (ACME, _as(BEN, "manager", ACME), _as(BEN, "manager", OTHER)),
        (ACME, _as(BEN, "manager cardholder", ACME), _as(BEN, "cardholder", ACME)),
    ],
)
async def test_owners_see_what_is_theirs(
    mesh: AuthzMesh, owner_id: str, theirs: Headers, others: Headers
) -> None:
    made = await _made(mesh, owner_id)
    for method, request in _calls(mesh, *made):
        answer = await method(request, metadata=theirs)
        if request.DESCRIPTOR.name == "ListAuthorizationsRequest":
            assert [one.id for one in answer.authorizations] == [made[2]]
        error = await refused(method, request, metadata=others)
        assert error.code.name == "NOT_FOUND"
        # No answer tells what exists.
        unknown = type(request)()
        for field, value in request.ListFields():
            setattr(unknown, field.name, value[:-6] + "000000")
        assert await refused(method, unknown, metadata=others) == error


async def test_a_cards_user_sees_the_card_and_its_purchases(mesh: AuthzMesh) -> None:
    account, card, held = await _made(mesh, ACME, user_id=ANN)
    outcomes = []
    for method, request in _calls(mesh, account, card, held):
        by_account = any(field.name == "account_id" for field, _ in request.ListFields())
        outcomes.append(by_account)
        if by_account:
            assert (await refused(method, request, metadata=_as(ANN))).code.name == "NOT_FOUND"
        else:
            await method(request, metadata=_as(ANN))
    assert True in outcomes
    assert False in outcomes


async def test_a_merchant_who_is_a_cardholder_sees_own_of_both(mesh: AuthzMesh) -> None:
    """Being a cardholder opens nothing of others, being a merchant nothing of accounts."""
    _, _, held = await _made(mesh, BEN)
    both = _as(ANN, "merchant cardholder")
    request = rpc.GetAuthorizationRequest(authorization_id=held)
    error = await refused(mesh.authorization.GetAuthorization, request, metadata=both)
    assert error.reason == "AUTHORIZATION_NOT_FOUND"
    await mesh.authorization.GetAuthorization(request, metadata=NETWORK)
    assert (
        await refused(mesh.authorization.GetAuthorization, request, metadata=OTHER_NETWORK) == error
    )
