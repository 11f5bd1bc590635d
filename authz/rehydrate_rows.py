"""Rows of the ledger to what Valkey had. Pure: what is rebuilt is decided here.

Each function is the counterpart of what one script writes; tests compare the two key by key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from authz import keys, outcome
from authz.convert_projection import end_of_month_ms
from authz.expiry import DAY_MS
from authz.ledger_store import outcome_of
from authz.merchant_amounts import MerchantAmounts
from authz.outcome import EntryType
from authz.settings import AuthzSettings
from holdfast.authz.v1 import projection_service_pb2 as projection
from runtime import ids
from runtime.clock import ms_of
from runtime.validate import milliseconds

HOUR_MS = 3_600_000
#: States of payments and refunds in which Valkey forgets them in the end.
ENDED = ("RETURNED", "DEBITED", "PUT_BACK")


class Write(NamedTuple):
    """One command to Valkey, or several that belong to one key."""

    commands: tuple[tuple[str | bytes, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long Valkey keeps what is closed, and the time they are counted from."""

    now_ms: int
    record_ms: int
    retention_ms: int

    @classmethod
    def of(cls, settings: AuthzSettings, *, now_ms: int) -> Lifetimes:
        """As the workers keep them."""
        return cls(
            now_ms=now_ms,
            record_ms=settings.request_record_ttl_h * HOUR_MS,
            retention_ms=settings.closed_hold_days * DAY_MS,
        )

    def left(self, since_ms: int, lifetime_ms: int) -> int:
        """Milliseconds that something has left to live; nothing outlives its lifetime."""
        return min(since_ms + lifetime_ms - self.now_ms, lifetime_ms)


@dataclass(slots=True)
class Configuration:
    """The last version of every account and card of a partition."""

    accounts: dict[str, projection.ApplyAccountRequest] = field(default_factory=dict)
    cards: dict[str, projection.ApplyCardRequest] = field(default_factory=dict)

    def add(self, kind: str, request: bytes) -> None:
        """One version, in the order in which they were applied."""
        if kind == EntryType.ACCOUNT_APPLIED:
            account = projection.ApplyAccountRequest.FromString(request)
            self.accounts[account.account_id] = account
        elif kind == EntryType.CARD_APPLIED:
            card = projection.ApplyCardRequest.FromString(request)
            self.cards[card.card_id] = card

    @property
    def cleared(self) -> dict[str, int]:
        """By root card, the ms up to which its line is cleared of suspicion."""
        found: dict[str, int] = {}
        for card in self.cards.values():
            clear_ms = milliseconds(card.suspicion_clear_time)
            found[card.root_card_id] = max(found.get(card.root_card_id, 0), clear_ms)
        return found

    @property
    def single_use(self) -> list[str]:
        """Cards that one purchase uses up."""
        return [card_id for card_id, card in self.cards.items() if card.single_use]


def hset(key: str, fields: Mapping[str, str | bytes]) -> tuple[str | bytes, ...]:
    """The command that writes a hash's fields."""
    return ("HSET", key, *(text for pair in fields.items() for text in pair))


def _controls(
    configured: projection.ApplyAccountRequest | projection.ApplyCardRequest,
) -> dict[str, bytes]:
    raw = configured.controls.SerializeToString(deterministic=True)
    return {"ctl": raw} if raw else {}


def account_write(row: Mapping[str, Any], configured: projection.ApplyAccountRequest) -> Write:
    """As `apply_account.lua` and every movement since left it."""
    return Write(
        (
            hset(
                keys.account(row["account_id"]),
                {
                    "v": str(configured.version),
                    "state": str(configured.state),
                    "cur": configured.credit_limit.currency_code,
                    "limit": str(row["limit_minor"]),
                    "posted": str(row["posted_minor"]),
                    "held": str(row["held_minor"]),
                    "unreleased": str(row["unreleased_minor"]),
                    "seq": str(row["seq"]),
                    "own": configured.owner_id,
                    "prog": configured.programme_id,
                    "par": configured.parent_account_id,
                    **_controls(configured),
                },
            ),
        )
    )


def card_write(card: projection.ApplyCardRequest) -> Write:
    """As `apply_card.lua` left it."""
    return Write(
        (
            hset(
                keys.card(card.card_id),
                {
                    "v": str(card.version),
                    "state": str(card.state),
                    "acct": card.account_id,
                    "root": card.root_card_id,
                    "exp": str(end_of_month_ms(card.expiry_year, card.expiry_month)),
                    "su": "1" if card.single_use else "0",
                    "user": card.user_id,
                    **_controls(card),
                },
            ),
        )
    )


def used_write(root_card_id: str) -> Write:
    """A single-use card that was used."""
    return Write((hset(keys.learned(root_card_id), {"used": "1"}),))


def hold_write(
    row: Mapping[str, Any], amounts: MerchantAmounts, lifetimes: Lifetimes
) -> Write | None:
    """As `save_hold` left it last; None if it has expired since."""
    updated_at_ms = ms_of(row["update_time"])
    expire_at_ms = ms_of(row["expire_time"]) if row["expire_time"] else 0
    key = keys.hold(row["id"])
    fields = {
        "a": str(row["approved_minor"]),
        "r": str(row["reversed_minor"]),
        "c": str(row["captured_minor"]),
        "h": str(row["held_minor"]),
        "b": str(row["refunded_minor"]),
        "flags": row["flags"],
        "q": str(row["decision_pseq"] or row["first_pseq"]),
        "x": str(expire_at_ms),
        "u": str(updated_at_ms),
        "p": row["principal"],
        "acct": row["account_id"] or "",
        "card": row["card_id"],
        "n": row["network"] or "",
    }
    if amounts.known:
        fields |= {"m": amounts.asked, "mc": amounts.cleared}
    if row["windows"]:
        fields["w"] = row["windows"]
    if amounts.advised_at_ms:
        fields["t"] = str(amounts.advised_at_ms)
    if row["held_minor"] > 0:
        index = ("ZADD", keys.expiry(ids.tag_of(row["id"])), str(expire_at_ms), key)
        return Write((hset(key, fields), index))
    left_ms = lifetimes.left(updated_at_ms, _kept_ms(row, lifetimes))
    if left_ms <= 0:
        return None
    return Write((hset(key, fields), ("PEXPIRE", key, str(left_ms))))


def _kept_ms(row: Mapping[str, Any], lifetimes: Lifetimes) -> int:
    """What was only ever declined is kept as long as its request's record."""
    only_declined = (
        row["first_type"] == EntryType.DECLINE
        and row["create_time"] == row["update_time"]
        and "a" not in row["flags"]
    )
    return lifetimes.record_ms if only_declined else lifetimes.retention_ms


def payment_write(row: Mapping[str, Any], lifetimes: Lifetimes) -> Write | None:
    """As `move_payment.lua` left it; None if it has expired since."""
    key = keys.payment(row["id"])
    fields = {
        "state": row["state"],
        "amount": str(row["amount_minor"]),
        "acct": row["account_id"],
    }
    if row["state"] not in ENDED:
        return Write((hset(key, fields),))
    left_ms = lifetimes.left(ms_of(row["update_time"]), lifetimes.retention_ms)
    return Write((hset(key, fields), ("PEXPIRE", key, str(left_ms)))) if left_ms > 0 else None


def record_writes(row: Mapping[str, Any], lifetimes: Lifetimes) -> list[Write]:
    """The records of an entry's request and of its clearing, as far as they still live."""
    tag = keys.TAGS[row["partition"]]
    line = outcome.render(outcome_of(row))
    recorded_at_ms = ms_of(row["recorded_time"])
    found: list[Write] = []
    left_ms = lifetimes.left(recorded_at_ms, lifetimes.record_ms)
    if left_ms > 0:
        key = keys.request(tag, row["principal"], row["request_id"])
        value = f"{row['fingerprint']}|{line}"
        found.append(Write((("SET", key, value, "PX", str(left_ms)),)))
    left_ms = lifetimes.left(recorded_at_ms, lifetimes.retention_ms)
    if row["clearing_fingerprint"] and left_ms > 0:
        scope = row["network"] or row["principal"]
        key = keys.clearing(tag, scope, row["clearing_reference"], row["clearing_sequence"])
        value = f"{row['clearing_fingerprint']}|{line}"
        found.append(Write((("SET", key, value, "PX", str(left_ms)),)))
    return found


def journal_write(partition: int, position: int, raw: bytes) -> Write:
    """The last settled entry: the next one follows it."""
    return Write((("XADD", keys.journal(keys.TAGS[partition]), f"{position}-0", b"e", raw),))


def meta_write(partition: int, *, epoch: int, position: int) -> Write:
    """What opens a partition for the workers that know the epoch."""
    fields = {"pseq": str(position), "epoch": str(epoch)}
    return Write((hset(keys.meta(keys.TAGS[partition]), fields),))
