"""The rules of programmes and companies. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of a programme or of a company, at one version; 0: never set."""

    scope_id: str
    version: int = 0
    update_time_ms: int = 0
    #: Default rules, as the contract serializes them; empty: there are none.
    rules: bytes = b""


def set_rules(before: Rules, rules: bytes, *, now_ms: int) -> Rules:
    """The scope with these rules; the same object if that is what it has."""
    if rules == before.rules:
        return before
    return replace(before, rules=rules, version=before.version + 1, update_time_ms=now_ms)
