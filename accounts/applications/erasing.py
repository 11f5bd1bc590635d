"""Removes the files of somebody who was erased. Nobody can read them any more; still they go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.errors import Unavailable
from runtime.log import get_logger
from runtime.objects import ObjectStorage, ObjectsUnavailable
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

_FOLDER = Path(__file__).parents[1] / "sql"
_APPLICATIONS = load_queries(_FOLDER / "applications.sql")["list_applications_of_person"]
_DISPUTES = load_queries(_FOLDER / "disputes.sql")["list_disputes_of_person"]

logger = get_logger()


class Erasing:
    """Knows where a person's files lie."""

    def __init__(self, pool: Any, objects: ObjectStorage) -> None:
        self._pool = pool
        self._objects = objects

    async def forget(self, user_id: str) -> None:
        """Removes all files of the person's applications and disputes, those too that were handed
        in and then refused. Can be repeated, and must be if the storage gives no answer.
        """
        with refusing_when_down():
            found = [
                row
                for query in (_APPLICATIONS, _DISPUTES)
                for row in await self._pool.fetch(query, user_id)
            ]
        try:
            for row in found:
                await self._objects.remove_all(row["id"])
        except ObjectsUnavailable as error:
            logger.warning("documents_not_removed", user_id=user_id, error=str(error))
            raise Unavailable(
                "the person is erased, but the storage has not removed the documents, which nobody"
                " can read: repeat the same request",
                reason="DOCUMENTS_UNAVAILABLE",
            ) from error
