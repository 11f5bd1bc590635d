"""Pages of a list: page sizes, opaque page tokens, and the row a page starts after (keyset paging).

A token names the last row of its page by the list's sort keys, so pages neither skip nor repeat
rows while others are added. It is bound to the list and its filters; it grants nothing, so it is
checked strictly but not signed.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from runtime.validate import Violations

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500

_TOKEN_LENGTH_MAX = 256
#: Above every sort key: times (ms) before the year 10000, and no account has as many entries.
_KEY_LIMIT = 253_402_300_800_000
_ID = re.compile(r"[A-Za-z0-9_]{0,64}")
_SCOPE_BYTES = 6

Row = TypeVar("Row")


class Position(NamedTuple):
    """A row's place in a list: its sort key (a time in ms, a number), then its id among equals."""

    key: int
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page that was asked for. `scope` names the list and its filters."""

    size: int
    after: Position | None
    scope: str

    @property
    def fetch(self) -> int:
        """Rows to read: one more than the page holds tells whether another page follows."""
        return self.size + 1

    def cut(self, rows: Sequence[Row]) -> tuple[Sequence[Row], bool]:
        """The page's rows of those read, and whether another page follows."""
        return rows[: self.size], len(rows) > self.size

    def token_after(self, position: Position) -> str:
        """The token of the page that starts after a row."""
        return _encode(position, scope=self.scope)


def page_of(page_size: int, page_token: str, *, scope: str, violations: Violations) -> Page:
    """Reads `page_size` and `page_token`; what is wrong with them goes to `violations`."""
    violations.page_size(page_size)
    after = _decode(page_token, scope=scope) if page_token else None
    if page_token and after is None:
        violations.add("page_token", "is not a next_page_token of this list with these filters")
    size = min(max(page_size, 0) or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
    return Page(size=size, after=after, scope=scope)


def _encode(position: Position, *, scope: str) -> str:
    digest = blake2b(scope.encode(), digest_size=_SCOPE_BYTES).hexdigest()
    text = json.dumps([digest, position.key, position.id], separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(token: str, *, scope: str) -> Position | None:
    """None unless the token is exactly one that `_encode` makes for this list."""
    if len(token) > _TOKEN_LENGTH_MAX or not token.isascii():
        return None
    try:
        fields = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, RecursionError):
        return None
    match fields:
        case [str(), int(key), str(name)] if 0 <= key < _KEY_LIMIT and _ID.fullmatch(name):
            position = Position(key, name)
            return position if _encode(position, scope=scope) == token else None
    return None
