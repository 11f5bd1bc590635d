"""What limits have counted and where cards are locked, from what authorizations say. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from authz import keys
from authz.controls import Use
from authz.convert_controls import controls_of, rules_of
from authz.convert_projection import end_of_month_ms
from authz.rehydrate_rows import Configuration, Lifetimes, Write
from authz.rehydrate_rules import Rules
from authz.snapshot import (
    AccountSnapshot,
    AccountState,
    CardSnapshot,
    CardState,
    RulesSnapshot,
    Snapshot,
    UserSnapshot,
    limits_of,
)
from authz.windows import MARGIN_MS, Used, freed_at_ms
from holdfast.authz.v1 import projection_service_pb2 as projection
from runtime.ids import AUTHORIZATION

#: Of what was learned about a card: the merchant that it is locked to.
LOCK_FIELDS = ("merchant_id", "merchant_name")


def ids_of(partition: int) -> tuple[str, str]:
    """What all ids of a partition's authorizations lie between."""
    return f"{AUTHORIZATION}_{partition:02x}", f"{AUTHORIZATION}_{partition:02x}g"


@dataclass(slots=True)
class Configured:
    """Everything of a partition that was ever configured, at its last version."""

    configuration: Configuration = field(default_factory=Configuration)
    rules: Rules = field(default_factory=Rules)

    def add(self, kind: str, request: bytes) -> None:
        """One version, in the order in which they were applied."""
        self.configuration.add(kind, request)
        self.rules.add(kind, request)

    def uses(self, *, now_ms: int) -> dict[str, Use]:
        """The limits of all cards as they count now, by their windows' names."""
        return {
            use.key: use
            for snapshot in self._snapshots()
            for use in limits_of(snapshot.scopes, None, now_ms=now_ms)
        }

    def _snapshots(self) -> Iterator[Snapshot]:
        """As `Snapshots` reads them from Valkey."""
        accounts = {
            account_id: _account(account)
            for account_id, account in self.configuration.accounts.items()
        }
        for card in self.configuration.cards.values():
            account = accounts.get(card.account_id)
            if account is None:
                continue
            yield Snapshot(
                card=_card(card, account.currency_code),
                account=account,
                user=self._user(account, card.user_id),
                programme=self._rules(account, account.programme_id),
                company=self._rules(account, account.company_id),
            )

    def _user(self, account: AccountSnapshot, user_id: str) -> UserSnapshot:
        found = self.rules.users.get((account.account_id, user_id))
        if found is None:
            return UserSnapshot()
        controls = controls_of(_raw(found.controls), account.currency_code)
        return UserSnapshot(version=found.version, controls=controls)

    def _rules(self, account: AccountSnapshot, scope_id: str) -> RulesSnapshot:
        found = self.rules.scopes.get(scope_id)
        if found is None:
            return RulesSnapshot()
        return rules_of(
            found.version,
            _raw(found.rules),
            account.currency_code,
            of_programme=scope_id == account.programme_id,
        )


def _account(account: projection.ApplyAccountRequest) -> AccountSnapshot:
    currency = account.credit_limit.currency_code
    return AccountSnapshot(
        version=account.version,
        account_id=account.account_id,
        owner_id=account.owner_id,
        programme_id=account.programme_id,
        state=AccountState(account.state),
        currency_code=currency,
        controls=controls_of(_raw(account.controls), currency),
    )


def _card(card: projection.ApplyCardRequest, currency_code: str) -> CardSnapshot:
    return CardSnapshot(
        version=card.version,
        card_id=card.card_id,
        root_card_id=card.root_card_id,
        account_id=card.account_id,
        state=CardState(card.state),
        expire_at_ms=end_of_month_ms(card.expiry_year, card.expiry_month),
        single_use=card.single_use,
        controls=controls_of(_raw(card.controls), currency_code),
        user_id=card.user_id,
    )


def _raw(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def window_write(
    partition: int, use: Use, slots: Mapping[int, Used], lifetimes: Lifetimes
) -> Write | None:
    """As include/counting.lua left it; None if it has expired since."""
    key = keys.window(keys.TAGS[partition], use.key)
    fields = [text for slot, used in slots.items() for text in (str(slot), "{}|{}".format(*used))]
    write = ("HSET", key, *fields)
    freed_ms = freed_at_ms(use.limit.window, max(slots))
    if freed_ms == 0:
        return Write((write,))
    left_ms = freed_ms + MARGIN_MS - lifetimes.now_ms
    return Write((write, ("PEXPIRE", key, str(left_ms)))) if left_ms > 0 else None


def lock_fields(row: Mapping[str, Any]) -> dict[str, str]:
    """The merchant that a card is locked to, as `Authorize.merchant` has it."""
    return dict(
        zip(LOCK_FIELDS, (row["merchant_id"], row["merchant_name"].casefold()), strict=True)
    )


def lock_write(row: Mapping[str, Any]) -> Write:
    """As `place_hold.lua` left it."""
    pairs = (text for pair in lock_fields(row).items() for text in pair)
    return Write((("HSET", keys.learned(row["root_card_id"]), *pairs),))
