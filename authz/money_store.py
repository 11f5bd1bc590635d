"""The money Valkey: loads snapshots and holds, runs the scripts. The only place that calls them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import OutOfMemoryError, ResponseError

from authz import entry, keys, outcome
from authz.gate import Gate
from authz.outcome import Outcome
from authz.projection_calls import Call
from authz.scripts import STATUSES, Status
from authz.snapshot import AccountSnapshot, Snapshot
from authz.snapshots import Snapshots
from authz.stored import Balance, StoredHold
from runtime import ids
from runtime.errors import Unavailable
from runtime.log import get_logger
from runtime.ownership import Belongs
from runtime.pipe import Pipe
from runtime.script import Script

#: Fields of a hold, in the order they are asked for.
_HOLD_FIELDS = ("p", "acct", "card", "n", "a", "r", "c", "h", "flags", "q", "x", "u", "b", "w")
#: Balances of an account as it stands in Valkey.
_BALANCE_FIELDS = ("cur", "limit", "posted", "held", "unreleased", "seq")

#: A record with less to live than this may be gone when the script looks: the ledger is asked.
RECORD_EXPIRES_SOON_MS = 60_000

#: Errors that concern one key or one call and cast no doubt on the server. Any other closes the
#: gate until the server has been inspected again.
_REFUSES_ONE = ("WRONGTYPE", "user_script:")

logger = get_logger()


class MoneyStore:
    """Reads and scripts of one worker; keeps the snapshots of the cards it saw last."""

    def __init__(self, pipe: Pipe, gate: Gate, *, snapshot_cards: int) -> None:
        self._pipe = pipe
        self._gate = gate
        self._snapshots = Snapshots(self._read, cards=snapshot_cards)

    async def snapshot(self, card_id: str) -> Snapshot | None:
        """What a decision on the card needs; None if it is unknown. Cached until it is stale."""
        return await self._snapshots.get(card_id)

    def forget(self, card_id: str) -> None:
        """Drops a snapshot whose version has moved on."""
        self._snapshots.forget(card_id)

    def forget_all(self) -> None:
        """Drops every snapshot: the server behind the connection may be another one."""
        self._snapshots.forget_all()

    async def epoch(self) -> int:
        """The epoch that workers serve from now; raises Unavailable if it has just ended."""
        found = await self._read("HGET", keys.meta(keys.TAGS[0]), "epoch")
        if found != str(self._gate.epoch):
            raise self._wrong_epoch()
        return int(found)

    async def account(self, account_id: str) -> AccountSnapshot | None:
        """One account's configuration as it is now."""
        return await self._snapshots.account(account_id)

    async def account_belongs(self, account_id: str, _user_id: str) -> Belongs | None:
        """To whom an account belongs."""
        owner_id, *_ = await self._read("HMGET", keys.account(account_id), "own")
        return None if owner_id is None else Belongs(owner_id=owner_id)

    async def card_belongs(self, card_id: str, user_id: str) -> Belongs | None:
        """To whom a card belongs, and whether it is a user's."""
        account_id, card_user = await self._read("HMGET", keys.card(card_id), "acct", "user")
        account = await self.account_belongs(account_id, user_id) if account_id else None
        if account is None:
            return None
        return Belongs(owner_id=account.owner_id, is_user=bool(user_id) and card_user == user_id)

    async def balance(self, account_id: str) -> Balance | None:
        """One account's balance as it is now."""
        values = await self._read("HMGET", keys.account(account_id), *_BALANCE_FIELDS)
        if values[0] is None:
            return None
        return Balance(
            currency_code=values[0],
            limit_minor=int(values[1]),
            posted_minor=int(values[2]),
            held_minor=int(values[3]),
            unreleased_minor=int(values[4]),
            seq=int(values[5]),
        )

    async def hold(self, authorization_id: str) -> StoredHold | None:
        """One authorization as it is now; None if only the ledger, or nobody, knows it."""
        values = await self._read("HMGET", keys.hold(authorization_id), *_HOLD_FIELDS)
        if values[0] is None:
            return None
        return StoredHold(
            principal=values[0],
            account_id=values[1],
            card_id=values[2],
            network=values[3],
            approved_minor=int(values[4]),
            reversed_minor=int(values[5]),
            captured_minor=int(values[6]),
            flags=values[8],
            first_pseq=int(values[9]),
            expire_at_ms=int(values[10]),
            updated_at_ms=int(values[11]),
            refunded_minor=int(values[12]),
            windows=values[13] or "",
        )

    async def slots(self, window_key: str) -> dict[int, tuple[int, int]]:
        """What counts in a limit's window: amount and purchases per slot of time."""
        found: list[str] | dict[str, str] = await self._read("HGETALL", window_key)
        pairs = (
            found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        )
        split = ((slot, used.partition("|")) for slot, used in pairs)
        return {int(slot): (int(amount), int(count)) for slot, (amount, _, count) in split}

    async def known(self, *record_keys: str) -> list[bool]:
        """Which of these request or clearing records exist, and will not expire before a script
        that is called now has read them.
        """
        answers = await asyncio.gather(*(self._read("PTTL", key) for key in record_keys))
        return [answer > RECORD_EXPIRES_SOON_MS for answer in answers]

    async def take_lease(self, name: str, *, ms: int) -> bool:
        """True for the one caller that may go on for now."""
        return await self._read("SET", name, "1", "NX", "PX", str(ms)) is not None

    async def due(self, tag: str, *, now_ms: int, limit: int) -> list[str]:
        """Authorizations of a partition whose hold should have been released by now."""
        found = await self._read(
            "ZRANGEBYSCORE", keys.expiry(tag), "-inf", str(now_ms), "LIMIT", "0", str(limit)
        )
        return [f"{ids.AUTHORIZATION}_{key.rpartition(':')[2]}" for key in found]

    async def journaled(self, tag: str, pseq: int) -> bytes | None:
        """An entry that is still in the stream."""
        entries = await self._read("XRANGE", keys.journal(tag), f"{pseq}-0", f"{pseq}-0")
        if not entries:
            return None
        return entry.raw_of(entries[0][1])

    async def move(
        self, script: Script, key_names: Sequence[str], arguments: Sequence[str | bytes]
    ) -> tuple[Status, Outcome | None]:
        """Runs one movement. Its first argument is the epoch that the gate found."""
        status, line = await self._run(script, key_names, arguments)
        if not line:
            return status, None
        result = outcome.parse(line)
        self._gate.saw(int(key_names[0][1:3], 16), result.pseq)
        return status, result

    async def apply(self, call: Call) -> tuple[Status, str]:
        """Takes over configuration; returns the version that is there now."""
        return await self._run(call.script, call.key_names, call.arguments)

    async def _run(
        self, script: Script, key_names: Sequence[str], arguments: Sequence[str | bytes]
    ) -> tuple[Status, str]:
        """Runs one script under the gate's epoch; a wrong epoch closes the gate."""
        try:
            status, line = await self._pipe.run(
                script, key_names, (str(self._gate.epoch), *arguments)
            )
        except ResponseError as error:
            raise self._refused(error) from None
        if status == Status.WRONG_EPOCH:
            raise self._wrong_epoch()
        return STATUSES[status], line

    def _wrong_epoch(self) -> Unavailable:
        self._pipe.reopen()
        return Unavailable("Valkey is of another epoch than the ledger", reason="WRONG_EPOCH")

    async def _read(self, *command: str) -> Any:
        try:
            return await self._pipe.command(*command)
        except ResponseError as error:
            raise self._refused(error) from None

    def _refused(self, error: ResponseError) -> Unavailable:
        """Valkey refused before anything was written (memory, disk, a key of another type)."""
        logger.error("valkey_refused", error=str(error))
        if not str(error).startswith(_REFUSES_ONE) and not isinstance(error, OutOfMemoryError):
            self._pipe.reopen()
        return Unavailable("Valkey refused the command; nothing was done", reason="VALKEY_REFUSED")
