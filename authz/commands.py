"""What the wire asked for, checked and frozen: the commands that the money store carries out."""

from __future__ import annotations

from dataclasses import dataclass

from authz.decision import Purchase


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorize:
    """One purchase to decide."""

    principal: str
    request_id: str
    fingerprint: str
    card_id: str
    purchase: Purchase
    network: str
    transaction_id: str
    authorization_code: str
    transmitted_at_ms: int | None
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The authorization a later message names: by our id, or as the network knows it."""

    authorization_id: str
    card_id: str = ""
    network: str = ""

    @property
    def by_network(self) -> bool:
        """True if the message may come before its authorization."""
        return self.card_id != ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One clearing to post."""

    principal: str
    acts_for_all: bool
    request_id: str
    fingerprint: str
    target: Target
    amount_minor: int
    currency_code: str
    final: bool
    clearing_reference: str
    clearing_sequence: int
    clearing_fingerprint: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverse:
    """One hold to give back; `amount_minor` None means everything."""

    principal: str
    acts_for_all: bool
    request_id: str
    fingerprint: str
    target: Target
    amount_minor: int | None
    currency_code: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyAccount:
    """An account's configuration at one version."""

    principal: str
    version: int
    account_id: str
    owner_id: str
    programme_id: str
    parent_account_id: str
    state: int
    currency_code: str
    limit_minor: int
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyCard:
    """A card's configuration at one version."""

    principal: str
    version: int
    card_id: str
    account_id: str
    root_card_id: str
    state: int
    expire_at_ms: int
    single_use: bool
    raw: bytes
