"""What a long-running supervisor does on the side: bounds its logs, renews certificates."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import structlog

logger = structlog.get_logger(__name__)

#: A log file that outgrows this is moved to `<name>.log.1`; two generations are kept in all.
LOG_BYTES_MAX = 64 * 1024 * 1024
LOG_PERIOD_S = 60.0
CERTIFICATES_PERIOD_S = 24 * 3600.0


def bound_logs(folder: Path, *, bytes_max: int = LOG_BYTES_MAX) -> int:
    """Copies and empties log files that have grown too large; returns how many.

    The processes keep appending to the same file. Lines written during the copy may be lost.
    """
    bounded = 0
    for path in folder.glob("*.log"):
        if path.stat().st_size > bytes_max:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            with path.open("r+b") as file:
                file.truncate(0)
            bounded += 1
    return bounded


async def every(period_s: float, action: Callable[[], object]) -> None:
    """Calls `action` in a thread every period, for ever; what it raises is logged."""
    while True:
        await asyncio.sleep(period_s)
        try:
            await asyncio.to_thread(action)
        except Exception:
            logger.exception("housekeeping_failed", action=getattr(action, "__name__", "?"))
