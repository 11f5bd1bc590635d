"""ExportUserData: all that is known of a person, and who has looked."""

from __future__ import annotations

import grpc

from accounts.vault.store import Reveal
from holdfast.accounts.v1 import account_lifecycle_pb2, card_service_pb2, user_pb2
from holdfast.accounts.v1 import user_export_pb2 as pb
from holdfast.accounts.v1.user_service_pb2 import GetUserRequest, UpdateUserRequest
from runtime.paging import Page, Position
from tests.accounts_applying import create_programme
from tests.accounts_mesh import AccountsMesh, call, refused
from tests.accounts_people import ANNA, BORIS, STAFF, as_user, found_company, join

UNKNOWN_USER = "usr_0a" + "9" * 32


async def _exported(
    mesh: AccountsMesh, user_id: str, *, page_token: str = ""
) -> pb.ExportUserDataResponse:
    request = pb.ExportUserDataRequest(user_id=user_id, page_token=page_token)
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
            Reveal(principal="clerk", request_id=f"r-{one.id}", card_id=one.id, reason="Asked"),
            expiry_month=one.expiry_month,
            expiry_year=one.expiry_year,
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


async def test_what_does_not_fit_in_one_answer_comes_in_the_next(mesh: AccountsMesh) -> None:
    """Goal: nothing is left out, nor told twice, though every answer is a showing itself."""
    await create_programme(mesh)
    account = await mesh.open_account(ANNA)
    card = await mesh.issue_card(account.id)
    await mesh.pool.execute(
        """INSERT INTO card SELECT (jsonb_populate_record(card, jsonb_build_object(
            'id', 'card_0a' || lpad(n::text, 32, '0')))).*
        FROM card, generate_series(1, 500) AS n WHERE id = $1""",
        card.id,
    )
    await mesh.pool.execute(
        """INSERT INTO change (line_id, subject_id, user_id, version, change_time, principal,
            request_id, method, fields)
        SELECT $1, $1, '', n, to_timestamp(n), 'clerk', '', 'Test', '[]'
        FROM generate_series(1, 2500) AS n""",
        account.id,
    )
    await mesh.pool.execute(
        """INSERT INTO person_reveal (user_id, principal, method, create_time)
        SELECT $1, 'clerk', 'GetUser', to_timestamp(n) FROM generate_series(1, 1000) AS n""",
        ANNA,
    )
    await mesh.vault_pool.execute(
        """INSERT INTO reveal (principal, request_id, card_id, reason, create_time)
        SELECT 'clerk', n::text, $1, 'Asked', to_timestamp(n) FROM generate_series(1, 1001) AS n""",
        card.id,
    )
    answers = [await _exported(mesh, ANNA)]
    while answers[-1].next_page_token:
        mesh.clock.advance(1_000)
        answers.append(await _exported(mesh, ANNA, page_token=answers[-1].next_page_token))
    assert [len(one.cards) for one in answers] == [500, 1, 0]
    assert len({one.id for answer in answers for one in answer.cards}) == 501
    assert [len(one.changes) for one in answers] == [1000, 1000, 502]
    told = {(one.subject_id, one.version, one.method) for part in answers for one in part.changes}
    assert len(told) == 2502
    # The first answer itself is one of those that show the person.
    assert [len(one.showings) for one in answers] == [2000, 2, 0]
    assert [len(one.accounts) for one in answers] == [1, 0, 0]
    assert {one.user.name for one in answers} == {answers[0].user.name}

    token = answers[0].next_page_token
    for request in (
        pb.ExportUserDataRequest(user_id=BORIS, page_token=token),
        pb.ExportUserDataRequest(user_id=ANNA, page_token="x"),
        pb.ExportUserDataRequest(user_id=ANNA, page_token=_forged("7")),
    ):
        error = await refused(mesh.users.ExportUserData, request, **STAFF)
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])


def _forged(place: str) -> str:
    page = Page(size=1, after=None, scope=f"ExportUserData:{ANNA}")
    return page.token_after(Position(1, place))


async def test_who_is_not_known(mesh: AccountsMesh) -> None:
    request = pb.ExportUserDataRequest(user_id=UNKNOWN_USER)
    error = await refused(mesh.users.ExportUserData, request, **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")
    error = await refused(mesh.users.ExportUserData, pb.ExportUserDataRequest(), **STAFF)
    assert error.fields == ["user_id"]
