"""What gateway does by the way: forgets old answers, prunes keys that nothing needs."""

from __future__ import annotations

import asyncio

from gateway.credential_store import FORGET_BATCH, CredentialStore
from gateway.token_keys import TokenKeys
from runtime.clock import Clock
from runtime.key_ring import RingError
from runtime.log import get_logger
from runtime.secrets import SecretError

FORGET_PERIOD_S = 60.0
PRUNE_PERIOD_S = 300.0
_HOUR_MS = 3_600_000

logger = get_logger()


async def prune_keys(keys: TokenKeys) -> None:
    """Removes token keys of which no token can be alive; for ever."""
    while True:
        try:
            keys.prune()
        except (RingError, SecretError, OSError) as error:
            logger.warning("token_keys_not_pruned", error=str(error))
        await asyncio.sleep(PRUNE_PERIOD_S)


async def forget_requests(store: CredentialStore, clock: Clock, *, lifetime_h: int) -> None:
    """Forgets request ids that are too old to be repeated, addresses that were kept for nothing."""
    while True:
        try:
            now_ms = clock.now_ms()
            forgotten = FORGET_BATCH
            while forgotten == FORGET_BATCH:
                forgotten = await store.forget_requests(before_ms=now_ms - lifetime_h * _HOUR_MS)
            forgotten = FORGET_BATCH
            while forgotten == FORGET_BATCH:
                forgotten = await store.forget_reservations(before_ms=now_ms)
        except Exception:
            logger.exception("requests_not_forgotten")
        await asyncio.sleep(FORGET_PERIOD_S)
