"""What a step that failed says about when it is tried again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from payments.payment import WrongState
from payments.processor import OutcomeUnknown
from payments.refund import WrongRefundState
from payments.steps import NotNow
from runtime.errors import HoldfastError
from runtime.log import get_logger

#: What failed waits this long, then twice as long, and so on.
RETRY_MS_MIN = 1_000
RETRY_MS_MAX = 300_000

logger = get_logger()


def again_ms(
    error: Exception, *, attempts: int, began_ms: int, failed: str, **what: str
) -> int | None:
    """When what failed, after so many attempts before, is tried again; None: somebody else was
    faster, and what is due then is due again. `failed` is what the log calls it.
    """
    if isinstance(error, WrongState | WrongRefundState):
        return None
    if isinstance(error, NotNow):
        return error.until_ms
    if isinstance(error, OutcomeUnknown | HoldfastError | TimeoutError):
        because = str(error) or type(error).__name__
        logger.warning(failed, **what, attempts=attempts + 1, error=because)
    else:
        logger.error(failed, **what, exc_info=error)
    return began_ms + min(RETRY_MS_MIN << min(attempts, 20), RETRY_MS_MAX)


async def postponed(
    error: Exception,
    postpone: Callable[[int], Coroutine[Any, Any, None]],
    *,
    attempts: int,
    began_ms: int,
    failed: str,
    kept: str,
    **what: str,
) -> None:
    """Lets what failed wait until `again_ms`. Where that fails, too (the log calls that `kept`), it
    is taken again when its lease is over.
    """
    until_ms = again_ms(error, attempts=attempts, began_ms=began_ms, failed=failed, **what)
    if until_ms is None:
        return
    try:
        await postpone(until_ms)
    except Exception:
        logger.exception(kept, **what)
