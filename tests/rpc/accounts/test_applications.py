"""ApplicationService: from the submission to what an approval opens."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from accounts.applications.application import Fulfilment
from accounts.applications.fulfilment import Fulfilling
from holdfast.accounts.v1 import account_service_pb2, application_pb2, card_pb2, card_service_pb2
from holdfast.accounts.v1 import application_service_pb2 as pb
from tests.accounts_applying import (
    State,
    applicant,
    approve,
    checked,
    create_programme,
    document,
    get,
    submission,
    submit,
)
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused, usd
from tests.accounts_people import ANNA, AUDITOR, BORIS, NOBODY, STAFF, as_user

DAY_MS = 86_400_000


async def test_a_good_application_opens_account_and_card_by_itself(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    submitted = await submit(mesh)
    assert submitted.state == State.STATE_SUBMITTED
    assert not submitted.HasField("applicant")
    await mesh.worker.work_due()
    found = await get(mesh, submitted.id, as_user(ANNA))
    assert (found.state, found.fulfilled) == (State.STATE_APPROVED, True)
    assert (found.applicant.tax_id, found.applicant.legal_name) == ("***-**-9999", "Anna Sample")
    assert found.decision.credit_limit == usd(500_000)
    assert (found.decision.score, list(found.decision.factors)) == (0, [])
    account = await call(
        mesh.accounts.GetAccount,
        account_service_pb2.GetAccountRequest(account_id=found.account_id),
    )
    assert (account.account.owner_id, account.account.credit_limit) == (ANNA, usd(500_000))
    assert account.account.programme_id == "prog_gold"
    card = await call(mesh.cards.GetCard, card_service_pb2.GetCardRequest(card_id=found.card_id))
    assert (card.card.user_id, card.card.state) == (ANNA, card_pb2.Card.STATE_ACTIVE)
    assert {found.account_id, found.card_id} <= set(mesh.authorizer.versions)
    await mesh.worker.work_due()
    assert (await mesh.count("account"), await mesh.count("card")) == (1, 1)


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        ("0001", State.STATE_PENDING_DOCUMENT),
        ("0002", State.STATE_DECLINED),
        ("0003", State.STATE_IN_REVIEW),
        ("0004", State.STATE_IN_REVIEW),
        ("0005", State.STATE_DECLINED),
        ("0006", State.STATE_DECLINED),
        ("0007", State.STATE_SUBMITTED),
        ("0008", State.STATE_IN_REVIEW),
        ("0009", State.STATE_APPROVED),
    ],
)
async def test_the_sandbox(mesh: AccountsMesh, ending: str, state: State.ValueType) -> None:
    await create_programme(mesh)
    found = await checked(mesh, ending)
    assert found.state == state
    assert bool(found.decision.notice) is (state == State.STATE_DECLINED)
    seen = await get(mesh, found.id, as_user(ANNA))
    assert seen.decision.score == 0
    if ending == "0003":
        assert not seen.HasField("decision")
        assert list(found.decision.alerts) == [application_pb2.Decision.ALERT_WATCH_LIST]
        assert found.decision.score
    if state == State.STATE_DECLINED:
        assert 1 <= len(seen.decision.reasons) <= 4
        assert "Test Agency" in seen.decision.notice
        assert "Sample" not in seen.decision.notice


async def test_review_and_approval(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    name = (await checked(mesh, "0008")).id
    queue = pb.ListApplicationsRequest(states=[State.STATE_IN_REVIEW])
    listed = await call(mesh.applications.ListApplications, queue, **AUDITOR)
    assert [one.id for one in listed.applications] == [name]
    note = pb.AddNoteRequest(request_id="n", application_id=name, text="Called the employer")
    await call(mesh.applications.AddNote, note, **STAFF)
    assert [one.text for one in (await get(mesh, name)).notes] == ["Called the employer"]
    assert not (await get(mesh, name, as_user(ANNA))).notes
    for limit in (usd(1), usd(10**9)):
        request = approve(name, "bad", credit_limit=limit)
        error = await refused(mesh.applications.ApproveApplication, request, **STAFF)
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["credit_limit"])
    request = approve(name, credit_limit=usd(200_000))
    first = await call(mesh.applications.ApproveApplication, request, **STAFF)
    assert (first.application.state, first.application.fulfilled) == (State.STATE_APPROVED, True)
    assert first.application.decision.decided_by == "tester"
    assert first.application.card_id in mesh.authorizer.versions
    again = await call(mesh.applications.ApproveApplication, request, **STAFF)
    assert again == first
    other = approve(name, credit_limit=usd(300_000))
    error = await refused(mesh.applications.ApproveApplication, other, **STAFF)
    assert error.reason == "REQUEST_ID_REUSED"
    assert await call(mesh.applications.ApproveApplication, approve(name, "ok2"), **STAFF)
    assert (await mesh.count("account"), await mesh.count("card")) == (1, 1)


async def test_a_decline_by_a_person(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    name = (await checked(mesh, "0008")).id
    request = pb.DeclineApplicationRequest(
        request_id="no", application_id=name, reasons=["Unable to verify employment"]
    )
    answer = await call(mesh.applications.DeclineApplication, request, **STAFF)
    decision = answer.application.decision
    assert list(decision.reasons) == ["Unable to verify employment"]
    assert "score of 650" in decision.notice
    assert "- Unable to verify employment" in decision.notice
    error = await refused(mesh.applications.ApproveApplication, approve(name), **STAFF)
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ILLEGAL_TRANSITION",
    )
    assert error.metadata == {"from": "DECLINED", "to": "APPROVED", "allowed": ""}
    for reasons in ([], ["x"] * 5, [""]):
        request = pb.DeclineApplicationRequest(
            request_id="bad", application_id=name, reasons=reasons
        )
        error = await refused(mesh.applications.DeclineApplication, request, **STAFF)
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT


async def test_withdrawal_and_expiry(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    first, second = await checked(mesh, "0008"), await checked(mesh, "0001")
    request = pb.WithdrawApplicationRequest(request_id="w", application_id=first.id)
    answer = await call(mesh.applications.WithdrawApplication, request, **as_user(ANNA))
    assert answer.application.state == State.STATE_WITHDRAWN
    mesh.clock.advance(30 * DAY_MS)
    await mesh.worker.work_due()
    assert (await get(mesh, first.id)).state == State.STATE_WITHDRAWN
    assert (await get(mesh, second.id)).state == State.STATE_EXPIRED
    late = document(second.id)
    error = await refused(mesh.applications.AddDocument, late, **as_user(ANNA))
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "APPLICATION_DECIDED",
    )


async def test_a_second_application_of_a_person_goes_to_a_person(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    assert (await checked(mesh, "9999")).state == State.STATE_APPROVED
    second = await checked(mesh, "9999", user_id=BORIS)
    assert second.state == State.STATE_IN_REVIEW
    assert list(second.decision.alerts) == [application_pb2.Decision.ALERT_DUPLICATE]
    approved = await call(mesh.applications.ApproveApplication, approve(second.id), **STAFF)
    assert approved.application.decision.alerts
    assert not (await get(mesh, second.id, as_user(BORIS))).decision.alerts


async def test_a_provider_that_is_down_is_asked_again(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    found = await checked(mesh, "0007")
    assert found.state == State.STATE_SUBMITTED
    mesh.clock.advance(9_999)
    assert not await mesh.worker.work_due()
    due = await mesh.pool.fetchval("SELECT due_time > update_time FROM application")
    assert due


async def test_strangers_see_nothing(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    name = (await submit(mesh)).id
    for who in (as_user(BORIS), NOBODY):
        for method, request in (
            (mesh.applications.GetApplication, pb.GetApplicationRequest(application_id=name)),
            (mesh.applications.AddDocument, document(name)),
            (
                mesh.applications.WithdrawApplication,
                pb.WithdrawApplicationRequest(request_id="w", application_id=name),
            ),
        ):
            error = await refused(method, request, **who)
            assert (error.code, error.reason) == (
                grpc.StatusCode.NOT_FOUND,
                "APPLICATION_NOT_FOUND",
            )
        listed = await call(mesh.applications.ListApplications, pb.ListApplicationsRequest(), **who)
        assert not listed.applications
    note = pb.AddNoteRequest(request_id="n", application_id=name, text="x")
    staffs: list[tuple[Any, Any]] = [
        (mesh.applications.ApproveApplication, approve(name)),
        (mesh.applications.AddNote, note),
    ]
    for staff_method, staff_request in staffs:
        error = await refused(staff_method, staff_request, **as_user(ANNA))
        assert (error.code, error.reason) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "PERMISSION_DENIED",
        )


async def test_who_may_submit(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    method = mesh.applications.SubmitApplication
    error = await refused(method, submission(), **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_A_USER")
    error = await refused(method, submission(user_id=BORIS), **as_user(ANNA))
    assert error.fields == ["user_id"]
    error = await refused(method, submission(company_id="co_0a" + "9" * 32), **as_user(ANNA))
    assert error.reason == "COMPANY_NOT_FOUND"
    error = await refused(method, submission(programme_id="prog_none"), **as_user(ANNA))
    assert error.reason == "PROGRAMME_NOT_FOUND"
    answer = await call(method, submission(user_id=BORIS), **STAFF)
    assert answer.application.user_id == BORIS
    first = await call_replayed(method, submission(), principal=("x-auth-subject", ANNA))
    assert first[0].application.user_id != BORIS


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"legal_name": ""}, ["applicant.legal_name"]),
        ({"birth_date": "2027-13-01"}, ["applicant.birth_date"]),
        ({"birth_date": "2099-01-01"}, ["applicant.birth_date"]),
        ({"tax_id": "000-12-3456"}, ["applicant.tax_id"]),
        ({"tax_id": "123456789"}, ["applicant.tax_id"]),
        ({"annual_income": usd(-1)}, ["applicant.annual_income.amount_minor"]),
        ({"housing": 0}, ["applicant.housing"]),
        ({"employment": 77}, ["applicant.employment"]),
        ({"employment_months": -1}, ["applicant.employment_months"]),
        ({"accepts_terms": False}, ["applicant.accepts_terms"]),
        ({"consents_to_credit_check": False}, ["applicant.consents_to_credit_check"]),
    ],
)
async def test_wrong_fields(mesh: AccountsMesh, fields: dict[str, Any], names: list[str]) -> None:
    request = submission(applicant=applicant(**fields))
    error = await refused(mesh.applications.SubmitApplication, request, **as_user(ANNA))
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, names)


async def test_nothing_personal_is_stored_in_clear(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    await checked(mesh, "0005")
    await checked(mesh, "0008")
    tables = await mesh.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'accounts'")
    for table in tables:
        rows = await mesh.pool.fetch(f"SELECT t::text AS line FROM {table['tablename']} t")
        for row in rows:
            for secret in ("512-34-0005", "Anna Sample", "1987-05-04"):
                assert secret not in row["line"], table["tablename"]
                assert secret.encode().hex() not in row["line"], table["tablename"]


@pytest.mark.parametrize("step", [Fulfilment.OPEN_ACCOUNT, Fulfilment.ISSUE_CARD])
async def test_an_approval_that_stopped_half_way_is_finished(
    mesh: AccountsMesh, step: Fulfilment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was done before the process died is not done again."""
    await create_programme(mesh)
    name = (await checked(mesh, "0008")).id
    whole = Fulfilling._step

    async def dying(self: Fulfilling, application_id: str) -> Fulfilment:
        now = await mesh.pool.fetchval("SELECT fulfilment FROM application")
        if now == step:
            raise RuntimeError("killed")
        return await whole(self, application_id)

    with monkeypatch.context() as patch:
        patch.setattr(Fulfilling, "_step", dying)
        error = await refused(mesh.applications.ApproveApplication, approve(name), **STAFF)
        assert error.code == grpc.StatusCode.INTERNAL
    assert not (await get(mesh, name)).fulfilled
    await asyncio.gather(
        mesh.worker.work_due(),
        *(call(mesh.applications.ApproveApplication, approve(name), **STAFF) for _ in range(5)),
    )
    assert (await get(mesh, name)).fulfilled
    assert (await mesh.count("account"), await mesh.count("card")) == (1, 1)


async def test_it_is_answered_once_the_authorizer_has_it(impatient_mesh: AccountsMesh) -> None:
    mesh = impatient_mesh
    await create_programme(mesh)
    name = (await checked(mesh, "0008")).id
    mesh.authorizer.refusing = True
    error = await refused(mesh.applications.ApproveApplication, approve(name), **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    mesh.authorizer.refusing = False
    async with asyncio.timeout(10):
        while await unconfirmed(mesh, name):
            pass
    found = await get(mesh, name)
    assert found.fulfilled
    assert found.card_id in mesh.authorizer.versions


async def unconfirmed(mesh: AccountsMesh, name: str) -> bool:
    """Approves again, as callers do who were told that the outcome is unknown."""
    try:
        await call(mesh.applications.ApproveApplication, approve(name), **STAFF)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return True
    return False
