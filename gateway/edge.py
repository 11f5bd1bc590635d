"""Wires what Envoy asks about callers (API keys, how many calls) and what it tells of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import asyncpg

from envoy_wire import access_log_pb2_grpc, external_auth_pb2_grpc
from gateway.access_log import AccessLog
from gateway.api_key_check import ApiKeyCheck
from gateway.api_key_service import ApiKeyService
from gateway.api_key_store import ApiKeyStore
from gateway.check_service import CheckService, CheckSession
from gateway.junk_keys import JunkKeys
from gateway.limit_connection import LimitConnection
from gateway.limiter import Limiter
from gateway.limits import Kind, Limit, Limits
from gateway.notices import Notices
from gateway.rate_limit_front import RateLimitFront, kinds_by_method
from gateway.rate_limit_message import Questions
from gateway.refusal_log import RefusalLog
from gateway.refusal_store import RefusalStore
from gateway.refusals import Refusals
from gateway.rings import Rings
from gateway.scripts import TAKE_REQUEST
from gateway.settings import GatewaySettings
from gateway.usage import Paths
from gateway.usage_log import UsageLog
from gateway.usage_service import UsageService
from gateway.usage_store import UsageStore
from holdfast.gateway.v1 import api_key_service_pb2_grpc, usage_service_pb2_grpc
from runtime.access import load_access
from runtime.clock import Clock
from runtime.contract import Binding, rpcs
from runtime.key_ring import key_ring
from runtime.refusal_files import RefusalFiles
from runtime.secrets import secrets_of
from runtime.server import Server


def limits_of(settings: GatewaySettings) -> Limits:
    """The limits that are configured, for the methods of the contract."""
    return Limits(
        caller=settings.limit_caller_per_minute,
        public=settings.limit_public_per_minute,
        sign_in=settings.limit_sign_in_per_minute,
        reveal=settings.limit_reveal_per_minute,
        refresh=settings.limit_refresh_per_minute,
        principals=settings.principal_limits,
        kinds=kinds_by_method(),
    )


def scopes_by_method() -> Mapping[str, Sequence[str]]:
    """What an API key needs, by path; no key may call what is not here."""
    return {path: one.scopes for path, one in load_access().policies.items() if one.scopes}


def add_edge_services(
    server: Server,
    pool: asyncpg.Pool,
    *,
    settings: GatewaySettings,
    clock: Clock,
    rings: Rings,
    check_session: CheckSession | None = None,
) -> None:
    """Adds ApiKeyService and what Envoy asks about callers."""
    ring = key_ring(secrets_of(settings), "gateway-api-keys", clock)
    store = ApiKeyStore(pool)
    needs = scopes_by_method()
    check = ApiKeyCheck(store, ring, clock, needs=needs)
    api_keys = ApiKeyService(
        store,
        ring,
        clock,
        scopes={scope for scopes in needs.values() for scope in scopes},
        notices=Notices(rings, clock),
        on_change=check.forget,
    )
    checks = CheckService(check, check_session=check_session)
    api_key_service_pb2_grpc.add_ApiKeyServiceServicer_to_server(api_keys, server.services)
    external_auth_pb2_grpc.add_AuthorizationServicer_to_server(checks, server.services)


def add_access_log(
    server: Server,
    pool: asyncpg.Pool,
    *,
    settings: GatewaySettings,
    clock: Clock,
) -> tuple[UsageLog, RefusalLog]:
    """Adds what Envoy tells its access log to, and who reads what was used; the other reads what
    Envoy tells in a file.
    """
    store, policies = UsageStore(pool), load_access().policies
    methods = list(rpcs())
    paths = Paths(
        (binding.verb, binding.template, rpc.path)
        for rpc in methods
        for binding in (*rpc.bindings, Binding(verb="", template="", body=""))
    )
    usage = UsageLog(store, paths, clock, retention_days=settings.gateway_usage_retention_days)
    changing = (rpc.path for rpc in methods if rpc.changes)
    mutations = {path: policies[path] for path in changing if path in policies}
    refusals = RefusalLog(
        Refusals(paths, mutations), RefusalStore(pool), RefusalFiles(settings.home), clock
    )
    access_log_pb2_grpc.add_AccessLogServiceServicer_to_server(
        AccessLog(usage.take, stopping=lambda: server.stopping), server.services
    )
    usage_service_pb2_grpc.add_UsageServiceServicer_to_server(
        UsageService(store, ApiKeyStore(pool).merchant_of), server.services
    )
    return usage, refusals


def rate_limits(settings: GatewaySettings, clock: Clock, *, junk: JunkKeys) -> RateLimitFront:
    """What Envoy asks about the number of calls. `junk`: refresh tokens that we never made."""
    assert settings.cache_url is not None, "the supervisor sets HOLDFAST_CACHE_URL"
    connection = LimitConnection(settings, settings.cache_url, (TAKE_REQUEST,))
    return RateLimitFront(
        Questions(limits_of(settings)),
        Limiter(connection, clock),
        shut=partial(shut_by_junk, junk, settings.limit_sign_in_per_minute, clock),
    )


def shut_by_junk(
    junk: JunkKeys, per_minute: int, clock: Clock, limit: Limit
) -> tuple[Limit, int] | None:
    """Of refresh tokens: who has shown too many that we never made waits with any."""
    if limit.kind is not Kind.REFRESH or not per_minute:
        return None
    wait_ms = junk.wait_ms(limit.whose, now_ms=clock.now_ms())
    shut = Limit(kind=Kind.JUNK_TOKEN, whose=limit.whose, per_minute=per_minute)
    return (shut, wait_ms) if wait_ms else None
