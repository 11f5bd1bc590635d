"""`holdfast keys prune`: removes versions of a key ring that nothing needs any more."""

from __future__ import annotations

import asyncpg

from accounts.settings import AccountsSettings
from gateway.settings import GatewaySettings
from runtime.cli.key_uses import Use, uses
from runtime.key_ring import KeyRing
from runtime.postgres import connect_pool
from runtime.settings import Settings


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
    return ring.prune(unused_ms=use.age_ms, needed=needed)


async def _needed(settings: Settings, use: Use) -> frozenset[str]:
    async with await connect_pool(settings, use.service, max_size=1) as pool:
        rows: list[asyncpg.Record] = await pool.fetch(use.sql)
    return frozenset(row[0] for row in rows)
