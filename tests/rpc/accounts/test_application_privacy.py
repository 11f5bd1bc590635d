"""Applications belong to known people, and end with what is known of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from accounts.applications.checks import APPLICANT
from accounts.applications.sealing import ApplicationKeys, ErasedError
from accounts.applications.store import Applications
from holdfast.accounts.v1 import (
    application_pb2,
    programme_pb2,
    user_export_pb2,
    user_pb2,
    user_service_pb2,
)
from holdfast.accounts.v1 import application_service_pb2 as pb
from runtime.objects import LocalFolder, ObjectsUnavailable
from tests.accounts_applying import (
    PDF,
    State,
    applicant,
    approve,
    checked,
    create_programme,
    document,
    get,
    submission,
)
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused
from tests.accounts_people import (
    ANNA,
    AUDITOR,
    BORIS,
    CHLOE,
    STAFF,
    as_user,
    found_company,
    join,
)


def of_user(mesh: AccountsMesh, name: str, user_id: str = ANNA) -> Any:
    """A request of UserService that names a person and nothing else."""
    message = getattr(user_service_pb2, f"{name}Request")
    return message(request_id=mesh.request_id(), user_id=user_id)


async def files(mesh: AccountsMesh) -> list[Path]:
    """Everything that lies in the storage of documents."""
    return [path for path in (mesh.folder / "documents").rglob("*") if path.is_file()]


async def turn_keys(mesh: AccountsMesh) -> None:
    """New versions of both rings of people, in use."""
    mesh.clock.advance(1_000)
    mesh.person_keys.wrapping.rotate()
    mesh.person_keys.search.rotate()
    mesh.clock.advance(61_000)


async def test_who_is_shown_what_of_an_applicant(mesh: AccountsMesh) -> None:
    """Goal: who applies and who reviews see all but the tax number, auditors no day of birth, and
    colleagues who administer the company no more than who it is.
    """
    await create_programme(mesh, kind=programme_pb2.Programme.KIND_BUSINESS)
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BORIS, "ADMIN", by=ANNA)
    name = (await checked(mesh, "0001", company_id=company.id)).id
    whole = applicant("0001", tax_id="***-**-0001")
    for who in (STAFF, as_user(ANNA)):
        assert (await get(mesh, name, who)).applicant == whole
    assert (await get(mesh, name, AUDITOR)).applicant == applicant(
        "0001", tax_id="***-**-0001", birth_date=""
    )
    colleague = (await get(mesh, name, as_user(BORIS))).applicant
    assert colleague == application_pb2.Applicant(legal_name="Anna Sample")


async def test_erasing_a_person_erases_what_was_said(mesh: AccountsMesh) -> None:
    """Nothing opens what was sealed: neither what is in the database, nor a copy that somebody has
    of the application, nor the file.
    """
    await create_programme(mesh)
    name = (await checked(mesh, "0001")).id
    added = await call(mesh.applications.AddDocument, document(name), **as_user(ANNA))
    note = pb.AddNoteRequest(request_id="n", application_id=name, text="Called Anna")
    await call(mesh.applications.AddNote, note, **STAFF)
    error = await refused(mesh.users.CloseUser, of_user(mesh, "CloseUser"), **STAFF)
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "USER_HAS_APPLICATIONS",
    )
    withdraw = pb.WithdrawApplicationRequest(request_id="w", application_id=name)
    await call(mesh.applications.WithdrawApplication, withdraw, **as_user(ANNA))
    error = await refused(mesh.users.DeleteUser, of_user(mesh, "DeleteUser"), **STAFF)
    assert error.reason == "USER_IN_USE"
    await call(mesh.users.CloseUser, of_user(mesh, "CloseUser"), **STAFF)
    copy = await Applications(mesh.pool).get(name)
    assert copy is not None
    keys = ApplicationKeys(people=mesh.person_keys)
    assert b"Anna Sample" in keys.open(copy.applicant, copy, what=APPLICANT)
    assert len(await files(mesh)) == 1

    await call(mesh.users.EraseUser, of_user(mesh, "EraseUser"), **STAFF)
    found = await get(mesh, name)
    assert (found.state, found.HasField("applicant")) == (State.STATE_WITHDRAWN, False)
    assert not found.notes
    assert [one.id for one in found.documents] == [added.document.id]
    reveal = pb.RevealDocumentRequest(
        request_id="show", application_id=name, document_id=added.document.id
    )
    error = await refused(mesh.applications.RevealDocument, reveal, **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "APPLICANT_ERASED")
    again = pb.AddNoteRequest(request_id="n2", application_id=name, text="x")
    error = await refused(mesh.applications.AddNote, again, **STAFF)
    assert error.reason == "APPLICANT_ERASED"
    assert await files(mesh) == []
    digest = await mesh.pool.fetchval("SELECT sha256 FROM application_document")
    assert digest == bytes(32)
    row = await mesh.pool.fetchrow("SELECT data_key, person_hash FROM application")
    assert (row["data_key"], row["person_hash"]) == (b"", None)
    with pytest.raises(ErasedError):
        keys.open(copy.applicant, replace(copy, person_key=b""), what=APPLICANT)
    other = mesh.person_keys.new_key(ANNA)[0]
    with pytest.raises(ValueError, match="sealed"):
        keys.open(copy.applicant, replace(copy, person_key=other), what=APPLICANT)


async def test_files_that_the_storage_has_not_removed_are_removed_by_a_repetition(
    mesh: AccountsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can read them in the meantime; other people's stay."""
    await create_programme(mesh)
    names = [(await checked(mesh, "0001", user_id=one)).id for one in (ANNA, BORIS)]
    for name, user_id in zip(names, (ANNA, BORIS), strict=True):
        request = document(name, request_id=f"document-{user_id[-4:]}")
        await call(mesh.applications.AddDocument, request, **as_user(user_id))
    withdraw = pb.WithdrawApplicationRequest(request_id="w", application_id=names[0])
    await call(mesh.applications.WithdrawApplication, withdraw, **as_user(ANNA))
    await call(mesh.users.CloseUser, of_user(mesh, "CloseUser"), **STAFF)
    erase = of_user(mesh, "EraseUser")

    async def failing(self: LocalFolder, folder: str) -> None:
        del self
        raise ObjectsUnavailable(folder)

    with monkeypatch.context() as patched:
        patched.setattr(LocalFolder, "remove_all", failing)
        error = await refused(mesh.users.EraseUser, erase, **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DOCUMENTS_UNAVAILABLE")
    assert len(await files(mesh)) == 2
    answer, _ = await call_replayed(mesh.users.EraseUser, erase, **STAFF)
    assert answer.user.HasField("erase_time")
    assert [path.parent.name for path in await files(mesh)] == [names[1]]


async def test_an_export_has_what_was_said(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    name = (await checked(mesh, "0008")).id
    await checked(mesh, "9999", user_id=BORIS)
    await call(mesh.applications.AddDocument, document(name), **as_user(ANNA))
    request = user_export_pb2.ExportUserDataRequest(user_id=ANNA)
    export = await call(mesh.users.ExportUserData, request, **as_user(ANNA))
    (found,) = export.applications
    assert (found.id, found.applicant) == (name, applicant("0008"))
    assert [one.size for one in found.documents] == [len(PDF)]
    assert (found.HasField("decision"), list(found.notes)) == (False, [])


async def test_only_known_people_apply(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    method = mesh.applications.SubmitApplication
    error = await refused(method, submission(), **as_user(CHLOE))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")
    name = (await checked(mesh, "0008")).id
    await call(mesh.users.SuspendUser, of_user(mesh, "SuspendUser"), **STAFF)
    error = await refused(method, submission(request_id="s"), **as_user(ANNA))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "USER_NOT_ACTIVE")
    assert error.metadata == {"user_id": ANNA, "state": "SUSPENDED"}
    error = await refused(mesh.applications.ApproveApplication, approve(name), **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "USER_NOT_ACTIVE")
    await call(mesh.users.ReactivateUser, of_user(mesh, "ReactivateUser"), **STAFF)
    approved = await call(mesh.applications.ApproveApplication, approve(name), **STAFF)
    assert approved.application.fulfilled


async def test_who_is_set_aside_meanwhile_is_not_approved_by_itself(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    request = submission()
    answer = await call(mesh.applications.SubmitApplication, request, **as_user(ANNA))
    await call(mesh.users.SuspendUser, of_user(mesh, "SuspendUser"), **STAFF)
    await mesh.worker.work_due()
    assert (await get(mesh, answer.application.id)).state == State.STATE_IN_REVIEW
    user = user_service_pb2.GetUserRequest(user_id=ANNA)
    assert (
        await call(mesh.users.GetUser, user, **STAFF)
    ).user.state == user_pb2.User.STATE_SUSPENDED


async def test_everything_outlives_a_turn_of_keys(mesh: AccountsMesh) -> None:
    """Duplicates are found before and after the hashes are made anew, repetitions are known, and
    nothing depends on the old versions any more.
    """
    await create_programme(mesh)
    request = submission("9999", request_id="first")
    first = await call(mesh.applications.SubmitApplication, request, **as_user(ANNA))
    await mesh.worker.work_due()
    await turn_keys(mesh)
    again, replayed = await call_replayed(
        mesh.applications.SubmitApplication, request, **as_user(ANNA)
    )
    assert (again, replayed) == (first, True)
    second = await checked(mesh, "9999", user_id=BORIS)
    assert list(second.decision.alerts) == [application_pb2.Decision.ALERT_DUPLICATE]
    assert await mesh.people.rotate() == 2
    assert await mesh.applications_rotation.rotate() == 1
    assert await mesh.applications_rotation.rotate() == 0
    mesh.clock.advance(86_400_000)
    assert mesh.person_keys.wrapping.prune(unused_ms=1)
    assert mesh.person_keys.search.prune(unused_ms=1)
    assert (await get(mesh, first.application.id)).applicant.legal_name == "Anna Sample"
    third = await checked(mesh, "9999", user_id=BORIS)
    assert list(third.decision.alerts) == [application_pb2.Decision.ALERT_DUPLICATE]
