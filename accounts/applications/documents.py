"""What applicants hand in: the content sealed in the object storage, what is known of it in
PostgreSQL.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from accounts.applications import convert
from accounts.applications.application import FINAL, Application, State, Transition, move
from accounts.applications.sealing import ApplicationKeys
from accounts.applications.store import Applications, Document
from accounts.machine import IllegalTransition
from holdfast.accounts.v1 import application_service_pb2 as pb
from runtime import ids
from runtime.errors import FailedPrecondition, NotFound, Unavailable
from runtime.log import get_logger
from runtime.objects import ObjectStorage, ObjectsUnavailable
from runtime.request_records import RequestKey

logger = get_logger()


class Documents:
    """Keeps and shows documents."""

    def __init__(self, keys: ApplicationKeys, objects: ObjectStorage) -> None:
        self._keys = keys
        self._objects = objects

    async def upload(
        self,
        applications: Applications,
        application: Application,
        document: Document,
        content: bytes,
    ) -> None:
        """Stores the content, sealed, before anything is locked: the storage may take its time.
        What is refused afterwards is not stored, and whatever is left over nobody can read.
        """
        if application.state in FINAL:
            return
        if len(await applications.documents(application.id)) >= convert.DOCUMENTS_MAX:
            return
        sealed = self._keys.seal(content, application, what=document.id)
        try:
            await self._objects.put(_place(document), sealed)
        except ObjectsUnavailable as error:
            raise _unavailable(error) from error

    async def show(self, application: Application, document: Document) -> bytes:
        """The content again."""
        if not application.readable:
            raise convert.applicant_erased(application)
        try:
            sealed = await self._objects.get(_place(document))
        except ObjectsUnavailable as error:
            raise _unavailable(error) from error
        if sealed is None:
            raise document_not_found(document.id)
        return self._keys.open(sealed, application, what=document.id)


def described(request: pb.AddDocumentRequest, key: RequestKey, *, now_ms: int) -> Document:
    """What is known of a document. Its id is the same when the request is repeated."""
    application_id = request.application_id
    document_id = ids.derived(
        ids.DOCUMENT, ids.tag_of(application_id), application_id, key.principal, key.request_id
    )
    return Document(
        id=document_id,
        application_id=application_id,
        kind=convert.kind_names([request.kind]),
        media_type=request.media_type,
        size=len(request.content),
        sha256=sha256(request.content).digest(),
        create_time_ms=now_ms,
    )


async def hand_in(
    applications: Applications, application: Application, document: Document
) -> Application:
    """Records a document of a locked application; returns it with one kind less that is missing,
    in review when none is.
    """
    if application.state in FINAL:
        raise convert.decided(application)
    if len(await applications.documents(application.id)) >= convert.DOCUMENTS_MAX:
        raise FailedPrecondition(
            f"an application has at most {convert.DOCUMENTS_MAX} documents",
            reason="TOO_MANY_DOCUMENTS",
        )
    await applications.insert_document(document)
    if application.state is not State.PENDING_DOCUMENT:
        return application
    missing = [name for name in application.missing_kinds if name != document.kind]
    now_ms = document.create_time_ms
    if not missing:
        moved = move(application, Transition.REVIEW, now_ms=now_ms)
        assert not isinstance(moved, IllegalTransition), "documents lead to review"
        return moved
    version = application.version + 1
    return replace(application, missing=",".join(missing), version=version, update_time_ms=now_ms)


def document_not_found(name: str) -> NotFound:
    """The error for an unknown document, or another application's."""
    metadata = {"document_id": name}
    return NotFound("no such document", reason="DOCUMENT_NOT_FOUND", metadata=metadata)


def _place(document: Document) -> str:
    """Where the content lies. Another content under a repeated request id lies elsewhere."""
    return f"{document.application_id}/{document.id}-{document.sha256.hex()[:16]}"


def _unavailable(error: ObjectsUnavailable) -> Unavailable:
    logger.warning("documents_unavailable", error=str(error))
    return Unavailable(
        "the storage of documents gives no answer: repeat the same request",
        reason="DOCUMENTS_UNAVAILABLE",
    )
