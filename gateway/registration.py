"""How users come to be: a credential here, a profile at accounts, delivered surely."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.addresses import EmailSet, SetEmail, set_email
from gateway.credential import Credential
from gateway.credential_store import CredentialStore, Transaction
from gateway.passwords import Passwords
from gateway.rings import Rings
from gateway.session_store import SessionStore
from runtime import ids
from runtime.clock import Clock
from runtime.errors import AlreadyExists, NotFound
from runtime.outbox import Message, Outbox, Row
from runtime.request_records import RequestKey

#: How long an answer waits until accounts has the profile; then it comes without.
PROFILE_WAIT_S = 2.0
TOPIC = "profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What accounts is told of a new user."""

    user_id: str
    #: The id of that request: delivering twice makes one user.
    request_id: str
    email: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """Who is registered, and as what."""

    email: str
    password: str
    name: str
    roles: tuple[str, ...] = ("cardholder",)
    company_id: str = ""
    merchant_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSignIn:
    """What accounts says of a person."""

    user_id: str
    #: Of the person.
    version: int
    allowed: bool
    forgotten: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMembership:
    """What accounts says of a user in a company."""

    user_id: str
    company_id: str
    #: Of the member.
    version: int
    manages: bool


class Registration:
    """Registers users and says what they may do."""

    def __init__(
        self,
        credentials: CredentialStore,
        sessions: SessionStore | None,
        passwords: Passwords,
        *,
        rings: Rings,
        outbox: Outbox | None,
        new_ids: ids.IdSource,
        clock: Clock,
    ) -> None:
        self._credentials = credentials
        self._sessions = sessions
        self._passwords = passwords
        self._rings = rings
        self._outbox = outbox
        self._ids = new_ids
        self._clock = clock

    async def register(self, key: RequestKey, user: NewUser) -> tuple[str, bool]:
        """The new user's id, and whether this very request had made it before."""
        password_hash = await self._passwords.hash(user.password)
        email_key, email_hash = self._rings.emails.mac(user.email.encode())
        user_id = self._ids.new(ids.USER, ids.partition_for_owner(email_hash.hex()))
        now_ms = self._clock.now_ms()
        credential = Credential(
            user_id=user_id,
            roles=user.roles,
            company_id=user.company_id,
            merchant_id=user.merchant_id,
            email_hash=email_hash,
            email_key=email_key,
            password_hash=password_hash,
            create_ms=now_ms,
            update_ms=now_ms,
        )
        profile = Profile(
            user_id=user_id, request_id=f"register-{user_id}", email=user.email, name=user.name
        )

        async def effect(transaction: Transaction) -> bytes:
            await self._add(transaction, credential, profile)
            return user_id.encode()

        response, stored = await self._credentials.run(key, effect, now_ms=now_ms)
        user_id = response.decode()
        if self._outbox is not None:
            await self._outbox.wait_delivered(user_id, timeout_s=PROFILE_WAIT_S)
        return user_id, stored

    async def register_identity(
        self, transaction: Transaction, *, email: str, name: str, now_ms: int
    ) -> Credential:
        """A new cardholder who signs in elsewhere, in a transaction that links who it is."""
        email_key, email_hash = self._rings.emails.mac(email.encode())
        user_id = self._ids.new(ids.USER, ids.partition_for_owner(email_hash.hex()))
        credential = Credential(
            user_id=user_id,
            roles=("cardholder",),
            email_hash=email_hash,
            email_key=email_key,
            create_ms=now_ms,
            update_ms=now_ms,
        )
        profile = Profile(user_id=user_id, request_id=f"register-{user_id}", email=email, name=name)
        await self._add(transaction, credential, profile)
        return credential

    async def _add(
        self, transaction: Transaction, credential: Credential, profile: Profile
    ) -> None:
        hashes = tuple(self._rings.emails.macs(profile.email.encode()).values())
        taken = await transaction.take_address(hashes, profile.user_id)
        if taken or not await transaction.insert(credential):
            raise AlreadyExists("the address is registered already", reason="EMAIL_TAKEN")
        await transaction.deliver(self._message(profile))

    async def set_access(
        self,
        key: RequestKey,
        user_id: str,
        *,
        roles: tuple[str, ...],
        company_id: str,
        merchant_id: str,
        disabled: bool,
    ) -> bool:
        """Replaces what a user may do and ends the user's sessions."""
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> bytes:
            credential = await transaction.find(user_id)
            if credential is None:
                raise NotFound(f"user {user_id} does not exist")
            await transaction.update(
                credential.with_access(
                    roles=roles,
                    company_id=company_id,
                    merchant_id=merchant_id,
                    disabled=disabled,
                    now_ms=now_ms,
                )
            )
            await transaction.end_sessions()
            return b""

        _, stored = await self._credentials.run(key, effect, now_ms=now_ms)
        if self._sessions is not None:
            await self._sessions.end_all(user_id)
        return stored

    async def set_sign_in(self, command: SetSignIn) -> int:
        """Takes over what accounts says of a person; returns the version of it that counts."""
        now_ms = self._clock.now_ms()
        async with self._credentials.transaction(now_ms=now_ms) as transaction:
            credential = await transaction.find(command.user_id)
            if credential is not None:
                changed = credential.with_bar(
                    barred=not command.allowed, person_version=command.version, now_ms=now_ms
                )
                if command.version < changed.person_version:
                    return changed.person_version
                if command.forgotten:
                    await transaction.forget(command.user_id)
                elif changed is not credential:
                    await transaction.bar(changed)
                await transaction.record(targets=(command.user_id,))
        # Also when it is repeated: whoever died behind the commit has ended nothing.
        if self._sessions is not None and not command.allowed:
            await self._sessions.end_all(command.user_id)
        return command.version

    async def set_email(self, command: SetEmail) -> EmailSet:
        """Takes over the address of somebody who signs in with one, unless it is another's."""
        return await set_email(self._credentials, self._rings, command, now_ms=self._clock.now_ms())

    async def set_membership(self, command: SetMembership) -> int:
        """Takes over what accounts says of a user in a company; returns the version that counts."""
        user_id, now_ms = command.user_id, self._clock.now_ms()
        async with self._credentials.transaction(now_ms=now_ms) as transaction:
            credential = await transaction.find(user_id)
            if credential is None:
                return command.version
            counts = await transaction.set_membership(
                user_id, command.company_id, version=command.version, manages=command.manages
            )
            if command.version < counts:
                return counts
            concerned = credential.manages(command.company_id)
            if concerned and credential.dismissed is command.manages:
                # Whoever signs in just now looks again, and is refused.
                await transaction.update(credential.touched(now_ms=now_ms))
            await transaction.record(targets=(user_id, command.company_id))
        # Also when it is repeated: whoever died behind the commit has ended nothing.
        if self._sessions is not None and concerned and not command.manages:
            await self._sessions.end_all(user_id)
        return counts

    def _message(self, profile: Profile) -> Message:
        content = json.dumps(
            {"request_id": profile.request_id, "email": profile.email, "name": profile.name}
        )
        sealed = self._rings.users.seal(content.encode(), context=profile_context(profile.user_id))
        return Message(topic=TOPIC, key=profile.user_id, payload=sealed)


def deliverer(
    rings: Rings, create: Callable[[Profile], Awaitable[None]]
) -> Callable[[Row], Awaitable[None]]:
    """Opens what waits in the outbox and hands it to `create`."""

    async def deliver(row: Row) -> None:
        content = json.loads(rings.users.open(row.payload, context=profile_context(row.key)))
        await create(Profile(user_id=row.key, **content))

    return deliver


def profile_context(user_id: str) -> bytes:
    """What a profile in the outbox is bound to."""
    return f"gateway.outbox.profile:{user_id}".encode()
