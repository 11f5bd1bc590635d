"""Third-party sign-in, from the first step to a session."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from google.protobuf.message import Message

from gateway.credential import Credential, normalized_email
from gateway.credential_store import CredentialStore
from gateway.identity_store import Linked
from gateway.oidc import (
    Flow,
    Identity,
    Issuer,
    authorization_url,
    is_flow,
    new_flow,
    new_flow_token,
    state_of,
)
from gateway.oidc_provider import Provider
from gateway.registration import Registration
from gateway.rings import Rings
from gateway.session_message import session_message
from gateway.sign_in import Begun, Client, SignIn, wrong_credentials
from holdfast.gateway.v1.oidc_service_pb2 import (
    CompleteOidcSignInResponse,
    LinkOidcIdentityResponse,
)
from runtime.audit.log import REPLAYED_REASON
from runtime.clock import Clock, datetime_of
from runtime.errors import (
    AlreadyExists,
    FailedPrecondition,
    HoldfastError,
    NotFound,
    Unauthenticated,
)
from runtime.log import get_logger
from runtime.pipe import Pipe
from runtime.postgres import refusing_when_down

#: How long a user may take at the issuer.
FLOW_MS = 600_000
#: How long a CompleteOidcSignIn whose answer was lost may be repeated.
REPEAT_MS = 60_000
#: What the audit log says of a sign-in that has made a user.
REGISTERED_REASON = "REGISTERED"

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a client shows that comes back from an issuer."""

    flow_token: str
    state: str
    authorization_code: str


class FlowStore:
    """Sign-ins under way, in the cache Valkey, sealed. Whoever takes one has it alone."""

    def __init__(self, pipe: Pipe, rings: Rings) -> None:
        self._pipe = pipe
        self._rings = rings

    async def put(self, state: str, flow: Flow, *, life_ms: int) -> None:
        """Keeps a flow."""
        sealed = self._rings.flows.seal(flow.serialized(), context=state.encode())
        await self._pipe.command("SET", f"oidc:{state}", sealed.hex(), "PX", str(life_ms))

    async def take(self, state: str) -> Flow | None:
        """Removes a flow and returns it."""
        sealed = await self._pipe.command("GETDEL", f"oidc:{state}")
        if not sealed:
            return None
        return Flow.parse(self._rings.flows.open(bytes.fromhex(sealed), context=state.encode()))


class OidcSignIn:
    """Sign-ins by what issuers say. `providers` by name."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        flows: FlowStore,
        credentials: CredentialStore,
        *,
        registration: Registration,
        sign_in: SignIn,
        rings: Rings,
        clock: Clock,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._providers = providers
        self._flows = flows
        self._credentials = credentials
        self._registration = registration
        self._sign_in = sign_in
        self._rings = rings
        self._clock = clock
        self._random_bytes = random_bytes

    def issuer(self, name: str) -> Issuer:
        """An issuer by its name."""
        return self._provider(name).issuer

    async def begin(self, name: str, redirect_uri: str) -> tuple[str, str]:
        """Where the user is sent, and the flow token."""
        provider = self._provider(name)
        endpoint = await provider.authorization_endpoint()
        token = new_flow_token(self._random_bytes)
        flow = new_flow(provider.issuer, redirect_uri, self._random_bytes)
        state = state_of(token)
        await self._flows.put(state, flow, life_ms=FLOW_MS)
        return authorization_url(endpoint, provider.issuer, flow, state), token

    async def complete(
        self, shown: Shown, *, request_id: str, code: str, client: Client
    ) -> tuple[Begun, Issuer, bool]:
        """A session of the user whom the issuer names; whether that user is new."""
        flow, identity = await self._named(shown)
        if flow.request_id not in {"", request_id}:
            raise flow_ended()
        issuer = self._provider(flow.issuer).issuer
        try:
            credential, registered = await self._user(issuer, identity)
            mfa_ms = await self._admitted(credential, code=code, client=client)
            begun = await self._sign_in.begin(
                credential,
                request_id=request_id,
                client=client,
                mfa_ms=mfa_ms,
                answer=lambda session: CompleteOidcSignInResponse(
                    session=session_message(session), issuer=issuer.name, registered=registered
                ),
            )
        except HoldfastError:
            # The issuer has done its part. Whoever needs a code, or must sign in otherwise and
            # link the identity, shows the same once more.
            await self._flows.put(shown.state, flow, life_ms=FLOW_MS)
            raise
        done = replace(flow, request_id=request_id)
        await self._flows.put(shown.state, done, life_ms=REPEAT_MS)
        return begun, issuer, registered

    async def _admitted(self, credential: Credential, *, code: str, client: Client) -> int:
        """When a second factor was shown; attempts count as those of Login do."""
        if not credential.may_sign_in:
            raise wrong_credentials()
        attempts = f"oidc:{credential.user_id}"
        await self._sign_in.admit(attempts, client)
        mfa_ms = await self._sign_in.second_factor(credential.user_id, code)
        await self._sign_in.forgive(attempts, client)
        return mfa_ms

    async def link(self, shown: Shown, proved: Credential) -> Issuer:
        """Links whom the issuer names to a user who has just proved who it is."""
        user_id = proved.user_id
        flow, identity = await self._named(shown)
        if flow.request_id:
            raise flow_ended()
        issuer = self._provider(flow.issuer).issuer
        now_ms = self._clock.now_ms()
        async with self._credentials.transaction(now_ms=now_ms) as transaction:
            await transaction.lock(proved)
            found = await transaction.identities.find(self._hashes(issuer, identity))
            if found == user_id:
                await transaction.record(targets=(user_id,), reason=REPLAYED_REASON)
                return issuer
            linked = found is None and await transaction.identities.link(
                issuer.url, self._hash(issuer, identity), user_id, datetime_of(now_ms)
            )
            if not linked:
                raise AlreadyExists(
                    "the identity is somebody else's, or you have another one of this issuer",
                    reason="IDENTITY_TAKEN",
                )
            linked_as = LinkOidcIdentityResponse(user_id=user_id, issuer=issuer.name)
            await transaction.record(after=linked_as)
        return issuer

    async def of_user(self, user_id: str) -> list[Linked]:
        """What a user can sign in by."""
        with refusing_when_down():
            return await self._credentials.identities.of_user(user_id)

    def name_of(self, url: str) -> str:
        """The name of an issuer; its URL if it is not configured any more."""
        found = (one.issuer for one in self._providers.values() if one.issuer.url == url)
        return next((one.name for one in found), url)

    async def unlink(self, proved: Credential, name: str, *, but: str, after: Message) -> None:
        """Unlinks a user's identity of an issuer, says so in the audit log, and has all sessions
        ended `but` one.
        """
        provider, now_ms = self._providers.get(name), self._clock.now_ms()
        url = provider.issuer.url if provider else name
        async with self._credentials.transaction(now_ms=now_ms) as transaction:
            credential = await transaction.lock(proved)
            linked = {one.issuer for one in await transaction.identities.of_user(proved.user_id)}
            if url not in linked:
                await transaction.record(targets=(proved.user_id,), reason=REPLAYED_REASON)
                return
            if linked == {url} and credential.password_hash is None:
                raise FailedPrecondition(
                    "this is the only way in: without a password, link another identity first",
                    reason="LAST_IDENTITY",
                )
            await transaction.identities.unlink(proved.user_id, url)
            await transaction.record(after=after)
            # A sign-in that is under way by this identity looks again, and ends.
            await transaction.update(credential.touched(now_ms=now_ms))
            await transaction.end_sessions(but=but)

    async def _named(self, shown: Shown) -> tuple[Flow, Identity]:
        """The flow, and whom its issuer names. It can be shown once; a code works once, too."""
        flow = await self._flows.take(shown.state) if _matches(shown) else None
        if flow is None:
            raise flow_ended()
        if flow.identity is not None:
            return flow, flow.identity
        identity = await self._provider(flow.issuer).identity(shown.authorization_code, flow)
        return replace(flow, identity=identity), identity

    async def _user(self, issuer: Issuer, identity: Identity) -> tuple[Credential, bool]:
        """The user of an identity, and whether it is a new one."""
        now_ms = self._clock.now_ms()
        async with self._credentials.transaction(now_ms=now_ms) as transaction:
            user_id = await transaction.identities.find(self._hashes(issuer, identity))
            if user_id is not None:
                found = await transaction.find(user_id)
                assert found is not None, "an identity refers to its user"
                # Locked now; it may have been unlinked while another held the lock.
                if await transaction.identities.find(self._hashes(issuer, identity)) != user_id:
                    raise wrong_credentials()
                return found, False
            if not issuer.registers:
                raise FailedPrecondition(
                    "nobody here has this identity: sign in otherwise and link it",
                    reason="IDENTITY_UNKNOWN",
                )
            email = normalized_email(identity.email)
            if not email:
                raise FailedPrecondition(
                    "the issuer has verified no address", reason="EMAIL_UNVERIFIED"
                )
            credential = await self._registration.register_identity(
                transaction, email=email, name=identity.name or email, now_ms=now_ms
            )
            linked = await transaction.identities.link(
                issuer.url,
                self._hash(issuer, identity),
                credential.user_id,
                datetime_of(now_ms),
            )
            if not linked:  # by another call, a moment ago
                raise AlreadyExists("the identity was just linked", reason="IDENTITY_TAKEN")
            # The sign-in goes on, and may still be refused; the user is there from now on.
            await transaction.record(reason=REGISTERED_REASON, goes_on=True)
        logger.info("oidc_registered", issuer=issuer.name, user_id=credential.user_id)
        return credential, True

    def _provider(self, name: str) -> Provider:
        found = self._providers.get(name)
        if found is None:
            raise NotFound("no such issuer", reason="ISSUER_UNKNOWN")
        return found

    def _hash(self, issuer: Issuer, identity: Identity) -> tuple[str, bytes]:
        return self._rings.identities.mac(_subject(issuer, identity))

    def _hashes(self, issuer: Issuer, identity: Identity) -> list[bytes]:
        return list(self._rings.identities.macs(_subject(issuer, identity)).values())


def flow_ended() -> Unauthenticated:
    """Also of flows that there never were, and of those of others."""
    return Unauthenticated(
        "the sign-in has ended, or is another one's: begin again", reason="FLOW_ENDED"
    )


def _matches(shown: Shown) -> bool:
    return is_flow(shown.flow_token, shown.state)


def _subject(issuer: Issuer, identity: Identity) -> bytes:
    return f"{issuer.url}\n{identity.subject}".encode()
