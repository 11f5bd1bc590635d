"""Regular work beside the RPCs: everything is projected again when the authorizer's store was
rebuilt, what is sealed moves to new keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc

from accounts.projection_store import PROJECTION_PAGE, ProjectionStore
from accounts.projector import Projector
from runtime.log import get_logger
from runtime.outbox import Outbox

#: How often to ask the authorizer for its epoch.
EPOCH_INTERVAL_S = 1.0
#: How often to look whether a key has been replaced.
KEY_INTERVAL_S = 60.0
#: How often to look whether the outbox has room again.
ROOM_INTERVAL_S = 0.05

logger = get_logger()


async def follow_keys(*rotations: Callable[[], Awaitable[int]]) -> None:
    """Brings everything that is sealed under the current keys, for ever; no failure ends it."""
    while True:
        for rotate in rotations:
            try:
                if moved := await rotate():
                    logger.info("sealed_again", rows=moved)
            except Exception:
                logger.exception("follow_keys_failed")
        await asyncio.sleep(KEY_INTERVAL_S)


async def follow_epochs(store: ProjectionStore, outbox: Outbox, projector: Projector) -> None:
    """Projects everything again on every new epoch of the authorizer; no failure ends it."""
    while True:
        try:
            await follow_epoch(store, outbox, projector)
        except grpc.aio.AioRpcError as error:
            logger.debug("epoch_unknown", because=f"{error.code().name}: {error.details()}")
        except Exception:
            logger.exception("follow_epochs_failed")
        await asyncio.sleep(EPOCH_INTERVAL_S)


async def follow_epoch(store: ProjectionStore, outbox: Outbox, projector: Projector) -> None:
    """One look at the epoch. What was begun before, also by a process that died, is ended.

    The outbox never holds much more than a page of it: a freeze does not wait for all the others.
    """
    epoch = await projector.epoch()
    if await store.begin(epoch):
        logger.warning("projecting_again", epoch=epoch)
    while await store.unfinished():
        if await outbox.pending() < PROJECTION_PAGE:
            await store.append_page()
            outbox.wake()
        else:
            await asyncio.sleep(ROOM_INTERVAL_S)
