"""The snapshots that a worker keeps in its memory, and how one is read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from authz import keys
from authz.convert_controls import controls_of, rules_of
from authz.snapshot import (
    NO_PROGRAMME_RULES,
    AccountSnapshot,
    AccountState,
    CardSnapshot,
    CardState,
    RulesSnapshot,
    Snapshot,
    UserSnapshot,
)
from runtime import ids
from runtime.errors import Unavailable

#: Fields of an account, of a card and of rules, in the order they are asked for.
_ACCOUNT_FIELDS = ("v", "state", "cur", "own", "prog", "ctl")
_CARD_FIELDS = ("v", "acct", "root", "state", "exp", "su", "ctl", "user")
_USER_FIELDS = ("v", "ctl")
_RULES_FIELDS = ("v", "rules")

NO_COMPANY_RULES = RulesSnapshot()

Read = Callable[..., Awaitable[Any]]


class Snapshots:
    """Keeps those of the cards seen last. Its parts are read one after the other: the versions tell
    the script whether they belong together.
    """

    def __init__(self, read: Read, *, cards: int) -> None:
        self._read = read
        self._cards = cards
        self._kept: OrderedDict[str, Snapshot] = OrderedDict()
        # Few, and the same for many cards: by partition, programme or company, and currency.
        self._rules_kept: dict[tuple[str, str, str], RulesSnapshot] = {}

    async def get(self, card_id: str) -> Snapshot | None:
        """Everything a decision on the card needs; None if the card is unknown."""
        kept = self._kept.get(card_id)
        if kept is not None:
            self._kept.move_to_end(card_id)
            return kept
        found = await self._read_snapshot(card_id)
        if found is not None:
            self._kept[card_id] = found
            if len(self._kept) > self._cards:
                self._kept.popitem(last=False)
        return found

    def forget(self, card_id: str) -> None:
        """Drops a snapshot of which a version has moved on, whichever it is."""
        kept = self._kept.pop(card_id, None)
        if kept is not None:
            for scope_id in (kept.account.programme_id, kept.account.company_id):
                self._rules_kept.pop(_rules_name(kept.account, scope_id), None)

    def forget_all(self) -> None:
        """Drops every snapshot: the server behind the connection may be another one."""
        self._kept.clear()
        self._rules_kept.clear()

    async def account(self, account_id: str) -> AccountSnapshot | None:
        """One account's configuration as it is now."""
        values = await self._read("HMGET", keys.account(account_id), *_ACCOUNT_FIELDS)
        if values[0] is None:
            return None
        return AccountSnapshot(
            version=int(values[0]),
            account_id=account_id,
            state=AccountState(int(values[1])),
            currency_code=values[2],
            owner_id=values[3],
            programme_id=values[4],
            controls=controls_of(_bytes(values[5]), values[2]),
        )

    async def _read_snapshot(self, card_id: str) -> Snapshot | None:
        card = await self._read("HMGET", keys.card(card_id), *_CARD_FIELDS)
        if card[0] is None:
            return None
        account = await self.account(card[1])
        if account is None:
            raise Unavailable(f"card {card_id} has no account", reason="CONFIGURATION_BROKEN")
        user_id = card[7] or ""
        return Snapshot(
            card=CardSnapshot(
                version=int(card[0]),
                card_id=card_id,
                root_card_id=card[2],
                account_id=account.account_id,
                state=CardState(int(card[3])),
                expire_at_ms=int(card[4]),
                single_use=card[5] == "1",
                controls=controls_of(_bytes(card[6]), account.currency_code),
                user_id=user_id,
            ),
            account=account,
            user=await self._user(account, user_id),
            programme=await self._rules(account, account.programme_id, NO_PROGRAMME_RULES),
            company=await self._rules(account, account.company_id, NO_COMPANY_RULES),
        )

    async def _user(self, account: AccountSnapshot, user_id: str) -> UserSnapshot:
        if not user_id:
            return UserSnapshot()
        key = keys.account_user(account.account_id, user_id)
        version, controls = await self._read("HMGET", key, *_USER_FIELDS)
        if version is None:
            return UserSnapshot()
        return UserSnapshot(
            version=int(version), controls=controls_of(_bytes(controls), account.currency_code)
        )

    async def _rules(
        self, account: AccountSnapshot, scope_id: str, absent: RulesSnapshot
    ) -> RulesSnapshot:
        if not scope_id:
            return absent
        name = _rules_name(account, scope_id)
        kept = self._rules_kept.get(name)
        if kept is None:
            kept = self._rules_kept[name] = await self._read_rules(account, scope_id, absent)
        return kept

    async def _read_rules(
        self, account: AccountSnapshot, scope_id: str, absent: RulesSnapshot
    ) -> RulesSnapshot:
        key = keys.rules(ids.tag_of(account.account_id), scope_id)
        version, rules = await self._read("HMGET", key, *_RULES_FIELDS)
        if version is None:
            return absent
        return rules_of(
            int(version),
            _bytes(rules),
            account.currency_code,
            of_programme=absent is NO_PROGRAMME_RULES,
        )


def _rules_name(account: AccountSnapshot, scope_id: str) -> tuple[str, str, str]:
    return ids.tag_of(account.account_id), scope_id, account.currency_code


def _bytes(stored: str | None) -> bytes:
    """What the projection left: bytes, which the pipe reads as text."""
    return stored.encode("utf-8", "surrogateescape") if stored else b""
