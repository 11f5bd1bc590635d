"""Credentials and answers in PostgreSQL, schema gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from google.protobuf.message import Message

from gateway import audited
from gateway.credential import Credential
from gateway.endings import Ending
from gateway.factor_store import FactorStore
from gateway.identity_store import IdentityStore
from gateway.resets import Reset
from runtime import outbox, request_records
from runtime.audit import log as audit
from runtime.clock import datetime_of, ms_of
from runtime.errors import Unauthenticated
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries
from runtime.request_records import RequestKey

#: Kept addresses that one statement forgets.
FORGET_BATCH = 1_000

_SQL = load_queries(Path(__file__).with_name("sql") / "credentials.sql")
_RESETS = load_queries(Path(__file__).with_name("sql") / "resets.sql")
_ADDRESSES = load_queries(Path(__file__).with_name("sql") / "addresses.sql")
_MEMBERSHIPS = load_queries(Path(__file__).with_name("sql") / "memberships.sql")


class Transaction:
    """One mutation of credentials."""

    def __init__(self, connection: Any, *, now_ms: int) -> None:
        self._connection = connection
        self.factors = FactorStore(connection)
        self.identities = IdentityStore(connection)
        self._now = datetime_of(now_ms)
        self._found: Credential | None = None
        self._changed: Credential | None = None
        #: Whether the audit log has what this changes.
        self.recorded = False

    async def record(
        self,
        *,
        before: Message | None = None,
        after: Message | None = None,
        targets: tuple[str, ...] = (),
        reason: str = "",
        goes_on: bool = False,
    ) -> None:
        """Writes the change into the audit log; unless told otherwise, a user as it was and as it
        is now. `goes_on`: the call does more, and has another entry when it ends.
        """
        if self._changed is not None:
            before = before or audited.access(self._found)
            after = after or audited.access(self._changed)
        write = audit.record_part if goes_on else audit.record
        await write(self._connection, before=before, after=after, targets=targets, reason=reason)
        self.recorded = True

    async def claim(self, key: RequestKey) -> bytes | None:
        """Takes a request id, or returns its answer; RequestIdReused for other content."""
        stored = await request_records.claim(self._connection, key, self._now)
        if stored is None:
            return None
        stored.require(key)
        return stored.response

    async def answer(self, key: RequestKey, response: bytes) -> None:
        """Stores the answer to the claimed request id."""
        await request_records.answer(self._connection, key, response)

    async def find(self, user_id: str) -> Credential | None:
        """A user, locked for a change."""
        row = await self._connection.fetchrow(_SQL["select_credential_for_update"], user_id)
        self._found = _credential(row) if row else None
        return self._found

    async def lock(self, proved: Credential) -> Credential:
        """Locks a user who has just proved who it is: refused if anything has changed since."""
        found = await self.find(proved.user_id)
        if found is None or found.version != proved.version:
            raise Unauthenticated("address or password is wrong", reason="WRONG_CREDENTIALS")
        return found

    async def take_address(self, hashes: Sequence[bytes], user_id: str) -> bool:
        """Whether somebody else has an address, or is about to. If not, nobody else gets it until
        the commit. `hashes`: with every version of the key.
        """
        await self._connection.execute(_ADDRESSES["lock_address"], hashes)
        taken: bool = await self._connection.fetchval(
            _ADDRESSES["select_other_holder"], hashes, user_id, self._now
        )
        return taken

    async def reserve_address(
        self, user_id: str, email_hash: bytes, email_key: str, *, expire_ms: int
    ) -> None:
        """Keeps an address that nobody else has for a user who has a credential."""
        await self._connection.execute(
            _ADDRESSES["reserve_address"], user_id, email_hash, email_key, datetime_of(expire_ms)
        )

    async def release_address(self, user_id: str, hashes: Sequence[bytes]) -> None:
        """Ends what `reserve_address` has begun."""
        await self._connection.execute(_ADDRESSES["release_address"], user_id, hashes)

    async def insert(self, credential: Credential) -> bool:
        """Adds a user; False if the address or the user is there already."""
        inserted = await self._connection.fetchval(
            _SQL["insert_credential"],
            credential.user_id,
            credential.email_hash,
            credential.email_key,
            credential.password_hash,
            list(credential.roles),
            credential.company_id or None,
            self._now,
            credential.merchant_id or None,
        )
        self._found, self._changed = None, credential
        return bool(inserted)

    async def update(self, credential: Credential) -> None:
        """Writes the next version of a locked user."""
        tag = await self._connection.execute(
            _SQL["update_credential"],
            credential.user_id,
            credential.version,
            credential.password_hash,
            list(credential.roles),
            credential.company_id or None,
            "DISABLED" if credential.disabled else "ACTIVE",
            self._now,
            credential.merchant_id or None,
        )
        assert tag == "UPDATE 1", f"{credential.user_id} was not locked at the version before"
        self._changed = credential

    async def bar(self, credential: Credential) -> None:
        """Writes the next version of a locked user whom accounts has spoken of."""
        tag = await self._connection.execute(
            _SQL["bar_credential"],
            credential.user_id,
            credential.version,
            credential.barred,
            credential.person_version,
            self._now,
        )
        assert tag == "UPDATE 1", f"{credential.user_id} was not locked at the version before"

    async def set_email(self, credential: Credential) -> None:
        """Writes the next version of a locked user with another address. Another user's is refused
        by PostgreSQL.
        """
        tag = await self._connection.execute(
            _SQL["set_email"],
            credential.user_id,
            credential.version,
            credential.email_hash,
            credential.email_key,
            credential.email_version,
            self._now,
        )
        assert tag == "UPDATE 1", f"{credential.user_id} was not locked at the version before"

    async def set_membership(
        self, user_id: str, company_id: str, *, version: int, manages: bool
    ) -> int:
        """Takes over what accounts says of a locked user in a company; returns the version that
        counts.
        """
        place = (user_id, company_id)
        taken = await self._connection.fetchval(
            _MEMBERSHIPS["set_membership"], *place, version, manages
        )
        if taken is None:
            taken = await self._connection.fetchval(_MEMBERSHIPS["select_membership"], *place)
        return int(taken)

    async def take_reset(self, token_hash: bytes) -> Reset | None:
        """Uses up what resets a password."""
        row = await self._connection.fetchrow(_RESETS["take_reset"], token_hash)
        if row is None:
            return None
        return Reset(
            user_id=row["user_id"], version=row["version"], expire_ms=ms_of(row["expire_time"])
        )

    async def forget(self, user_id: str) -> None:
        """Forgets how a locked user signs in."""
        await self.factors.remove(user_id)
        for name in ("delete_identities", "delete_external_identities", "delete_credential"):
            await self._connection.execute(_SQL[name], user_id)

    async def end_sessions(self, *, but: str = "") -> None:
        """Has the sessions ended that began before the change of the user, also if nobody here
        lives to do it.
        """
        assert self._changed is not None, "sessions end for a change"
        ending = Ending(user_id=self._changed.user_id, version=self._changed.version, but=but)
        await self.deliver(ending.message)

    async def deliver(self, message: outbox.Message) -> None:
        """Has a message delivered once this is committed."""
        await outbox.append(self._connection, message)


class CredentialStore:
    """Reads, and opens transactions."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self.factors = FactorStore(pool)
        self.identities = IdentityStore(pool)

    @asynccontextmanager
    async def transaction(self, *, now_ms: int) -> AsyncIterator[Transaction]:
        """Commits at the end; an exception rolls everything back, the claimed id included."""
        with refusing_when_down():
            async with self._pool.acquire() as connection, connection.transaction():
                yield Transaction(connection, now_ms=now_ms)

    async def run(
        self,
        key: RequestKey,
        effect: Callable[[Transaction], Any],
        *,
        now_ms: int,
    ) -> tuple[bytes, bool]:
        """Runs `effect` once per request id; returns its answer, and whether it was stored. The
        audit log has it once this is committed, whatever becomes of the call then.
        """
        async with self.transaction(now_ms=now_ms) as transaction:
            stored = await transaction.claim(key)
            if stored is not None:
                await transaction.record(reason=audit.REPLAYED_REASON)
                return stored, True
            response: bytes = await effect(transaction)
            await transaction.answer(key, response)
            if not transaction.recorded:
                await transaction.record()
            return response, False

    async def find(self, user_id: str) -> Credential | None:
        """One user."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_credential"], user_id)
        return _credential(row) if row else None

    async def find_email(self, hashes: Iterable[bytes]) -> Credential | None:
        """The user of an address."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_credential_of_email"], list(hashes))
        return _credential(row) if row else None

    async def rehash(self, credential: Credential) -> None:
        """Replaces hashes by those of newer keys and parameters."""
        with refusing_when_down():
            await self._pool.execute(
                _SQL["rehash_credential"],
                credential.user_id,
                credential.version,
                credential.email_hash,
                credential.email_key,
                credential.password_hash,
            )

    async def put_reset(self, credential: Credential, token_hash: bytes, *, expire_ms: int) -> None:
        """Lets a token reset the password of a user, as long as it is at this version."""
        with refusing_when_down():
            await self._pool.execute(
                _RESETS["upsert_reset"],
                credential.user_id,
                token_hash,
                credential.version,
                datetime_of(expire_ms),
            )

    async def forget_reservations(self, *, before_ms: int) -> int:
        """Forgets addresses kept until an instant, one batch of them; returns how many."""
        tag = await self._pool.execute(
            _ADDRESSES["delete_reservations"], datetime_of(before_ms), FORGET_BATCH
        )
        return int(tag.rpartition(" ")[2])


def _credential(row: Any) -> Credential:
    return Credential(
        user_id=row["user_id"],
        roles=tuple(row["roles"]),
        company_id=row["company_id"] or "",
        merchant_id=row["merchant_id"] or "",
        disabled=row["state"] == "DISABLED",
        barred=row["barred"],
        dismissed=row["dismissed"],
        person_version=row["person_version"],
        email_version=row["email_version"],
        email_hash=row["email_hash"],
        email_key=row["email_key"],
        password_hash=row["password_hash"],
        version=row["version"],
        create_ms=ms_of(row["create_time"]),
        update_ms=ms_of(row["update_time"]),
    )
