"""The Lua scripts: each is one atomic movement, with the shared pieces it needs in front."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from runtime.script import Script

_FOLDER = Path(__file__).parent / "lua"


class Status(StrEnum):
    """First word of every script's answer. A test compares it with the scripts' text."""

    PLACED = "PLACED"
    BOOKED = "BOOKED"
    INCREMENTED = "INCREMENTED"
    POSTED = "POSTED"
    RELEASED = "RELEASED"
    MOVED = "MOVED"
    APPLIED = "APPLIED"
    REPLAYED = "REPLAYED"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    CLEARING_REUSED = "CLEARING_REUSED"
    HOLD_NOT_FOUND = "HOLD_NOT_FOUND"
    HOLD_CLOSED = "HOLD_CLOSED"
    REFUND_EXCEEDED = "REFUND_EXCEEDED"
    NOT_DUE = "NOT_DUE"
    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    PAYMENT_NOT_FOUND = "PAYMENT_NOT_FOUND"
    PAYMENT_EXISTS = "PAYMENT_EXISTS"
    PAYMENT_STATE = "PAYMENT_STATE"
    REFUND_NOT_FOUND = "REFUND_NOT_FOUND"
    REFUND_EXISTS = "REFUND_EXISTS"
    REFUND_STATE = "REFUND_STATE"
    CREDIT_EXCEEDED = "CREDIT_EXCEEDED"
    AMOUNT_OVERFLOW = "AMOUNT_OVERFLOW"
    STALE = "STALE"
    WRONG_EPOCH = "WRONG_EPOCH"
    NOT_NEWER = "NOT_NEWER"
    IN_USE = "IN_USE"
    CURRENCY_CHANGED = "CURRENCY_CHANGED"
    ACCOUNT_NOT_APPLIED = "ACCOUNT_NOT_APPLIED"


#: By the word that a script answers with: an enum takes longer to look up.
STATUSES = {str(status): status for status in Status}


def _load(name: str, *includes: str) -> Script:
    parts = [(_FOLDER / "include" / f"{include}.lua").read_text() for include in includes]
    return Script.of(name, "".join((*parts, (_FOLDER / f"{name}.lua").read_text())))


PLACE_HOLD = _load("place_hold", "movement", "windows", "counting", "hold", "recent")
BOOK_ADVICE = _load("book_advice", "movement", "windows", "counting", "hold")
INCREMENT_HOLD = _load("increment_hold", "movement", "windows", "counting", "hold")
CAPTURE_HOLD = _load("capture_hold", "movement", "windows", "counting", "hold", "clearing")
RELEASE_HOLD = _load("release_hold", "movement", "windows", "counting", "hold")
POST_ENTRY = _load("post_entry", "movement", "windows", "counting", "hold", "clearing")
MOVE_PAYMENT = _load("move_payment", "movement")
APPLY_ACCOUNT = _load("apply_account")
APPLY_CARD = _load("apply_card")
APPLY_ACCOUNT_USER = _load("apply_account_user")
APPLY_RULES = _load("apply_rules")

ALL = (
    PLACE_HOLD,
    BOOK_ADVICE,
    INCREMENT_HOLD,
    CAPTURE_HOLD,
    RELEASE_HOLD,
    POST_ENTRY,
    MOVE_PAYMENT,
    APPLY_ACCOUNT,
    APPLY_CARD,
    APPLY_ACCOUNT_USER,
    APPLY_RULES,
)
