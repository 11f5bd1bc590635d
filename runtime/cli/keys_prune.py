"""`holdfast keys prune`: removes versions of a key ring that nothing needs any more."""

from __future__ import annotations

import asyncpg

from accounts.settings import AccountsSettings
from gateway.settings import GatewaySettings
from runtime.cli.key_uses import AGE_MS, Use, uses
from runtime.key_ring import KeyRing
from runtime.postgres import connect_pool
from runtime.settings import Settings

_OLDEST_REQUEST_MS = (
    "SELECT (extract(epoch FROM now() - min(create_time)) * 1000)::bigint FROM request_record"
)


def prunable(settings: Settings) -> dict[str, Use]:
    """The rings that may be pruned, by name."""
    home = settings.home
    return uses(
        accounts_request_h=AccountsSettings(home=home).accounts_request_lifetime_h,
        gateway_request_h=GatewaySettings(home=home).gateway_request_lifetime_h,
    )


async def prune(settings: Settings, ring: KeyRing, use: Use) -> tuple[str, ...]:
    """Removes what nothing needs of a ring; returns the ids. PostgreSQL must run."""
    needed = await _needed(settings, use) if use.sql else frozenset[str]()
    # The mesh may remember requests for longer than the environment of this command says.
    requests_ms = await _requests_age_ms(settings, use.requests_of) if use.requests_of else 0
    return ring.prune(unused_ms=max(use.age_ms, requests_ms), needed=needed)


async def _requests_age_ms(settings: Settings, service: str) -> int:
    """How long ago the oldest request was made that a service remembers, and a little more."""
    async with await connect_pool(settings, service, max_size=1) as pool:
        found: int | None = await pool.fetchval(_OLDEST_REQUEST_MS)
    return 0 if found is None else found + AGE_MS


async def _needed(settings: Settings, use: Use) -> frozenset[str]:
    async with await connect_pool(settings, use.service, max_size=1) as pool:
        rows: list[asyncpg.Record] = await pool.fetch(use.sql)
    return frozenset(row[0] for row in rows)
