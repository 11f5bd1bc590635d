"""Scenario: three times the maximum for half a minute, then half of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from loadtest.authorize import opened
from loadtest.drive import DECIDED, Run
from loadtest.mesh import open_mesh
from loadtest.outcome import Outcome
from loadtest.percentiles import Latency
from loadtest.session import DEPTH, Session

_TIMES = 3
_AFTER_SHARE_PERCENT = 50
_AFTER_S = 6
#: A decision slower than this is not good service.
GOOD_S = 0.1
_WINDOW_S = 0.25


async def overload(session: Session) -> None:
    """Asks whether too much is refused quickly, the rest served well, and nothing lost."""
    options = session.options
    async with open_mesh(workers=options.workers) as mesh:
        cards = await opened(session, mesh, options.accounts_few)
        await mesh.purchase(cards, depth=DEPTH, seconds=options.warmup_s)
        known = await mesh.purchase(cards, depth=DEPTH, seconds=options.seconds)
        offered = int(known.rate_per_s * _TIMES)
        after = int(known.rate_per_s * _AFTER_SHARE_PERCENT / 100)
        run = await mesh.purchase(cards, steps=((offered, options.overload_s), (after, _AFTER_S)))
        found = {"offered": offered, "after": after, **_judge(run, until_s=options.overload_s)}
        session.say(
            f"overload, {offered:,}/s offered for {options.overload_s} s:"
            f" {found['accepted_rate']:,.0f}/s accepted with p99 {found['accepted']['p99_ms']:.0f}"
            f" ms, {found['shed']:,} shed, {found['other_errors']:,} other errors,"
            f" well again after {found['recovered_s']:.1f} s"
        )
        await session.check_books(mesh, "overload")
    session.document["overload"] = found


def _judge(run: Run, *, until_s: float) -> dict[str, Any]:
    """What happened to the calls of the overload, and how long its end was felt."""
    calls = list(zip(run.calls.started, run.calls.seconds, run.calls.outcomes, strict=True))
    during = [call for call in calls if call[0] < until_s]
    accepted = [seconds for _, seconds, outcome in during if outcome in DECIDED]
    shed = sum(outcome == Outcome.RESOURCE_EXHAUSTED for _, _, outcome in during)
    return {
        "accepted_rate": round(len(accepted) / until_s, 1),
        "accepted": asdict(Latency.of(accepted)),
        "shed": shed,
        "other_errors": len(during) - len(accepted) - shed,
        "errors_by_status": {
            str(outcome): sum(one == outcome for _, _, one in during)
            for outcome in sorted({one for _, _, one in during} - set(DECIDED))
        },
        "recovered_s": recovered_s(calls, until_s=until_s),
    }


def recovered_s(calls: Sequence[tuple[float, float, int]], *, until_s: float) -> float:
    """How long after the overload's end service was bad: until the end of the last quarter of a
    second in which more than one call of a hundred was not decided in time.

    `calls`: start, duration, outcome of each.
    """
    all_of: Counter[int] = Counter()
    bad_of: Counter[int] = Counter()
    for started, seconds, outcome in calls:
        if started >= until_s:
            window = int((started - until_s) / _WINDOW_S)
            all_of[window] += 1
            bad_of[window] += seconds > GOOD_S or outcome not in DECIDED
    bad = [window for window in all_of if bad_of[window] * 100 > all_of[window]]
    return (max(bad, default=-1) + 1) * _WINDOW_S
