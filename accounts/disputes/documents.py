"""What who disputes hands in: the content sealed in the object storage, what is known of it in
PostgreSQL.
"""

from __future__ import annotations

from hashlib import sha256

from accounts.applications.sealing import ApplicationKeys
from accounts.disputes import convert
from accounts.disputes.dispute import Dispute
from accounts.disputes.store import Disputes, Document
from holdfast.accounts.v1 import dispute_service_pb2 as pb
from runtime import ids
from runtime.errors import FailedPrecondition, Unavailable
from runtime.log import get_logger
from runtime.objects import ObjectStorage, ObjectsUnavailable
from runtime.request_records import RequestKey

DOCUMENTS_MAX = 20

logger = get_logger()


class DisputeDocuments:
    """Keeps and shows documents."""

    def __init__(self, keys: ApplicationKeys, objects: ObjectStorage) -> None:
        self._keys = keys
        self._objects = objects

    async def upload(
        self, disputes: Disputes, dispute: Dispute, document: Document, content: bytes
    ) -> None:
        """Stores the content, sealed, before anything is locked. What is refused afterwards is not
        stored, and whatever is left over nobody can read.
        """
        if not dispute.is_open or len(await disputes.documents(dispute.id)) >= DOCUMENTS_MAX:
            return
        if not dispute.readable:
            raise convert.claimant_erased(dispute)
        sealed = self._keys.seal(content, dispute, what=document.id)
        try:
            await self._objects.put(_place(document), sealed)
        except ObjectsUnavailable as error:
            raise _unavailable(error) from error

    async def show(self, dispute: Dispute, document: Document) -> bytes:
        """The content again."""
        if not dispute.readable:
            raise convert.claimant_erased(dispute)
        try:
            sealed = await self._objects.get(_place(document))
        except ObjectsUnavailable as error:
            raise _unavailable(error) from error
        if sealed is None:
            raise convert.document_not_found(document.id)
        return self._keys.open(sealed, dispute, what=document.id)


def described(request: pb.AddDisputeDocumentRequest, key: RequestKey, *, now_ms: int) -> Document:
    """What is known of a document. Its id is the same when the request is repeated."""
    dispute_id = request.dispute_id
    return Document(
        id=ids.derived(
            ids.DOCUMENT, ids.tag_of(dispute_id), dispute_id, key.principal, key.request_id
        ),
        dispute_id=dispute_id,
        media_type=request.media_type,
        size=len(request.content),
        sha256=sha256(request.content).digest(),
        create_time_ms=now_ms,
    )


async def hand_in(disputes: Disputes, dispute: Dispute, document: Document) -> None:
    """Records a document of a locked dispute."""
    if len(await disputes.documents(dispute.id)) >= DOCUMENTS_MAX:
        raise FailedPrecondition(
            f"a dispute has at most {DOCUMENTS_MAX} documents", reason="TOO_MANY_DOCUMENTS"
        )
    await disputes.insert_document(document)


def _place(document: Document) -> str:
    """Where the content lies. Another content under a repeated request id lies elsewhere."""
    return f"{document.dispute_id}/{document.id}-{document.sha256.hex()[:16]}"


def _unavailable(error: ObjectsUnavailable) -> Unavailable:
    logger.warning("documents_unavailable", error=str(error))
    return Unavailable(
        "the storage of documents gives no answer: repeat the same request",
        reason="DOCUMENTS_UNAVAILABLE",
    )
