"""Scenarios of authorizing: many accounts, and one that everybody uses."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from holdfast.type.v1.money_pb2 import Money
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls, SpendLimit
from loadtest.drive import Run
from loadtest.mesh import LIMIT_MINOR, Mesh, open_mesh
from loadtest.messages import CURRENCY
from loadtest.outcome import Outcome
from loadtest.session import DEPTH, DEPTH_FEW, Purchase, Session, line, point, summary

#: Of ten purchases so many are declined for want of credit.
_DECLINED_OF_TEN = 3
_UNITS = (
    CalendarWindow.UNIT_DAY,
    CalendarWindow.UNIT_WEEK,
    CalendarWindow.UNIT_MONTH,
    CalendarWindow.UNIT_YEAR,
    CalendarWindow.UNIT_LIFETIME,
)
_COUNT_MAX = 1_000_000
_WORKERS = (1, 2, 4)


async def uniform(session: Session) -> None:
    """Many accounts alike: the most that is possible, and latency at shares of it."""
    options = session.options
    async with open_mesh(workers=options.workers) as mesh:
        cards = await opened(session, mesh, options.accounts)
        before = await mesh.script_use()
        found = summary(await session.maximum(mesh, cards, "uniform"))
        found["script_us"] = (await mesh.script_use()).since(before)
        few = await mesh.purchase(cards, depth=DEPTH_FEW, seconds=options.seconds)
        session.say(f"uniform, {DEPTH_FEW} in flight: {line(few)}")
        found["in_flight"] = {
            str(DEPTH): found["max_rate"],
            str(DEPTH_FEW): round(few.rate_per_s, 1),
        }
        found["at_rate"] = await sweep(session, mesh, cards, found["max_rate"])
        await session.check_books(mesh, "uniform")
    session.document["authorize"] = found


async def hot(session: Session) -> None:
    """Everybody uses one account."""
    async with open_mesh(workers=session.options.workers) as mesh:
        cards = await opened(session, mesh, 1)
        await _measure(session, mesh, cards, "hot_account")


async def declines(session: Session) -> None:
    """Of ten purchases seven are approved and three declined for want of credit."""
    async with open_mesh(workers=session.options.workers) as mesh:
        poor = session.options.accounts_few * _DECLINED_OF_TEN // 10
        rich = await mesh.open_accounts(session.options.accounts_few - poor)
        cards = [*rich, *await mesh.open_accounts(poor, limit_minor=0)]
        runs = await _measure(session, mesh, cards, "declines")
    declined = sum(run.counts[Outcome.DECLINED] for run in runs)
    share = 100 * declined / max(sum(run.decided for run in runs), 1)
    session.document["declines"]["declined_percent"] = round(share, 1)


async def windows(session: Session) -> None:
    """Every account has limits of amount and count per day, week, month, year and for ever."""
    async with open_mesh(workers=session.options.workers) as mesh:
        cards = await mesh.open_accounts(session.options.accounts_few, controls=all_windows())
        await _measure(session, mesh, cards, "windows")


async def json(session: Session) -> None:
    """JSON at the edge with an access token, instead of gRPC with a certificate."""
    async with open_mesh(workers=session.options.workers) as mesh:
        cards = await opened(session, mesh, session.options.accounts_few)
        await _measure(session, mesh, cards, "json_edge", purchase=Mesh.purchase_json)


async def workers(session: Session) -> None:
    """One, two and four authorizer processes."""
    found = {}
    for count in _WORKERS:
        async with open_mesh(workers=count) as mesh:
            cards = await opened(session, mesh, session.options.accounts_few)
            runs = await session.maximum(mesh, cards, f"{count} workers")
            found[str(count)] = summary(runs)
    session.document["workers"] = found


async def _measure(
    session: Session,
    mesh: Mesh,
    cards: Sequence[str],
    name: str,
    *,
    purchase: Purchase = Mesh.purchase,
) -> list[Run]:
    runs = await session.maximum(mesh, cards, name.replace("_", " "), purchase=purchase)
    session.document[name] = summary(runs)
    return runs


def all_windows() -> SpendControls:
    """Limits that nobody reaches, in every calendar window."""
    return SpendControls(
        limits=[
            SpendLimit(
                control_id=f"bench_{CalendarWindow.Unit.Name(unit).lower()}",
                amount=Money(currency_code=CURRENCY, amount_minor=LIMIT_MINOR),
                count=_COUNT_MAX,
                calendar=CalendarWindow(unit=unit),
            )
            for unit in _UNITS
        ]
    )


async def opened(session: Session, mesh: Mesh, count: int) -> list[str]:
    """Accounts with a card each, all settled."""
    began = time.monotonic()
    cards = await mesh.open_accounts(count)
    await mesh.settle()
    session.say(f"{count:,} accounts with cards opened in {time.monotonic() - began:.1f} s")
    return cards


async def sweep(
    session: Session, mesh: Mesh, cards: Sequence[str], max_rate: float
) -> list[dict[str, Any]]:
    """Open loop at shares of the maximum."""
    found = []
    for percent in session.options.shares_percent:
        rate = max(int(max_rate * percent / 100), 1)
        run = await mesh.purchase(cards, steps=((rate, session.options.sweep_seconds),))
        session.say(f"{percent} % of the maximum, {rate:,}/s offered: {line(run)}")
        found.append(point(rate, run))
    return found
