"""Second factors: begun, confirmed, shown, removed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from gateway import totp
from gateway.credential import Credential
from gateway.credential_store import CredentialStore, Transaction
from gateway.factor_store import Factor, FactorStore
from gateway.notices import Notices, Told
from gateway.rings import Rings
from runtime.clock import Clock, datetime_of
from runtime.errors import FailedPrecondition, NotFound, Unauthenticated
from runtime.request_records import RequestKey


class SecondFactors:
    """The second factors of all users. Secrets are sealed, recovery codes are hashed."""

    def __init__(
        self,
        credentials: CredentialStore,
        *,
        rings: Rings,
        issuer: str,
        clock: Clock,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._credentials = credentials
        self._rings = rings
        self._issuer = issuer
        self._clock = clock
        self._random_bytes = random_bytes
        self._notices = Notices(rings, clock)

    async def enroll(self, proved: Credential) -> tuple[str, str]:
        """Begins a second factor of a user who has just proved who it is; returns its secret as
        text and as URI.
        """
        user_id = proved.user_id
        secret = self._random_bytes(totp.SECRET_BYTES)
        sealed = self._rings.users.seal(secret, context=_context(user_id))
        now_ms = self._clock.now_ms()
        async with self._credentials.transaction(now_ms=now_ms) as transaction:
            await transaction.lock(proved)
            if not await transaction.factors.begin(user_id, sealed, datetime_of(now_ms)):
                raise wrong_state("there is a second factor already: remove it first")
            await transaction.record(targets=(user_id,))
        return totp.base32(secret), totp.uri_of(secret, issuer=self._issuer, account=user_id)

    async def confirm(
        self, key: RequestKey, user_id: str, code: str
    ) -> tuple[tuple[str, ...], bool]:
        """Returns the recovery codes, and whether this very request had confirmed it before."""
        now_ms = self._clock.now_ms()
        context = b"gateway.request_record.recovery:" + user_id.encode()

        async def effect(transaction: Transaction) -> bytes:
            factor = await transaction.factors.find(user_id)
            if factor is None or factor.confirmed:
                raise wrong_state("no second factor waits to be confirmed: enroll one")
            if not await self._takes(transaction.factors, factor, user_id, code):
                raise wrong_code()
            codes = totp.new_recovery_codes(self._random_bytes)
            hashes = [self._rings.recovery.mac(self._recovery(user_id, one))[1] for one in codes]
            await transaction.factors.confirm(user_id, hashes, datetime_of(now_ms))
            await self._tell(transaction, user_id)
            return self._rings.users.seal(json.dumps(codes).encode(), context=context)

        sealed, stored = await self._credentials.run(key, effect, now_ms=now_ms)
        return tuple(json.loads(self._rings.users.open(sealed, context=context))), stored

    async def is_required(self, user_id: str) -> bool:
        """Whether a user has a second factor that is asked for."""
        factor = await self._credentials.factors.find(user_id)
        return factor is not None and factor.confirmed

    async def verify(self, user_id: str, code: str) -> bool:
        """Uses up a code, outside of a request that is stored."""
        async with self._credentials.transaction(now_ms=self._clock.now_ms()) as transaction:
            return await self._shown(transaction.factors, user_id, code)

    async def verify_once(self, key: RequestKey, user_id: str, code: str) -> bool:
        """Uses up a code; whether this very request had done so before."""

        async def effect(transaction: Transaction) -> bytes:
            await self._demand(transaction.factors, user_id, code)
            return b""

        _, stored = await self._credentials.run(key, effect, now_ms=self._clock.now_ms())
        return stored

    async def remove(self, key: RequestKey, user_id: str, code: str) -> bool:
        """Removes the factor of whoever has a code; whether this very request did so before."""

        async def effect(transaction: Transaction) -> bytes:
            await self._demand(transaction.factors, user_id, code)
            await transaction.factors.remove(user_id)
            await self._tell(transaction, user_id)
            return b""

        _, stored = await self._credentials.run(key, effect, now_ms=self._clock.now_ms())
        return stored

    async def reset(self, key: RequestKey, user_id: str) -> bool:
        """Removes somebody's factor; whether this very request did so before."""
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> bytes:
            credential = await transaction.find(user_id)
            if credential is None:
                raise NotFound(f"user {user_id} does not exist")
            if await transaction.factors.find(user_id) is None:
                raise wrong_state("there is no second factor")
            await transaction.factors.remove(user_id)
            await transaction.update(credential.touched(now_ms=now_ms))
            await transaction.end_sessions()
            await self._tell(transaction, user_id)
            return b""

        _, stored = await self._credentials.run(key, effect, now_ms=now_ms)
        return stored

    async def _tell(self, transaction: Transaction, user_id: str) -> None:
        """Has the user told."""
        message = self._notices.message(user_id, Told.SECOND_FACTOR_CHANGED)
        await transaction.deliver(message)

    async def _demand(self, store: FactorStore, user_id: str, code: str) -> None:
        factor = await store.find(user_id)
        if factor is None or not factor.confirmed:
            raise wrong_state("there is no second factor: enroll one")
        if not await self._shown(store, user_id, code):
            raise wrong_code()

    async def _shown(self, store: FactorStore, user_id: str, code: str) -> bool:
        """Takes a code of the app, or a recovery code."""
        factor = await store.find(user_id)
        if factor is None or not factor.confirmed:
            return False
        if await self._takes(store, factor, user_id, code):
            return True
        hashes = self._rings.recovery.macs(self._recovery(user_id, code)).values()
        return await store.use_recovery_code(user_id, hashes)

    async def _takes(self, store: FactorStore, factor: Factor, user_id: str, code: str) -> bool:
        secret = self._rings.users.open(factor.sealed, context=_context(user_id))
        step = totp.matching_step(secret, totp.normalized_code(code), now_ms=self._clock.now_ms())
        return step is not None and await store.use_step(user_id, step)

    def _recovery(self, user_id: str, code: str) -> bytes:
        return f"{user_id}:{totp.normalized_code(code)}".encode()


def wrong_code() -> Unauthenticated:
    """Also for codes that were used before."""
    return Unauthenticated("the code is wrong or was used before", reason="WRONG_CODE")


def code_required() -> Unauthenticated:
    """Only told to those who know the password."""
    return Unauthenticated("a code of the second factor is needed, too", reason="CODE_REQUIRED")


def wrong_state(message: str) -> FailedPrecondition:
    """There is a second factor where none should be, or none where one should be."""
    return FailedPrecondition(message, reason="SECOND_FACTOR_STATE")


def _context(user_id: str) -> bytes:
    return f"gateway.second_factor.secret:{user_id}".encode()
