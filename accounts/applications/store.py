"""Applications, their documents and notes in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accounts import happenings
from accounts.applications.application import Application, Fulfilment, State
from accounts.records import of_row, values
from accounts.user import UserState
from runtime.clock import datetime_of
from runtime.events.outbox import emit
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).parent.parent / "sql" / "applications.sql")

_INSERTED = (
    "id",
    "user_id",
    "company_id",
    "programme_id",
    "state",
    "currency_code",
    "requested_limit_minor",
    "applicant",
    "data_key",
    "decision",
    "offered_limit_minor",
    "granted_limit_minor",
    "missing",
    "fulfilment",
    "expire_time_ms",
    "version",
    "create_time_ms",
    "update_time_ms",
)
_UPDATED = (
    "id",
    "version",
    "state",
    "decision",
    "offered_limit_minor",
    "granted_limit_minor",
    "missing",
    "fulfilment",
    "update_time_ms",
)
_DOCUMENT = ("id", "application_id", "kind", "media_type", "size", "sha256", "create_time_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What was handed in; the content lies elsewhere."""

    id: str
    application_id: str
    #: By its name in the contract.
    kind: str
    media_type: str
    size: int
    sha256: bytes
    create_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a reviewer wrote, sealed."""

    author: str
    text: bytes
    create_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """What counts of a person who applies."""

    state: UserState
    #: Wrapped; empty: the person was erased.
    key_wrapped: bytes

    @property
    def may_apply(self) -> bool:
        """Whether the person is neither set aside nor gone."""
        return self.state in (UserState.UNVERIFIED, UserState.ACTIVE)


class Applications:
    """Reads from a pool; reads and writes in a transaction's connection."""

    def __init__(self, source: Any) -> None:
        self._source = source
        #: Those that were locked here, by id.
        self._locked: dict[str, State] = {}

    @property
    def source(self) -> Any:
        """What the other stores read from in the same transaction: a second connection, asked for
        while this one is held, could be waited for by everybody at once.
        """
        return self._source

    async def get(self, application_id: str, *, locked: bool = False) -> Application | None:
        """One application."""
        query = _SQL["select_application_for_update"] if locked else _SQL["select_application"]
        with refusing_when_down():
            row = await self._source.fetchrow(query, application_id)
        found = _application(row) if row else None
        if found and locked:
            self._locked[found.id] = found.state
        return found

    async def page(self, page: Page, *, states: Sequence[State], user_id: str) -> list[Application]:
        """Applications in these states, newest first; a user's, unless `user_id` is empty."""
        arguments = (*after(page), list(states))
        with refusing_when_down():
            if user_id:
                query = _SQL["list_applications_of_user"]
                found = await self._source.fetch(query, *arguments, user_id)
            else:
                found = await self._source.fetch(_SQL["list_applications"], *arguments)
        return [_application(row) for row in found]

    async def steady_person(self, user_id: str) -> Applying | None:
        """A person whose state and key stand still until the commit."""
        row = await self._source.fetchrow(_SQL["select_steady_person"], user_id)
        return of_row(Applying, row, state=UserState) if row else None

    async def locked_person(self, user_id: str) -> Any:
        """The row of a person who may be changed; None: nobody is known by this id."""
        return await self._source.fetchrow(_SQL["select_locked_person"], user_id)

    async def verify_person(
        self, user_id: str, state: UserState, *fields: bytes, now_ms: int
    ) -> None:
        """Writes that a locked person was verified, and as whom: `fields` are the sealed birth date
        and tax number, and its hash; what was known already stays.
        """
        instant = datetime_of(now_ms)
        await self._source.execute(_SQL["verify_person"], user_id, state, instant, *fields)
        await emit(self._source, [happenings.user_verified(user_id, now_ms=now_ms)])

    async def insert(self, application: Application, *, person_hash: tuple[bytes, str]) -> None:
        """Adds an application, found by a hash of its person that some key made; the worker checks
        it at once.
        """
        due = datetime_of(application.create_time_ms)
        fields = values(application, *_INSERTED)
        await self._source.execute(_SQL["insert_application"], *fields, *person_hash, due)
        await emit(self._source, [happenings.of_application(application)])

    async def update(self, application: Application) -> None:
        """Writes the next version of a locked application."""
        tag = await self._source.execute(
            _SQL["update_application"], *values(application, *_UPDATED)
        )
        assert tag == "UPDATE 1", f"{application.id} was not locked at the version before"
        if self._locked.get(application.id) is not application.state:
            await emit(self._source, [happenings.of_application(application)])
        self._locked[application.id] = application.state

    async def advance(self, application_id: str, fulfilment: Fulfilment) -> None:
        """Notes the next step of a locked, approved application: no change that anybody sees."""
        await self._source.execute(_SQL["advance_fulfilment"], application_id, fulfilment)

    async def stale(self, key_id: str, *, after_id: str, limit: int) -> list[Application]:
        """Applications whose hash of the person an older key made, in the order of their ids."""
        found = await self._source.fetch(_SQL["list_stale_applications"], key_id, after_id, limit)
        return [_application(row) for row in found]

    async def rehash(self, application_id: str, person_hash: tuple[bytes, str]) -> None:
        """Writes another hash of the person."""
        await self._source.execute(_SQL["hash_application"], application_id, *person_hash)

    async def same_person(self, application: Application, hashes: list[bytes]) -> int:
        """How many other applications of a person for this programme are open or approved."""
        arguments = (application.id, application.programme_id, hashes)
        return int(await self._source.fetchval(_SQL["count_same_person"], *arguments))

    async def claim_unchecked(self, *, now_ms: int, again_ms: int, limit: int) -> list[str]:
        """Applications whose checks are due; nobody else is given them before `again_ms`."""
        return await self._claim(_SQL["claim_unchecked"], now_ms, again_ms, limit)

    async def claim_unfulfilled(self, *, now_ms: int, again_ms: int, limit: int) -> list[str]:
        """The same of approved ones whose account or card is not open yet."""
        return await self._claim(_SQL["claim_unfulfilled"], now_ms, again_ms, limit)

    async def expired(self, *, now_ms: int, limit: int) -> list[str]:
        """Applications whose time is over."""
        found = await self._source.fetch(_SQL["list_expired"], datetime_of(now_ms), limit)
        return [row["id"] for row in found]

    async def documents(self, application_id: str) -> list[Document]:
        """What was handed in."""
        with refusing_when_down():
            found = await self._source.fetch(_SQL["list_documents"], application_id)
        return [of_row(Document, row) for row in found]

    async def insert_document(self, document: Document) -> None:
        """Adds a document."""
        await self._source.execute(_SQL["insert_document"], *values(document, *_DOCUMENT))

    async def notes(self, application_id: str) -> list[Note]:
        """What reviewers wrote."""
        with refusing_when_down():
            found = await self._source.fetch(_SQL["list_notes"], application_id)
        return [of_row(Note, row) for row in found]

    async def insert_note(self, application_id: str, note: Note) -> None:
        """Adds a note to a locked application."""
        fields = values(note, "author", "text", "create_time_ms")
        await self._source.execute(_SQL["insert_note"], application_id, *fields)

    async def _claim(self, query: str, now_ms: int, again_ms: int, limit: int) -> list[str]:
        arguments = (datetime_of(now_ms), datetime_of(again_ms), limit)
        return [row["id"] for row in await self._source.fetch(query, *arguments)]


def _application(row: Any) -> Application:
    return of_row(Application, row, state=State, fulfilment=Fulfilment)
