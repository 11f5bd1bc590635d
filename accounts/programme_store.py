"""Programmes and their terms in PostgreSQL."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from accounts.programme import Programme, ProgrammeKind, ProgrammeState, ProgrammeTerms
from accounts.records import of_row, values
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "programmes.sql")

_TERMS = ("programme_id", "version", "effective_date", "terms", "create_time_ms")
_PROGRAMME = (
    "id",
    "display_name",
    "kind",
    "network",
    "currency_code",
    "bin",
    "state",
    "underwriting",
    "first_card_kind",
    "open_cards_max",
    "version",
    "create_time_ms",
    "update_time_ms",
)
#: Above every version of terms.
_VERSION_TOP = 2**53


class Programmes:
    """Reads from a pool; reads and writes in a transaction's connection."""

    def __init__(self, source: Any) -> None:
        self._source = source

    async def get(self, programme_id: str, *, locked: bool = False) -> Programme | None:
        """One programme."""
        query = _SQL["select_programme_for_update"] if locked else _SQL["select_programme"]
        with refusing_when_down():
            row = await self._source.fetchrow(query, programme_id)
        return _programme(row) if row else None

    async def page(self, page: Page) -> list[Programme]:
        """Programmes, newest first."""
        with refusing_when_down():
            found = await self._source.fetch(_SQL["list_programmes"], *after(page))
        return [_programme(row) for row in found]

    async def insert(self, programme: Programme) -> bool:
        """Adds a programme; False if the id is taken."""
        tag = await self._source.execute(_SQL["insert_programme"], *values(programme, *_PROGRAMME))
        return str(tag) == "INSERT 0 1"

    async def update(self, programme: Programme) -> None:
        """Writes the next version of a locked programme."""
        names = ("id", "version", "display_name", "state", "underwriting", "first_card_kind")
        arguments = values(programme, *names, "open_cards_max", "update_time_ms")
        tag = await self._source.execute(_SQL["update_programme"], *arguments)
        assert tag == "UPDATE 1", f"{programme.id} was not locked at the version before"

    async def terms_on(self, programme_id: str, day: date) -> ProgrammeTerms | None:
        """The terms that apply on a day."""
        with refusing_when_down():
            row = await self._source.fetchrow(_SQL["select_terms_on"], programme_id, day)
        return of_row(ProgrammeTerms, row) if row else None

    async def last_terms(self, programme_id: str) -> ProgrammeTerms | None:
        """The terms that apply from the latest day."""
        with refusing_when_down():
            found = await self._source.fetch(_SQL["list_terms"], programme_id, _VERSION_TOP, 1)
        return of_row(ProgrammeTerms, found[0]) if found else None

    async def all_terms(self, programme_id: str, page: Page) -> list[ProgrammeTerms]:
        """The terms of a programme, latest first."""
        below = page.after.key if page.after else _VERSION_TOP
        with refusing_when_down():
            found = await self._source.fetch(_SQL["list_terms"], programme_id, below, page.fetch)
        return [of_row(ProgrammeTerms, row) for row in found]

    async def insert_terms(self, terms: ProgrammeTerms) -> None:
        """Adds terms to a locked programme."""
        await self._source.execute(_SQL["insert_terms"], *values(terms, *_TERMS))


def _programme(row: Any) -> Programme:
    return of_row(Programme, row, kind=ProgrammeKind, state=ProgrammeState)
