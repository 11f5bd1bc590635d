"""The Lua scripts of the second Valkey: each is one atomic step."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from runtime.script import Script


class Status(StrEnum):
    """First word of every script's answer. A test compares it with the scripts' text."""

    BEGUN = "BEGUN"
    REFRESHED = "REFRESHED"
    REPEATED = "REPEATED"
    REUSED = "REUSED"
    NO_SESSION = "NO_SESSION"
    ADMITTED = "ADMITTED"
    TOO_SOON = "TOO_SOON"
    FORGIVEN = "FORGIVEN"
    TAKEN = "TAKEN"
    OVER_LIMIT = "OVER_LIMIT"


_FOLDER = Path(__file__).parent / "lua"


def _load(name: str) -> Script:
    return Script.of(name, (_FOLDER / f"{name}.lua").read_text())


BEGIN_SESSION = _load("begin_session")
REFRESH_SESSION = _load("refresh_session")
TAKE_ATTEMPT = _load("take_attempt")
FORGIVE_ATTEMPTS = _load("forgive_attempts")
TAKE_REQUEST = _load("take_request")

ALL = (BEGIN_SESSION, REFRESH_SESSION, TAKE_ATTEMPT, FORGIVE_ATTEMPTS, TAKE_REQUEST)
