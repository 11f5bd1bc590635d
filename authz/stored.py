"""What the money Valkey has of one authorization and of one account, as it was read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHold:
    """One authorization as it stands in Valkey."""

    principal: str
    account_id: str
    card_id: str
    network: str
    approved_minor: int
    reversed_minor: int
    captured_minor: int
    flags: str
    first_pseq: int
    expire_at_ms: int
    updated_at_ms: int
    refunded_minor: int
    #: Where it counts.
    windows: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One account's balance, in minor units."""

    currency_code: str
    limit_minor: int
    posted_minor: int
    held_minor: int
    unreleased_minor: int
    seq: int
