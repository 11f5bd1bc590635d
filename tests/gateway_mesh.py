"""SessionService as its callers meet it: real gRPC, PostgreSQL and Valkey; accounts is a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import argon2
import asyncpg
import grpc
import jwt

from gateway import endings, notices, scripts
from gateway.access_tokens import AccessTokens
from gateway.credential_store import CredentialStore
from gateway.junk_keys import JunkKeys
from gateway.oidc_provider import Provider
from gateway.oidc_service import OidcService
from gateway.oidc_sign_in import FlowStore, OidcSignIn
from gateway.password_reset import PasswordResets
from gateway.password_service import PasswordService
from gateway.passwords import Passwords
from gateway.registration import Profile, Registration, deliverer
from gateway.rings import Rings
from gateway.second_factor import SecondFactors
from gateway.second_factor_service import SecondFactorService
from gateway.session_check import SessionCheck
from gateway.session_service import SessionService
from gateway.session_store import SessionStore
from gateway.sign_in import SignIn
from gateway.token_keys import TokenKeys
from holdfast.gateway.v1 import session_pb2
from holdfast.gateway.v1 import session_service_pb2 as pb
from holdfast.gateway.v1.oidc_service_pb2_grpc import (
    OidcServiceStub,
    add_OidcServiceServicer_to_server,
)
from holdfast.gateway.v1.password_service_pb2_grpc import (
    PasswordServiceStub,
    add_PasswordServiceServicer_to_server,
)
from holdfast.gateway.v1.second_factor_service_pb2_grpc import (
    SecondFactorServiceStub,
    add_SecondFactorServiceServicer_to_server,
)
from holdfast.gateway.v1.session_service_pb2_grpc import (
    SessionServiceStub,
    add_SessionServiceServicer_to_server,
)
from runtime.audit.spool import Spool
from runtime.audit.writer import AuditLog
from runtime.channel import unix_channel
from runtime.clock import ManualClock
from runtime.ids import IdSource
from runtime.outbox import DeliveryFailed, Outbox
from runtime.pipe import Pipe
from runtime.postgres import connect_pool
from runtime.secrets import secrets_of
from runtime.server import Server
from runtime.settings import Settings
from runtime.wire import connect
from tests.accounts_mesh import SEAL_KEY, call
from tests.databases import Database

EMAIL = "ada@example.com"
PASSWORD = "correct horse battery"
ANONYMOUS = ("x-auth-subject", "anonymous")
ADMIN = ("x-auth-subject", "operator")
ADDRESS = "203.0.113.7"
UNKNOWN_USER = "usr_0a" + "9" * 32
COMPANY = "co_0a" + "1" * 32
#: As cheap as it gets: nobody guesses the passwords of tests.
CHEAP = argon2.Parameters(
    type=argon2.Type.ID,
    version=19,
    salt_len=16,
    hash_len=32,
    time_cost=1,
    memory_cost=8,
    parallelism=1,
)


class FakeAccounts:
    """Keeps the profiles that it is told of. `refusing`: it is down."""

    def __init__(self) -> None:
        self.profiles: list[Profile] = []
        self.refusing = False

    async def create(self, profile: Profile) -> None:
        if self.refusing:
            raise DeliveryFailed("accounts is down")
        self.profiles.append(profile)


class FakeNotify:
    """Keeps what users are told. `refusing`: it is down."""

    def __init__(self) -> None:
        self.told: list[notices.Notice] = []
        self.refusing = False

    async def tell(self, notice: notices.Notice) -> None:
        if self.refusing:
            raise DeliveryFailed("notify is down")
        if notice not in self.told:
            self.told.append(notice)


@dataclass
class GatewayMesh:
    """A running SessionService, its stub, and shortcuts."""

    stub: SessionServiceStub
    passwords: PasswordServiceStub
    notify: FakeNotify
    factors: SecondFactorServiceStub
    pool: asyncpg.Pool
    clock: ManualClock
    accounts: FakeAccounts
    outbox: Outbox
    sessions: SessionStore
    check: SessionCheck
    keys: TokenKeys
    rings: Rings
    #: Refresh tokens that we never made, by address.
    junk: JunkKeys
    registration: Registration
    #: Issuers of third-party sign-in, by name: none, until a test adds one.
    providers: dict[str, Provider]
    oidc: OidcServiceStub
    channel: grpc.aio.Channel
    _numbers: list[int] = field(default_factory=lambda: [0])

    def request_id(self) -> str:
        self._numbers[0] += 1
        return f"test-{self._numbers[0]}"

    async def register(self, email: str = EMAIL, password: str = PASSWORD) -> str:
        request = pb.RegisterRequest(
            request_id=self.request_id(), email=email, password=password, name="Ada"
        )
        answer = await call(self.stub.Register, request, principal=ANONYMOUS)
        user_id: str = answer.user_id
        return user_id

    async def login(
        self,
        email: str = EMAIL,
        password: str = PASSWORD,
        *,
        request_id: str = "",
        code: str = "",
    ) -> pb.LoginResponse:
        request = pb.LoginRequest(
            request_id=request_id or self.request_id(), email=email, password=password, code=code
        )
        answer: pb.LoginResponse = await call(
            self.stub.Login, request, principal=ANONYMOUS, metadata=_from(ADDRESS)
        )
        return answer

    async def refresh(self, token: str, *, request_id: str = "") -> pb.RefreshResponse:
        request = pb.RefreshRequest(request_id=request_id or self.request_id(), refresh_token=token)
        answer: pb.RefreshResponse = await call(self.stub.Refresh, request, principal=ANONYMOUS)
        return answer

    def claims(self, access_token: str) -> dict[str, Any]:
        """What an access token says, checked as Envoy checks it."""
        kid = jwt.get_unverified_header(access_token)["kid"]
        (key,) = [one for one in self.keys.read() if one.kid == kid]
        checks = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        found: dict[str, Any] = jwt.decode(
            access_token,
            key.private_key.public_key(),
            algorithms=["ES256"],
            audience="holdfast-edge",
            options=checks,  # type: ignore[arg-type]  # its type is private
        )
        return found


def _from(address: str) -> tuple[tuple[str, str], ...]:
    """What Envoy says, beside what a caller claims."""
    return (("x-auth-address", address), ("x-forwarded-for", "10.9.9.9"))


def whose(session: session_pb2.Session) -> dict[str, Any]:
    """Options of a call that a session makes."""
    return {
        "principal": ("x-auth-subject", session.user_id),
        "metadata": (("x-auth-session", session.id),),
    }


async def _nothing(*_: Any) -> None:
    pass


@asynccontextmanager
async def valkey_pipe(settings: Settings) -> AsyncIterator[Pipe]:
    """The gateway's connection to the second Valkey."""
    opened = asyncio.Event()

    async def on_open() -> None:
        opened.set()

    pipe = Pipe(
        lambda: connect(settings, settings.cache_url or "", server="valkey-cache", user="gateway"),
        inspect=_nothing,
        on_open=on_open,
        on_lost=_nothing,
        queue_commands=4096,
        scripts=scripts.ALL,
        not_ready_reason="GATEWAY_NOT_READY",
    )
    await pipe.start()
    await opened.wait()
    yield pipe
    await pipe.stop()


@asynccontextmanager
async def gateway_mesh(database: Database, folder: Path) -> AsyncIterator[GatewayMesh]:
    """Starts the service on a clean database and an empty Valkey."""
    clock, accounts, passwords = ManualClock(), FakeAccounts(), Passwords(CHEAP)
    ids = IdSource(clock)
    settings = Settings(home=folder)
    secrets = secrets_of(settings)
    rings, keys = Rings.of(secrets, clock), TokenKeys(settings, clock)
    keys.ensure()
    socket = folder / "gateway.a.sock"
    async with (
        await connect_pool(database.settings, "gateway") as pool,
        valkey_pipe(database.settings) as pipe,
        unix_channel(socket) as channel,
    ):
        server = Server(
            socket, kind="native", audit=AuditLog(pool, SEAL_KEY, Spool(folder / "audit"))
        )
        credentials, sessions = CredentialStore(pool), SessionStore(pipe)
        notify = FakeNotify()
        deliver = notices.deliverer(
            rings,
            credentials,
            clock,
            profiles=deliverer(rings, accounts.create),
            tell=notify.tell,
        )

        async def end(ending: endings.Ending) -> None:
            await sessions.end_before(ending)

        outbox = Outbox(pool, endings.deliverer(end, deliver))
        tokens = AccessTokens(keys, clock, database.settings)
        factors = SecondFactors(credentials, rings=rings, issuer="holdfast.local", clock=clock)
        junk = JunkKeys()
        sign_in = SignIn(
            credentials,
            sessions,
            passwords,
            factors,
            rings=rings,
            tokens=tokens,
            new_ids=ids,
            clock=clock,
            junk=junk,
        )
        registration = Registration(
            credentials,
            sessions,
            passwords,
            rings=rings,
            outbox=outbox,
            new_ids=ids,
            clock=clock,
        )
        service = SessionService(registration, sign_in, sessions, rings=rings)
        add_SessionServiceServicer_to_server(service, server.services)
        resets = PasswordResets(
            credentials, sessions, passwords, sign_in=sign_in, rings=rings, clock=clock
        )
        add_PasswordServiceServicer_to_server(PasswordService(resets, rings=rings), server.services)
        add_SecondFactorServiceServicer_to_server(
            SecondFactorService(
                factors, sign_in, sessions, rings=rings, tokens=tokens, clock=clock
            ),
            server.services,
        )
        providers: dict[str, Provider] = {}
        oidc = OidcSignIn(
            providers,
            FlowStore(pipe, rings),
            credentials,
            registration=registration,
            sign_in=sign_in,
            rings=rings,
            clock=clock,
        )
        add_OidcServiceServicer_to_server(OidcService(oidc, sign_in, sessions), server.services)
        await server.start([])
        relay = asyncio.create_task(outbox.run())
        try:
            yield GatewayMesh(
                stub=SessionServiceStub(channel),
                passwords=PasswordServiceStub(channel),
                notify=notify,
                factors=SecondFactorServiceStub(channel),
                pool=pool,
                clock=clock,
                accounts=accounts,
                outbox=outbox,
                sessions=sessions,
                check=SessionCheck(sessions, clock),
                keys=keys,
                rings=rings,
                junk=junk,
                registration=registration,
                providers=providers,
                oidc=OidcServiceStub(channel),
                channel=channel,
            )
        finally:
            relay.cancel()
            await asyncio.gather(relay, return_exceptions=True)
            await server.grpc_server.stop(0)
            passwords.close()
