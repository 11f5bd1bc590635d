"""Runs gateway: `python -m gateway`."""

from __future__ import annotations

import asyncpg
import httpx
import uvloop
from google.protobuf.descriptor_pb2 import MethodOptions

from gateway import endings, notices, scripts, upkeep
from gateway.access_tokens import AccessTokens
from gateway.cache_watch import CacheWatch
from gateway.credential_store import CredentialStore
from gateway.edge import add_access_log, add_edge_services, rate_limits
from gateway.junk_keys import JunkKeys
from gateway.oidc import Issuer
from gateway.oidc_provider import Provider
from gateway.oidc_service import OidcService
from gateway.oidc_sign_in import FlowStore, OidcSignIn
from gateway.password_reset import PasswordResets
from gateway.password_service import PasswordService
from gateway.passwords import Passwords
from gateway.profiles import Profiles
from gateway.registration import Registration, deliverer
from gateway.rings import Rings
from gateway.second_factor import SecondFactors
from gateway.second_factor_service import SecondFactorService
from gateway.service import JwksService
from gateway.session_check import SessionCheck
from gateway.session_service import SessionService
from gateway.session_store import SessionStore
from gateway.settings import GatewaySettings, OidcIssuer
from gateway.sign_in import SignIn
from gateway.telling import Telling
from gateway.token_keys import TokenKeys
from holdfast.gateway.v1 import (
    api_key_service_pb2,
    jwks_service_pb2,
    jwks_service_pb2_grpc,
    oidc_service_pb2,
    oidc_service_pb2_grpc,
    password_service_pb2,
    second_factor_service_pb2,
    second_factor_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    usage_service_pb2,
)
from holdfast.gateway.v1.password_service_pb2_grpc import add_PasswordServiceServicer_to_server
from runtime import server
from runtime.audit.writer import AuditLog, spool_of
from runtime.channel import unix_channel
from runtime.clock import Clock, SystemClock
from runtime.contract import rpcs
from runtime.ids import IdSource
from runtime.log import configure_logging
from runtime.outbox import Outbox
from runtime.pipe import Pipe
from runtime.postgres import connect_pool
from runtime.request_records import forget_for_ever
from runtime.secrets import secret_text, secrets_of
from runtime.tasks import beside
from runtime.wire import Wire, connect

SERVICE_NAMES = (
    jwks_service_pb2.DESCRIPTOR.services_by_name["JwksService"].full_name,
    session_service_pb2.DESCRIPTOR.services_by_name["SessionService"].full_name,
    password_service_pb2.DESCRIPTOR.services_by_name["PasswordService"].full_name,
    second_factor_service_pb2.DESCRIPTOR.services_by_name["SecondFactorService"].full_name,
    oidc_service_pb2.DESCRIPTOR.services_by_name["OidcService"].full_name,
    api_key_service_pb2.DESCRIPTOR.services_by_name["ApiKeyService"].full_name,
    usage_service_pb2.DESCRIPTOR.services_by_name["UsageService"].full_name,
)


def cache_pipe(settings: GatewaySettings) -> Pipe:
    """The connection to the cache Valkey. Gateway serves without it; what needs it is refused."""
    assert settings.cache_url is not None, "the supervisor sets HOLDFAST_CACHE_URL"
    url = settings.cache_url

    async def inspect(wire: Wire) -> None:
        del wire

    async def on_open() -> None:
        pass

    async def on_lost(because: str) -> None:
        del because

    return Pipe(
        lambda: connect(settings, url, server="valkey-cache", user="gateway"),
        inspect=inspect,
        on_open=on_open,
        on_lost=on_lost,
        queue_commands=settings.gateway_queue_commands,
        scripts=scripts.ALL,
        not_ready_reason="CACHE_UNAVAILABLE",
    )


def oidc_providers(settings: GatewaySettings, clock: Clock) -> dict[str, Provider]:
    """The issuers that are configured. Their secrets are read when they are needed."""
    client, secrets = httpx.AsyncClient(trust_env=False), secrets_of(settings)

    def provider(name: str, configured: OidcIssuer) -> Provider:
        issuer = Issuer(
            name=name,
            url=configured.url,
            client_id=configured.client_id,
            redirect_uris=configured.redirect_uris,
            registers=configured.registers,
        )

        def secret() -> str:
            known = secrets.stamp(f"oidc-{name}") is not None
            return secret_text(settings, f"oidc-{name}") if known else ""

        return Provider(issuer, client, clock, secret=secret)

    return {name: provider(name, one) for name, one in settings.oidc_issuers.items()}


def add_sessions(
    grpc: server.Server,
    credentials: CredentialStore,
    pipe: Pipe,
    *,
    keys: TokenKeys,
    rings: Rings,
    outbox: Outbox,
    settings: GatewaySettings,
    clock: Clock,
    junk: JunkKeys,
) -> SessionCheck:
    """Adds what signs users in, with all that it needs; returns what knows living sessions."""
    passwords, tokens = Passwords(), AccessTokens(keys, clock, settings)
    factors = SecondFactors(credentials, rings=rings, issuer=settings.trust_domain, clock=clock)
    sessions, new_ids = SessionStore(pipe), IdSource(clock)
    registration = Registration(
        credentials,
        sessions,
        passwords,
        rings=rings,
        outbox=outbox,
        new_ids=new_ids,
        clock=clock,
    )
    sign_in = SignIn(
        credentials,
        sessions,
        passwords,
        factors,
        rings=rings,
        tokens=tokens,
        new_ids=new_ids,
        clock=clock,
        junk=junk,
    )
    resets = PasswordResets(
        credentials, sessions, passwords, sign_in=sign_in, rings=rings, clock=clock
    )
    add_PasswordServiceServicer_to_server(PasswordService(resets, rings=rings), grpc.services)
    session_service_pb2_grpc.add_SessionServiceServicer_to_server(
        SessionService(registration, sign_in, sessions, rings=rings), grpc.services
    )
    second_factor_service_pb2_grpc.add_SecondFactorServiceServicer_to_server(
        SecondFactorService(factors, sign_in, sessions, rings=rings, tokens=tokens, clock=clock),
        grpc.services,
    )
    oidc_service_pb2_grpc.add_OidcServiceServicer_to_server(
        OidcService(
            OidcSignIn(
                oidc_providers(settings, clock),
                FlowStore(pipe, rings),
                credentials,
                registration=registration,
                sign_in=sign_in,
                rings=rings,
                clock=clock,
            ),
            sign_in,
            sessions,
        ),
        grpc.services,
    )
    reads = (
        rpc.path
        for rpc in rpcs()
        if rpc.method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    )
    return SessionCheck(sessions, clock, reads=reads)


def add_services(
    grpc: server.Server,
    pool: asyncpg.Pool,
    pipe: Pipe,
    *,
    keys: TokenKeys,
    rings: Rings,
    outbox: Outbox,
    settings: GatewaySettings,
    clock: Clock,
    junk: JunkKeys,
) -> None:
    """Adds all that gateway answers. `junk` counts refresh tokens that we never made."""
    jwks_service_pb2_grpc.add_JwksServiceServicer_to_server(JwksService(keys), grpc.services)
    sessions = add_sessions(
        grpc,
        CredentialStore(pool),
        pipe,
        keys=keys,
        rings=rings,
        outbox=outbox,
        settings=settings,
        clock=clock,
        junk=junk,
    )
    add_edge_services(
        grpc, pool, settings=settings, clock=clock, rings=rings, check_session=sessions.check
    )


async def serve(settings: GatewaySettings) -> None:
    """Serves until SIGTERM."""
    clock = SystemClock()
    keys = TokenKeys(settings, clock)
    keys.ensure()
    pipe = cache_pipe(settings)
    async with (
        await connect_pool(
            settings, "gateway", max_size=settings.gateway_postgres_connections
        ) as pool,
        unix_channel(settings.egress_socket("gateway")) as channel,
    ):
        audit = AuditLog(pool, secret_text(settings, "audit-seal"), spool_of(settings, "gateway"))
        # Asked by Envoy about every call of the edge: the server that takes least.
        grpc = server.Server(settings.socket, kind="native", audit=audit)
        rings = Rings.of(secrets_of(settings), clock)
        deliver = notices.deliverer(
            rings,
            CredentialStore(pool),
            clock,
            profiles=deliverer(rings, Profiles(channel).create),
            tell=Telling(channel).tell,
        )
        outbox = Outbox(pool, endings.deliverer(SessionStore(pipe).end_before, deliver))
        junk = JunkKeys(settings.limit_sign_in_per_minute)
        add_services(
            grpc,
            pool,
            pipe,
            keys=keys,
            rings=rings,
            outbox=outbox,
            settings=settings,
            clock=clock,
            junk=junk,
        )
        usage, refusals = add_access_log(grpc, pool, settings=settings, clock=clock)
        await pipe.start()
        limits = rate_limits(settings, clock, junk=junk)

        async def start() -> None:
            limits.start(
                settings.limits_socket_of(settings.instance, settings.slot),
                serving=lambda: grpc.serving,
            )
            await grpc.set_serving(True)

        async def stop() -> None:
            limits.stop()

        try:
            async with beside(
                audit.run(),
                outbox.run(),
                usage.run(),
                refusals.run(),
                CacheWatch(pipe).run(),
                upkeep.prune_keys(keys),
                upkeep.forget_addresses(CredentialStore(pool), clock),
                forget_for_ever(pool, clock, lifetime_h=settings.gateway_request_lifetime_h),
            ):
                await server.run(settings, grpc, SERVICE_NAMES, on_start=start, on_stop=stop)
        finally:
            # What they said at their end.
            await audit.close()
            await pipe.stop()


def main() -> None:
    """Entry point."""
    settings = GatewaySettings()
    configure_logging(instance=settings.instance, level=settings.log_level)
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
