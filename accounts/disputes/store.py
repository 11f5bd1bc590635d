"""Disputes, what they have posted, and their documents in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accounts.disputes.dispute import Dispute, Earlier, Kind, Posting, State
from accounts.records import of_row, values
from runtime.clock import datetime_of, ms_of
from runtime.ownership import Belongs
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).parent.parent / "sql" / "disputes.sql")
_INSERTED = (
    "id",
    "account_id",
    "card_id",
    "user_id",
    "authorization_id",
    "entry_id",
    "category",
    "reason",
    "state",
    "currency_code",
    "amount_minor",
    "description",
    "data_key",
    "credited_minor",
    "merchant_minor",
    "issuer_minor",
    "cardholder_minor",
    "acknowledge_due_time_ms",
    "resolve_due_time_ms",
    "acknowledged_ms",
    "ended_ms",
    "version",
    "create_time_ms",
    "update_time_ms",
)
_UPDATED = (
    "id",
    "version",
    "state",
    "credited_minor",
    "merchant_minor",
    "issuer_minor",
    "cardholder_minor",
    "acknowledged_ms",
    "ended_ms",
    "update_time_ms",
)
_DOCUMENT = ("id", "dispute_id", "media_type", "size", "sha256", "create_time_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What was handed in; the content lies elsewhere."""

    id: str
    dispute_id: str
    media_type: str
    size: int
    sha256: bytes
    create_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened to a dispute; `type` is the contract's name."""

    type: str
    state: State
    amount_minor: int
    actor: str
    event_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """A ledger entry of a purchase: a clearing, or what was refunded."""

    entry_id: str
    account_id: str
    card_id: str
    user_id: str
    type: str
    category: str
    amount_minor: int
    value_time_ms: int
    #: When its statement was issued, and is due; None: it is on none, or that is not issued yet.
    issued_ms: int | None
    due_date: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Something to be posted."""

    dispute_id: str
    number: int
    kind: Kind
    amount_minor: int
    effective_ms: int
    account_id: str
    currency_code: str
    category: str
    charge_id: str

    @property
    def request_id(self) -> str:
        """The same for every attempt."""
        return f"{self.dispute_id}:{self.number}"


class Disputes:
    """Reads from a pool; reads and writes in a transaction's connection."""

    def __init__(self, source: Any) -> None:
        self._source = source

    async def get(self, dispute_id: str, *, locked: bool = False) -> Dispute | None:
        """One dispute."""
        query = _SQL["select_dispute_for_update"] if locked else _SQL["select_dispute"]
        with refusing_when_down():
            row = await self._source.fetchrow(query, dispute_id)
        return _dispute(row) if row else None

    async def page(
        self,
        page: Page,
        *,
        states: Sequence[State],
        account_id: str,
        card_id: str,
        overdue_at_ms: int | None,
    ) -> list[Dispute]:
        """Disputes in these states, newest first."""
        overdue = None if overdue_at_ms is None else datetime_of(overdue_at_ms)
        with refusing_when_down():
            rows = await self._source.fetch(
                _SQL["list_disputes"], *after(page), list(states), account_id, card_id, overdue
            )
        return [_dispute(row) for row in rows]

    async def insert(self, dispute: Dispute) -> None:
        """Adds a dispute."""
        await self._source.execute(
            _SQL["insert_dispute"], *values(dispute, *_INSERTED), _instant(dispute.deadline_ms)
        )

    async def update(self, dispute: Dispute) -> None:
        """Writes the next version of a locked dispute."""
        tag = await self._source.execute(
            _SQL["update_dispute"], *values(dispute, *_UPDATED), _instant(dispute.deadline_ms)
        )
        assert tag == "UPDATE 1", f"{dispute.id} was not locked at the version before"

    async def has_overdue(self, *, now_ms: int) -> bool:
        """Whether a deadline has passed of which nobody was told."""
        return bool(await self._source.fetchval(_SQL["has_overdue"], datetime_of(now_ms)))

    async def claim_overdue(self, *, now_ms: int, limit: int) -> list[str]:
        """Locks disputes whose deadline has passed, and of which nobody was told."""
        rows = await self._source.fetch(_SQL["claim_overdue"], datetime_of(now_ms), limit)
        return [row["id"] for row in rows]

    async def postpone(self, dispute_id: str, *, until_ms: int | None) -> None:
        """The worker looks again then."""
        await self._source.execute(_SQL["postpone_dispute"], dispute_id, _instant(until_ms))

    async def belongs(self, dispute_id: str, user_id: str) -> Belongs | None:
        """To whom a dispute belongs."""
        with refusing_when_down():
            row = await self._source.fetchrow(_SQL["dispute_belongs"], dispute_id, user_id)
        return Belongs(**row) if row else None

    # The purchase

    async def lock_purchase(self, authorization_id: str) -> None:
        """Until the commit nobody else disputes the same purchase."""
        await self._source.execute(_SQL["lock_purchase"], authorization_id)

    async def cleared(self, authorization_id: str) -> list[Cleared]:
        """What a purchase was cleared and refunded with, earliest first."""
        with refusing_when_down():
            rows = await self._source.fetch(_SQL["charges_of_purchase"], authorization_id)
        found = []
        for row in rows:
            fields = dict(row)
            issued, value = fields.pop("issue_time"), fields.pop("value_time")
            found.append(
                Cleared(
                    **fields,
                    value_time_ms=ms_of(value),
                    issued_ms=None if issued is None else ms_of(issued),
                )
            )
        return found

    async def card_of(self, authorization_id: str) -> str:
        """The card of a purchase that was cleared; '' of any other."""
        with refusing_when_down():
            found = await self._source.fetchval(_SQL["card_of_purchase"], authorization_id)
        return found or ""

    async def earlier(self, authorization_id: str) -> list[Earlier]:
        """Disputes about a purchase."""
        rows = await self._source.fetch(_SQL["earlier_disputes"], authorization_id)
        return [of_row(Earlier, row, state=State) for row in rows]

    async def person_key(self, user_id: str) -> bytes:
        """The wrapped key of a person; b"" if there is none, or it was erased."""
        return await self._source.fetchval(_SQL["select_person_key"], user_id) or b""

    # Postings

    async def insert_posting(self, dispute_id: str, posting: Posting, *, now_ms: int) -> None:
        """Has it posted."""
        await self._source.execute(
            _SQL["insert_dispute_posting"],
            dispute_id,
            posting.kind,
            posting.amount_minor,
            datetime_of(now_ms),
        )

    async def claim_postings(self, *, now_ms: int, again_ms: int, limit: int) -> list[Due]:
        """What is to be posted; it is due again later, should nobody say that it was posted."""
        rows = await self._source.fetch(
            _SQL["claim_dispute_postings"], datetime_of(now_ms), limit, datetime_of(again_ms)
        )
        return [_due(row) for row in rows]

    async def unposted(self, dispute_id: str) -> list[Due]:
        """What of a dispute the ledger does not have, in order."""
        with refusing_when_down():
            rows = await self._source.fetch(_SQL["unposted_of"], dispute_id)
        return [_due(row) for row in rows]

    async def posted(self, due: Due, entry_id: str) -> None:
        """The ledger has it."""
        await self._source.execute(_SQL["dispute_posted"], due.dispute_id, due.number, entry_id)

    async def postpone_posting(self, due: Due, *, until_ms: int) -> None:
        """It failed; it is tried again."""
        await self._source.execute(
            _SQL["postpone_dispute_posting"], due.dispute_id, due.number, datetime_of(until_ms)
        )

    # Events and documents

    async def events(self, dispute_id: str) -> list[Event]:
        """What happened, oldest first."""
        with refusing_when_down():
            rows = await self._source.fetch(_SQL["list_dispute_events"], dispute_id)
        return [of_row(Event, row, state=State) for row in rows]

    async def insert_event(
        self, dispute: Dispute, kind: str, *, actor: str, now_ms: int, amount_minor: int = 0
    ) -> None:
        """Records what happened to a locked dispute."""
        await self._source.execute(
            _SQL["insert_dispute_event"],
            dispute.id,
            kind,
            dispute.state,
            amount_minor,
            actor,
            datetime_of(now_ms),
        )

    async def documents(self, dispute_id: str) -> list[Document]:
        """What was handed in."""
        with refusing_when_down():
            rows = await self._source.fetch(_SQL["list_dispute_documents"], dispute_id)
        return [of_row(Document, row) for row in rows]

    async def insert_document(self, document: Document) -> None:
        """Adds a document."""
        await self._source.execute(_SQL["insert_dispute_document"], *values(document, *_DOCUMENT))


def _dispute(row: Any) -> Dispute:
    return of_row(Dispute, row, state=State)


def _due(row: Any) -> Due:
    fields = dict(row)
    return Due(
        effective_ms=ms_of(fields.pop("effective_time")),
        kind=Kind(fields.pop("kind")),
        **fields,
    )


def _instant(instant_ms: int | None) -> Any:
    return None if instant_ms is None else datetime_of(instant_ms)
