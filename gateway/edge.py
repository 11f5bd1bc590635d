"""Wires what the edge asks about callers: API keys, and how often they call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from envoy_wire import external_auth_pb2_grpc
from gateway.api_key_check import ApiKeyCheck
from gateway.api_key_service import ApiKeyService
from gateway.api_key_store import ApiKeyStore
from gateway.check_service import CheckService, CheckSession
from gateway.limit_connection import LimitConnection
from gateway.limiter import Limiter
from gateway.limits import Limits
from gateway.rate_limit_front import RateLimitFront, kinds_by_method
from gateway.rate_limit_message import Questions
from gateway.scripts import TAKE_REQUEST
from gateway.settings import GatewaySettings
from holdfast.gateway.v1 import api_key_service_pb2_grpc
from runtime.access import load_access
from runtime.clock import Clock
from runtime.key_ring import key_ring
from runtime.secrets import secrets_of
from runtime.server import Server


def limits_of(settings: GatewaySettings) -> Limits:
    """The limits that are configured, for the methods of the contract."""
    return Limits(
        caller=settings.limit_caller_per_minute,
        public=settings.limit_public_per_minute,
        sign_in=settings.limit_sign_in_per_minute,
        reveal=settings.limit_reveal_per_minute,
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
        on_change=check.forget,
    )
    checks = CheckService(check, check_session=check_session)
    api_key_service_pb2_grpc.add_ApiKeyServiceServicer_to_server(api_keys, server.services)
    external_auth_pb2_grpc.add_AuthorizationServicer_to_server(checks, server.services)


def rate_limits(settings: GatewaySettings, clock: Clock) -> RateLimitFront:
    """What Envoy asks about the number of calls."""
    assert settings.cache_url is not None, "the supervisor sets HOLDFAST_CACHE_URL"
    connection = LimitConnection(settings, settings.cache_url, (TAKE_REQUEST,))
    return RateLimitFront(Questions(limits_of(settings)), Limiter(connection, clock))
