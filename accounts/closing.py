"""Closes accounts that are closing as soon as nothing is owed, held or unreleased.

The authorizer decides, in its script: nothing can come in between. It is told before PostgreSQL,
with the account locked. If we die in between, it is told the same again; until then both refuse
purchases for the same reason, and nothing but CLOSED can follow CLOSING.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc

from accounts.account import Account, AccountState, AccountTransition, move_account
from accounts.projector import Projector
from accounts.requests import BY_ITSELF
from accounts.store import Store
from runtime.clock import Clock
from runtime.log import get_logger

#: How often to look for accounts that are due.
INTERVAL_S = 1.0
#: Accounts that one look takes on.
BATCH = 100
#: Accounts are asked for again after a tenth of the time they have been closing, within these ms.
PAUSE_MS = (500, 600_000)
logger = get_logger()


class Closing:
    """Finishes what CloseAccount has begun."""

    def __init__(self, store: Store, projector: Projector, clock: Clock) -> None:
        self._store = store
        self._projector = projector
        self._clock = clock

    async def run(self) -> None:
        """Closes accounts for ever; no failure ends it."""
        while True:
            try:
                await self.close_due()
            except grpc.aio.AioRpcError as error:
                logger.debug("closing_waits", because=f"{error.code().name}: {error.details()}")
            except Exception:
                logger.exception("closing_failed")
            await asyncio.sleep(INTERVAL_S)

    async def close_due(self) -> int:
        """One look at the accounts that are due; returns how many are closed now."""
        due = await self._store.closing(now_ms=self._clock.now_ms(), limit=BATCH)
        return sum([await self._close(account_id) for account_id in due])

    async def _close(self, account_id: str) -> bool:
        now_ms = self._clock.now_ms()
        async with self._store.transaction(now_ms=now_ms) as transaction:
            account = await transaction.account(account_id)
            if account is None or account.state is not AccountState.CLOSING:
                return False
            closed = move_account(account, AccountTransition.FINISH, now_ms=now_ms)
            assert isinstance(closed, Account), "CLOSING leads to CLOSED"
            if not await self._projector.finish(closed):
                await transaction.postpone_closing(account_id, pause_ms=PAUSE_MS)
                return False
            transaction.caused_by(replace(BY_ITSELF, method="CloseAccount"))
            await transaction.update_account(closed)
        logger.info("account_closed", account_id=account_id)
        return True
