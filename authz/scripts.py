"""The Lua scripts: each is one atomic movement, with the shared pieces it needs in front."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha1
from pathlib import Path

_FOLDER = Path(__file__).parent / "lua"


class Status(StrEnum):
    """First word of every script's answer. A test compares it with the scripts' text."""

    PLACED = "PLACED"
    POSTED = "POSTED"
    REVERSED = "REVERSED"
    APPLIED = "APPLIED"
    REPLAYED = "REPLAYED"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    CLEARING_REUSED = "CLEARING_REUSED"
    HOLD_NOT_FOUND = "HOLD_NOT_FOUND"
    AMOUNT_OVERFLOW = "AMOUNT_OVERFLOW"
    STALE = "STALE"
    WRONG_EPOCH = "WRONG_EPOCH"
    NOT_NEWER = "NOT_NEWER"
    IN_USE = "IN_USE"
    CURRENCY_CHANGED = "CURRENCY_CHANGED"
    ACCOUNT_NOT_APPLIED = "ACCOUNT_NOT_APPLIED"


@dataclass(frozen=True, slots=True)
class Script:
    """One script: its text with the shared pieces in front, and the hash that calls it."""

    name: str
    text: str

    @property
    def sha(self) -> str:
        """SHA-1 of the text, as EVALSHA wants it."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def _load(name: str, *includes: str) -> Script:
    parts = [(_FOLDER / "include" / f"{include}.lua").read_text() for include in includes]
    return Script(name, "".join((*parts, (_FOLDER / f"{name}.lua").read_text())))


PLACE_HOLD = _load("place_hold", "enter", "hold")
CAPTURE_HOLD = _load("capture_hold", "enter", "hold", "load_hold")
REVERSE_HOLD = _load("reverse_hold", "enter", "hold", "load_hold")
APPLY_ACCOUNT = _load("apply_account", "hold")
APPLY_CARD = _load("apply_card", "hold")

ALL = (PLACE_HOLD, CAPTURE_HOLD, REVERSE_HOLD, APPLY_ACCOUNT, APPLY_CARD)
