"""Documents of applications: handed in, kept sealed, shown to reviewers."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import application_service_pb2 as pb
from tests.accounts_applying import (
    PDF,
    Kind,
    State,
    approve,
    checked,
    create_programme,
    document,
    get,
)
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused
from tests.accounts_people import ANNA, AUDITOR, STAFF, as_user


def reveal(name: str, document_id: str, request_id: str = "show") -> pb.RevealDocumentRequest:
    return pb.RevealDocumentRequest(
        request_id=request_id, application_id=name, document_id=document_id
    )


async def test_documents_lead_to_review(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    found = await checked(mesh, "0001")
    assert set(found.missing_documents) == {Kind.KIND_ADDRESS, Kind.KIND_IDENTITY}
    error = await refused(mesh.applications.ApproveApplication, approve(found.id), **STAFF)
    assert error.metadata["from"] == "PENDING_DOCUMENT"
    assert "IN_REVIEW" in error.metadata["allowed"]
    added = await call(mesh.applications.AddDocument, document(found.id), **as_user(ANNA))
    assert list(added.application.missing_documents) == [Kind.KIND_ADDRESS]
    assert (added.document.size, len(added.document.sha256)) == (len(PDF), 64)
    again = await call(mesh.applications.AddDocument, document(found.id), **as_user(ANNA))
    assert again == added
    last = document(found.id, request_id="d2", kind=Kind.KIND_ADDRESS)
    done = await call(mesh.applications.AddDocument, last, **as_user(ANNA))
    assert done.application.state == State.STATE_IN_REVIEW
    assert len((await get(mesh, found.id)).documents) == 2
    ask = pb.RequestDocumentsRequest(
        request_id="ask", application_id=found.id, kinds=[Kind.KIND_RECEIPT]
    )
    asked = await call(mesh.applications.RequestDocuments, ask, **STAFF)
    assert list(asked.application.missing_documents) == [Kind.KIND_RECEIPT]
    receipt = document(found.id, request_id="d3", kind=Kind.KIND_RECEIPT)
    done = await call(mesh.applications.AddDocument, receipt, **as_user(ANNA))
    assert (done.application.state, done.document.kind) == (
        State.STATE_IN_REVIEW,
        Kind.KIND_RECEIPT,
    )
    ask.request_id = "ask-again"
    await call(mesh.applications.RequestDocuments, ask, **STAFF)
    review = pb.StartReviewRequest(request_id="s", application_id=found.id)
    taken = await call(mesh.applications.StartReview, review, **STAFF)
    assert (taken.application.state, list(taken.application.missing_documents)) == (
        State.STATE_IN_REVIEW,
        [],
    )
    (file, *_) = sorted((mesh.folder / "documents" / found.id).iterdir())
    assert PDF not in file.read_bytes()


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"kind": 0}, ["kind"]),
        ({"media_type": "text/html"}, ["media_type"]),
        ({"media_type": "image/png"}, ["content"]),
        ({"content": b""}, ["content", "content"]),
        ({"content": PDF + b"x" * 184_320}, ["content"]),
        ({"application_id": "x"}, ["application_id"]),
    ],
)
async def test_wrong_documents(
    mesh: AccountsMesh, fields: dict[str, Any], names: list[str]
) -> None:
    request = document("app_0a" + "1" * 32, **fields)
    error = await refused(mesh.applications.AddDocument, request, **as_user(ANNA))
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, names)


async def test_a_reviewer_is_shown_a_document_and_that_is_recorded(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    name = (await checked(mesh, "0001")).id
    added = await call(mesh.applications.AddDocument, document(name), **as_user(ANNA))
    request = reveal(name, added.document.id)
    shown = await call(mesh.applications.RevealDocument, request, **STAFF)
    assert (shown.content, shown.document) == (PDF, added.document)
    again, replayed = await call_replayed(mesh.applications.RevealDocument, request, **STAFF)
    assert (again, replayed) == (shown, True)
    rows = await mesh.pool.fetch(
        "SELECT actor, targets, reason FROM audit.entry"
        " WHERE method LIKE '%RevealDocument' AND $1 = ANY(targets) ORDER BY id",
        name,
    )
    assert [(row["actor"], row["reason"]) for row in rows] == [
        ("tester", ""),
        ("tester", "REPLAYED"),
    ]
    assert {name, added.document.id} <= set(rows[0]["targets"])
    other = reveal(name, "doc_0a" + "1" * 32)
    error = await refused(mesh.applications.RevealDocument, other, **STAFF)
    assert error.reason == "REQUEST_ID_REUSED"


async def test_who_is_shown_no_document(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    name, other = (await checked(mesh, "0001")).id, (await checked(mesh, "0008")).id
    added = await call(mesh.applications.AddDocument, document(name), **as_user(ANNA))
    method = mesh.applications.RevealDocument
    for who in (as_user(ANNA), AUDITOR):
        error = await refused(method, reveal(name, added.document.id), **who)
        assert error.code == grpc.StatusCode.PERMISSION_DENIED
    error = await refused(method, reveal(other, added.document.id), **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "DOCUMENT_NOT_FOUND")
    error = await refused(method, reveal("app_0a" + "9" * 32, added.document.id), **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "APPLICATION_NOT_FOUND")
    error = await refused(method, reveal("x", "y", "z z"), **STAFF)
    assert error.fields == ["request_id", "application_id", "document_id"]


async def test_a_document_whose_storage_is_down(mesh: AccountsMesh) -> None:
    """Nothing is recorded of what is not stored, and the same request works later."""
    await create_programme(mesh)
    name = (await checked(mesh, "0001")).id
    folder = mesh.folder / "documents"
    await asyncio.to_thread(folder.write_text, "in the way")
    error = await refused(mesh.applications.AddDocument, document(name), **as_user(ANNA))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DOCUMENTS_UNAVAILABLE")
    assert not (await get(mesh, name)).documents
    await asyncio.to_thread(folder.unlink)
    added = await call(mesh.applications.AddDocument, document(name), **as_user(ANNA))
    shown = await call(mesh.applications.RevealDocument, reveal(name, added.document.id), **STAFF)
    assert shown.content == PDF


async def test_another_content_under_a_request_id_changes_no_file(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    name = (await checked(mesh, "0001")).id
    added = await call(mesh.applications.AddDocument, document(name), **as_user(ANNA))
    other = document(name, content=PDF + b" forged")
    error = await refused(mesh.applications.AddDocument, other, **as_user(ANNA))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    shown = await call(mesh.applications.RevealDocument, reveal(name, added.document.id), **STAFF)
    assert shown.content == PDF


async def test_there_is_a_most_of_documents(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    name = (await checked(mesh, "0008")).id
    for number in range(20):
        request = document(name, request_id=f"d{number}")
        await call(mesh.applications.AddDocument, request, **as_user(ANNA))
    more = document(name, request_id="more")
    error = await refused(mesh.applications.AddDocument, more, **as_user(ANNA))
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "TOO_MANY_DOCUMENTS",
    )
    assert len(list((mesh.folder / "documents" / name).iterdir())) == 20
    first = document(name, request_id="d0")
    assert await call(mesh.applications.AddDocument, first, **as_user(ANNA))
