"""A Lua script, and the hash that calls it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1


@dataclass(frozen=True, slots=True)
class Script:
    """One script, whole: what it shares with others stands in front of it."""

    name: str
    text: str
    #: SHA-1 of the text, as EVALSHA wants it.
    sha: str

    @classmethod
    def of(cls, name: str, text: str) -> Script:
        """Works out the hash."""
        return cls(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())
