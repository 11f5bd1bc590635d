"""How sessions begin and go on: Login, Refresh, and what may follow from a password."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from google.protobuf.message import Message

from gateway.access_tokens import AccessTokens
from gateway.credential import Credential
from gateway.credential_store import CredentialStore, Transaction
from gateway.junk_keys import JunkKeys
from gateway.limits import customer_of
from gateway.notices import Notices, Told
from gateway.passwords import Passwords
from gateway.rings import Rings
from gateway.scripts import Status
from gateway.second_factor import SecondFactors, code_required, wrong_code
from gateway.session import Session, new_refresh_token, parse_refresh_token
from gateway.session_message import session_message
from gateway.session_store import Attempt, Exchange, SessionStore
from holdfast.gateway.v1.session_service_pb2 import LoginResponse, RefreshResponse
from runtime import ids
from runtime.audit.log import record_ahead
from runtime.clock import Clock
from runtime.errors import ResourceExhausted, Unauthenticated
from runtime.log import get_logger
from runtime.request_records import RequestKey

#: How recently who has no password must have signed in, to change how to sign in.
FRESH_MS = 300_000

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where a call comes from."""

    address: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A session and its tokens."""

    session: Session
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


class SignIn:
    """Sessions of users with a password. `random_bytes` makes the secrets of refresh tokens; `junk`
    counts those that we never made.
    """

    def __init__(
        self,
        credentials: CredentialStore,
        sessions: SessionStore,
        passwords: Passwords,
        factors: SecondFactors,
        *,
        rings: Rings,
        tokens: AccessTokens,
        new_ids: ids.IdSource,
        clock: Clock,
        random_bytes: Callable[[int], bytes] = os.urandom,
        junk: JunkKeys | None = None,
    ) -> None:
        self._credentials = credentials
        self._sessions = sessions
        self._passwords = passwords
        self._factors = factors
        self._rings = rings
        self._tokens = tokens
        self._ids = new_ids
        self._clock = clock
        self._random_bytes = random_bytes
        self._notices = Notices(rings, clock)
        self._junk = junk or JunkKeys()

    async def login(
        self, *, request_id: str, email: str, password: str, code: str, client: Client
    ) -> Begun:
        """Begins a session of whoever knows the password and has the second factor."""
        hashes = self._rings.emails.macs(email.encode())
        attempt = self._password_attempt(email, client)
        await self._admit(attempt)
        credential = await self._credentials.find_email(hashes.values())
        stored = credential.password_hash if credential else None
        verified = await self._passwords.verify(password, stored)
        if credential is None or not verified or not credential.may_sign_in:
            raise wrong_credentials()
        mfa_ms = await self.second_factor(credential.user_id, code)
        is_new_place = await self._sessions.is_new_place(credential.user_id, attempt)
        await self._sessions.forgive(attempt)
        await self._renew_hashes(credential, email=email, password=password)
        begun = await self.begin(
            credential,
            request_id=request_id,
            client=client,
            mfa_ms=mfa_ms,
            answer=lambda session: LoginResponse(session=session_message(session)),
        )
        if is_new_place:
            message = self._notices.message(credential.user_id, Told.NEW_SIGN_IN)
            async with self._credentials.transaction(now_ms=self._clock.now_ms()) as transaction:
                await transaction.deliver(message)
        return begun

    async def begin(
        self,
        credential: Credential,
        *,
        request_id: str,
        client: Client,
        mfa_ms: int = 0,
        answer: Callable[[Session], Message],
    ) -> Begun:
        """Begins a session of a user who has proved who it is. `answer`: what the audit log says
        of it.
        """
        now_ms = self._clock.now_ms()
        session = Session(
            id=self._ids.new(ids.SESSION, ids.partition_of(credential.user_id)),
            user_id=credential.user_id,
            roles=credential.held_roles,
            company_id=credential.held_company_id,
            client=client.name,
            address=client.address,
            create_ms=now_ms,
            use_ms=now_ms,
            mfa_ms=mfa_ms,
            version=credential.version,
        )
        token = new_refresh_token(session.id, self._random_bytes)
        await record_ahead(after=answer(session))
        await self._sessions.begin(
            session, digest=token.digest, login=f"{session.user_id}:{request_id}"
        )
        # Whoever changes a password or roles does so first and ends the sessions then. A session
        # that begins in between is either among those or sees the change here.
        found = await self._credentials.find(credential.user_id)
        if found is None or found.version != credential.version:
            await self._sessions.end(session.user_id, session.id)
            raise wrong_credentials()
        return Begun(
            session=session,
            access_token=self._tokens.issue(session),
            refresh_token=token.text(self._signature),
        )

    async def refresh(self, *, request_id: str, refresh_token: str, client: Client) -> Begun:
        """Exchanges a refresh token, once."""
        shown = parse_refresh_token(
            refresh_token, lambda signed: self._rings.refresh_tokens.macs(signed).values()
        )
        if shown is None:
            # Told nothing else: it is the limiter that makes this address wait with its next ones.
            self._junk.take(client.address, now_ms=self._clock.now_ms())
            raise session_ended()
        session = await self._sessions.find(shown.session_id)
        if session is None:
            raise session_ended()
        credential = await self._credentials.find(session.user_id)
        if credential is None or not credential.may_sign_in:
            await self._sessions.end(session.user_id, session.id)
            raise session_ended()
        used = session.used(
            roles=credential.held_roles,
            company_id=credential.held_company_id,
            now_ms=self._clock.now_ms(),
        )
        token = new_refresh_token(session.id, self._random_bytes)
        text = token.text(self._signature)
        exchange = Exchange(
            shown=shown.digest,
            next=token.digest,
            request_id=request_id,
            sealed=shown.seal(text, self._random_bytes),
        )
        await record_ahead(after=RefreshResponse(session=session_message(used)))
        status, sealed = await self._sessions.refresh(used, exchange)
        if status is Status.REPEATED:
            text = shown.open(sealed)
        elif status is not Status.REFRESHED:
            if status is Status.REUSED:
                logger.warning(
                    "refresh_token_reused", user_id=session.user_id, session_id=session.id
                )
            raise session_ended()
        return Begun(session=used, access_token=self._tokens.issue(used), refresh_token=text)

    async def change_password(
        self, key: RequestKey, *, session: Session, passwords: tuple[str, str], client: Client
    ) -> bool:
        """Replaces the password (old, new), unlinks what else signs in and ends the other sessions;
        whether it was done by this very request before.
        """
        old, new = passwords
        attempts = f"change:{session.user_id}"
        await self.admit(attempts, client)
        hashed = await self._passwords.hash(new)

        async def effect(transaction: Transaction) -> bytes:
            credential = await transaction.find(session.user_id)
            stored = credential.password_hash if credential else None
            verified = await self._passwords.verify(old, stored)
            if credential is None or not verified:
                raise wrong_credentials()
            await transaction.update(credential.with_password(hashed, now_ms=self._clock.now_ms()))
            await transaction.end_sessions(but=session.id)
            # Whoever knew the password could have linked an identity of its own.
            await transaction.identities.unlink_all(session.user_id)
            message = self._notices.message(session.user_id, Told.PASSWORD_CHANGED)
            await transaction.deliver(message)
            return b""

        _, stored = await self._credentials.run(key, effect, now_ms=self._clock.now_ms())
        await self.forgive(attempts, client)
        await self._sessions.end_all(session.user_id, but=session.id)
        return stored

    async def prove(self, session: Session, *, password: str, client: Client) -> Credential:
        """The user of a session, by more than a token: by the password, or of those who have none
        by having just signed in. The session says so, not the token.
        """
        credential = await self._credentials.find(session.user_id)
        if credential is None or not credential.may_sign_in:
            raise session_ended()
        if credential.password_hash is None:
            if self._clock.now_ms() - session.create_ms > FRESH_MS:
                raise sign_in_too_old()
            return credential
        if not password:
            raise password_required()
        # The same attempts as those of ChangePassword: it is the same password that is guessed.
        attempts = f"change:{session.user_id}"
        await self.admit(attempts, client)
        if not await self._passwords.verify(password, credential.password_hash):
            raise wrong_credentials()
        await self.forgive(attempts, client)
        return credential

    async def admit(self, user: str, client: Client) -> None:
        """Counts an attempt, wherever it comes from; ResourceExhausted while it must wait."""
        await self._admit(_attempt(user, client))

    async def forgive(self, user: str, client: Client) -> None:
        """Forgets the attempts of whoever has succeeded."""
        await self._sessions.forgive(_attempt(user, client))

    async def _admit(self, attempt: Attempt) -> None:
        wait_ms = await self._sessions.take_attempt(attempt, now_ms=self._clock.now_ms())
        if wait_ms:
            raise too_many_attempts(wait_ms)

    def _password_attempt(self, email: str, client: Client) -> Attempt:
        """Anybody may guess at passwords, so guesses compete with those from the same address."""
        customer = customer_of(client.address)
        _, user = self._rings.emails.mac(email.encode())
        _, origin = self._rings.emails.mac(f"{email}\n{customer}".encode())
        return Attempt(user=user.hex(), address=customer, origin=origin.hex())

    async def second_factor(self, user_id: str, code: str) -> int:
        """When a second factor was shown: now, or 0 if none is asked for."""
        if not await self._factors.is_required(user_id):
            return 0
        if not code:
            raise code_required()
        attempt = code_attempt(user_id)
        await self._admit(attempt)
        if not await self._factors.verify(user_id, code):
            raise wrong_code()
        await self._sessions.forgive(attempt)
        return self._clock.now_ms()

    async def admit_code(self, user_id: str) -> None:
        """Counts an attempt at a second factor of whoever is signed in."""
        await self._admit(code_attempt(user_id))

    async def forgive_codes(self, user_id: str) -> None:
        """Forgets those of whoever has shown it."""
        await self._sessions.forgive(code_attempt(user_id))

    def _signature(self, signed: bytes) -> bytes:
        return self._rings.refresh_tokens.mac(signed)[1]

    async def _renew_hashes(self, credential: Credential, *, email: str, password: str) -> None:
        """Follows newer keys and parameters while the address and the password are at hand."""
        assert credential.password_hash is not None, "it has just been verified"
        key_id, email_hash = self._rings.emails.mac(email.encode())
        outdated = self._passwords.is_outdated(credential.password_hash)
        if credential.email_key == key_id and not outdated:
            return
        hashed = await self._passwords.hash(password) if outdated else credential.password_hash
        await self._credentials.rehash(
            replace(credential, email_hash=email_hash, email_key=key_id, password_hash=hashed)
        )


def _attempt(user: str, client: Client) -> Attempt:
    return Attempt(user=user, address=customer_of(client.address))


def code_attempt(user_id: str) -> Attempt:
    """Six digits are guessed soon, so these guesses compete wherever they come from. Whoever makes
    them has shown something else: their address has no part in it.
    """
    return Attempt(user=f"code:{user_id}", address=f"code:{user_id}", of_code=True)


def wrong_credentials() -> Unauthenticated:
    """The one answer to whoever does not know an address and its password."""
    return Unauthenticated("address or password is wrong", reason="WRONG_CREDENTIALS")


def password_required() -> Unauthenticated:
    """A token is not enough."""
    return Unauthenticated("the password is needed, too", reason="PASSWORD_REQUIRED")


def sign_in_too_old() -> Unauthenticated:
    """A token is not enough, and there is no password to ask for."""
    return Unauthenticated(
        f"sign in again: the last time must be within {FRESH_MS // 60_000} min",
        reason="SIGN_IN_TOO_OLD",
    )


def session_ended() -> Unauthenticated:
    """The one answer to whoever shows no living session."""
    return Unauthenticated("the session has ended: sign in again", reason="SESSION_ENDED")


def too_many_attempts(wait_ms: int) -> ResourceExhausted:
    """What whoever fails too often is told."""
    return ResourceExhausted(
        f"too many attempts: wait {-(-wait_ms // 1000)} s",
        reason="TOO_MANY_ATTEMPTS",
        metadata={"retry_after_ms": str(wait_ms)},
        retry_after_ms=wait_ms,
    )
