"""ExportUserData: all that is known of a person, and who has looked."""

from __future__ import annotations

import grpc

from accounts.vault.store import Reveal
from holdfast.accounts.v1 import account_lifecycle_pb2, card_service_pb2, user_pb2
from holdfast.accounts.v1 import user_export_pb2 as pb
from holdfast.accounts.v1.user_service_pb2 import GetUserRequest, UpdateUserRequest
from tests.accounts_applying import create_programme
from tests.accounts_mesh import AccountsMesh, call, refused
from tests.accounts_people import ANNA, BORIS, STAFF, as_user, found_company, join

UNKNOWN_USER = "usr_0a" + "9" * 32


async def _exported(mesh: AccountsMesh, user_id: str) -> pb.ExportUserDataResponse:
    request = pb.ExportUserDataRequest(user_id=user_id)
    answer: pb.ExportUserDataResponse = await call(
        mesh.users.ExportUserData, request, **as_user(user_id)
    )
    return answer


async def test_everything_of_a_person_and_nothing_of_others(mesh: AccountsMesh) -> None:
    """Own accounts and cards, what is shared, companies, changes, showings, and other acts."""
    await create_programme(mesh)
    company = await found_company(mesh, BORIS)
    await join(mesh, company.id, ANNA, "EMPLOYEE", by=BORIS)
    own, others = await mesh.open_account(ANNA), await mesh.open_account(BORIS)
    card, other_card = await mesh.issue_card(own.id), await mesh.issue_card(others.id)
    freeze = card_service_pb2.FreezeCardRequest(request_id="f", card_id=card.id)
    await call(mesh.cards.FreezeCard, freeze, **STAFF)
    share = account_lifecycle_pb2.AddAccountUserRequest(
        request_id="share", account_id=others.id, user_id=ANNA
    )
    await call(mesh.accounts.AddAccountUser, share, **STAFF)
    for one in (card, other_card):
        await mesh.vault.reveal(
            Reveal(principal="clerk", request_id=f"r-{one.id}", card_id=one.id, reason="Asked")
        )
    view = GetUserRequest(user_id=ANNA, view=user_pb2.VIEW_FULL)
    await call(mesh.users.GetUser, view, **STAFF)
    await call(
        mesh.users.UpdateUser, UpdateUserRequest(request_id="u", user_id=ANNA, name="A"), **STAFF
    )

    found = await _exported(mesh, ANNA)
    assert (found.user.name, found.user.masked) == ("A", False)
    assert [one.id for one in found.accounts] == [own.id]
    assert [one.id for one in found.cards] == [card.id]
    assert [(one.company_id, one.active) for one in found.memberships] == [(company.id, True)]
    assert [one.account_id for one in found.shared_accounts] == [others.id]
    assert [(one.method, one.subject_id) for one in found.changes] == [
        ("AddAccountUser", others.id),
        ("FreezeCard", card.id),
        ("IssueCard", card.id),
        ("OpenAccount", own.id),
    ]
    shown = {(one.subject_id, one.method, one.reason) for one in found.showings}
    assert shown == {
        (ANNA, "GetUser", ""),
        (ANNA, "ExportUserData", ""),
        (card.id, "RevealCard", "Asked"),
    }
    assert {"UpdateUser", "AddAccountUser"} <= {one.method for one in found.acts}
    assert all(one.principal and one.code for one in found.acts)
    assert other_card.id not in str(found)


async def test_who_is_not_known(mesh: AccountsMesh) -> None:
    request = pb.ExportUserDataRequest(user_id=UNKNOWN_USER)
    error = await refused(mesh.users.ExportUserData, request, **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")
    error = await refused(mesh.users.ExportUserData, pb.ExportUserDataRequest(), **STAFF)
    assert error.fields == ["user_id"]
