"""What gateway does by the way: forgets addresses kept for nothing, prunes keys."""

from __future__ import annotations

import asyncio

from gateway.credential_store import FORGET_BATCH, CredentialStore
from gateway.token_keys import TokenKeys
from runtime.clock import Clock
from runtime.key_ring import RingError
from runtime.log import get_logger
from runtime.secrets import SecretError
from runtime.tasks import work_for_ever

FORGET_PERIOD_S = 600.0
PRUNE_PERIOD_S = 300.0

logger = get_logger()


async def prune_keys(keys: TokenKeys) -> None:
    """Removes token keys of which no token can be alive; for ever."""
    while True:
        try:
            keys.prune()
        except (RingError, SecretError, OSError) as error:
            logger.warning("token_keys_not_pruned", error=str(error))
        await asyncio.sleep(PRUNE_PERIOD_S)


async def forget_addresses(store: CredentialStore, clock: Clock) -> None:
    """Forgets addresses that were kept for nothing; for ever."""

    async def look() -> bool:
        return await store.forget_reservations(before_ms=clock.now_ms()) == FORGET_BATCH

    await work_for_ever(look, failed="addresses_not_forgotten", interval_s=FORGET_PERIOD_S)
