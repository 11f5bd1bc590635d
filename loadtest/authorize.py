"""Scenarios of authorizing: many accounts, and one that everybody uses."""

from __future__ import annotations

import time
from typing import Any

from loadtest.mesh import Mesh, open_mesh
from loadtest.session import DEPTH, DEPTH_FEW, SHARES_PERCENT, Session, line, point, summary


async def uniform(session: Session) -> None:
    """Many accounts alike: the most that is possible, and latency at shares of it."""
    options = session.options
    async with open_mesh(workers=options.workers) as mesh:
        cards = await opened(session, mesh, options.accounts)
        runs = await session.maximum(mesh, cards, "uniform")
        found = summary(runs)
        few = await mesh.purchase(cards, depth=DEPTH_FEW, seconds=options.seconds)
        session.say(f"uniform, {DEPTH_FEW} in flight: {line(few)}")
        found["in_flight"] = {str(DEPTH): found["max_rate"], str(DEPTH_FEW): few.rate_per_s}
        found["at_rate"] = await sweep(session, mesh, cards, found["max_rate"])
        await session.check_books(mesh, "uniform")
    session.document["authorize"] = found


async def hot(session: Session) -> None:
    """Everybody uses one account."""
    async with open_mesh(workers=session.options.workers) as mesh:
        cards = await opened(session, mesh, 1)
        found = summary(await session.maximum(mesh, cards, "hot account"))
    session.document["hot_account"] = found


async def opened(session: Session, mesh: Mesh, count: int) -> list[str]:
    """Accounts with a card each, all settled."""
    began = time.monotonic()
    cards = await mesh.open_accounts(count)
    await mesh.settle()
    session.say(f"{count:,} accounts with cards opened in {time.monotonic() - began:.1f} s")
    return cards


async def sweep(
    session: Session, mesh: Mesh, cards: list[str], max_rate: float
) -> list[dict[str, Any]]:
    """Open loop at shares of the maximum."""
    found = []
    for percent in SHARES_PERCENT:
        rate = max(int(max_rate * percent / 100), 1)
        await mesh.settle()
        run = await mesh.purchase(cards, rate_per_s=rate, seconds=session.options.seconds)
        session.say(f"{percent} % of the maximum, {rate:,}/s offered: {line(run)}")
        found.append(point(rate, run))
    return found
