"""Pages of rows that are listed newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from runtime.clock import datetime_of, ms_of
from runtime.paging import Page, Position

#: Later than every row: lists are newest first.
TOP = datetime.fromisoformat("9999-01-01T00:00:00+00:00")
#: The place before every row.
_FIRST = Position(ms_of(TOP), "")


class _Dated(Protocol):
    """What is listed by when it was made."""

    @property
    def create_time_ms(self) -> int:
        """When it was made."""
        ...


_Row = TypeVar("_Row", bound=_Dated)


def after(page: Page) -> tuple[datetime, str, int]:
    """What a page's query is given: instant and id of the row before it, and how many to read."""
    position = page.after or _FIRST
    return datetime_of(position.key), position.id, page.fetch


def cut(
    page: Page, found: Sequence[_Row], name: Callable[[_Row], str]
) -> tuple[Sequence[_Row], str]:
    """The rows of a page and the token of the next one, empty on the last; `name` is a row's id."""
    shown, more = page.cut(found)
    if not more:
        return shown, ""
    return shown, page.token_after(Position(shown[-1].create_time_ms, name(shown[-1])))
