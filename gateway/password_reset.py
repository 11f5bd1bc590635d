"""Resets passwords of those who have forgotten theirs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.credential_store import CredentialStore, Transaction
from gateway.notices import Notices, Told
from gateway.passwords import Passwords
from gateway.resets import digest_of, new_token
from gateway.rings import Rings
from gateway.session_store import SessionStore
from gateway.sign_in import Client, SignIn
from runtime.clock import Clock
from runtime.errors import Unauthenticated
from runtime.request_records import RequestKey


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPassword:
    """What somebody with a token wants."""

    token: str = field(repr=False)
    password: str = field(repr=False)


class PasswordResets:
    """Nothing here says whether an address is known: who it belongs to is looked up later."""

    def __init__(
        self,
        credentials: CredentialStore,
        sessions: SessionStore,
        passwords: Passwords,
        *,
        sign_in: SignIn,
        rings: Rings,
        clock: Clock,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._credentials = credentials
        self._sessions = sessions
        self._passwords = passwords
        self._sign_in = sign_in
        self._notices = Notices(rings, clock)
        self._clock = clock
        self._random_bytes = random_bytes

    async def request(self, key: RequestKey, *, email: str, client: Client) -> bool:
        """Has a mail sent to an address; whether this very request did so before."""
        await self._sign_in.admit(f"reset:{key.principal}", client)
        message = self._notices.reset(email=email, token=new_token(self._random_bytes))

        async def effect(transaction: Transaction) -> bytes:
            await transaction.deliver(message)
            return b""

        _, stored = await self._credentials.run(key, effect, now_ms=self._clock.now_ms())
        return stored

    async def reset(self, key: RequestKey, wanted: NewPassword) -> bool:
        """Replaces a password; whether this very request did so before."""
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> bytes:
            reset = await transaction.take_reset(digest_of(wanted.token))
            if reset is None or reset.expire_ms <= now_ms:
                raise wrong_token()
            credential = await transaction.find(reset.user_id)
            if (
                credential is None
                or credential.version != reset.version
                or not credential.may_sign_in
            ):
                raise wrong_token()
            hashed = await self._passwords.hash(wanted.password)
            await transaction.update(credential.with_password(hashed, now_ms=now_ms))
            await transaction.end_sessions()
            # Whoever knew the password could have linked an identity of its own.
            await transaction.identities.unlink_all(credential.user_id)
            message = self._notices.message(credential.user_id, Told.PASSWORD_CHANGED)
            await transaction.deliver(message)
            return credential.user_id.encode()

        answer, stored = await self._credentials.run(key, effect, now_ms=now_ms)
        # The relay ends them if we die here: who has forgotten a password may not ask again.
        await self._sessions.end_all(answer.decode())
        return stored


def wrong_token() -> Unauthenticated:
    """The one answer to whoever has no token that lives."""
    return Unauthenticated(
        "the token is wrong, was used, or is too old: ask for another one",
        reason="WRONG_RESET_TOKEN",
    )
