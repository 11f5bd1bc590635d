"""Addresses that people sign in with, as accounts says: two people never have one.

Accounts asks first, and has a free one kept for the person; then it commits; then it tells. So who
comes second is refused before anything has changed, whoever dies in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import asyncpg

from gateway.credential_store import CredentialStore, Transaction
from gateway.rings import Rings

#: How long an address is kept for a person who is about to have it: as long as accounts remembers
#: the request, and so much longer than it takes to tell what became of it.
RESERVED_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEmail:
    """Which address accounts has of a person."""

    user_id: str
    #: Of the person.
    version: int
    email: str = field(repr=False)
    validate_only: bool
    #: With `validate_only`: nobody else gets the address for RESERVED_MS.
    reserve: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailSet:
    """The version that counts now, and whether the address is somebody else's."""

    version: int
    taken: bool


async def set_email(
    credentials: CredentialStore, rings: Rings, command: SetEmail, *, now_ms: int
) -> EmailSet:
    """Takes over the address of somebody who signs in with one, unless it is another's."""
    try:
        async with credentials.transaction(now_ms=now_ms) as transaction:
            return await _set_email(transaction, rings, command, now_ms=now_ms)
    except asyncpg.UniqueViolationError:
        # A process of the version before takes addresses without the lock.
        return EmailSet(version=command.version, taken=True)


async def _set_email(
    transaction: Transaction, rings: Rings, command: SetEmail, *, now_ms: int
) -> EmailSet:
    email, user_id = command.email.encode(), command.user_id
    credential = await transaction.find(user_id)
    if credential is None or credential.email_hash is None:
        return EmailSet(version=command.version, taken=False)
    counts = max(command.version, credential.email_version)
    hashes = tuple(rings.emails.macs(email).values())
    if await transaction.take_address(hashes, user_id):
        return EmailSet(version=counts, taken=True)
    email_key, email_hash = rings.emails.mac(email)
    if not command.validate_only:
        changed = credential.with_email(
            email_hash, email_key, email_version=command.version, now_ms=now_ms
        )
        if changed is not credential:
            await transaction.set_email(changed)
        await transaction.release_address(user_id, hashes)
        await transaction.record(targets=(user_id,))
    elif command.reserve:
        expire_ms = now_ms + RESERVED_MS
        await transaction.reserve_address(user_id, email_hash, email_key, expire_ms=expire_ms)
    return EmailSet(version=counts, taken=False)
