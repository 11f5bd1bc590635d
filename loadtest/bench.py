"""The benchmark: runs scenarios one after the other and collects one document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from loadtest import authorize, baselines
from loadtest.session import Options, Session

Scenario = Callable[[Session], Awaitable[None]]

#: Scenario by name, in the order in which all are run.
SCENARIOS: dict[str, Scenario] = {
    "uniform": authorize.uniform,
    "hot": authorize.hot,
    "declines": authorize.declines,
    "windows": authorize.windows,
    "json": authorize.json,
    "workers": authorize.workers,
    "baselines": baselines.baselines,
}


async def run(
    names: Sequence[str], options: Options, *, say: Callable[[str], None]
) -> dict[str, Any]:
    """Runs these scenarios."""
    session = Session(options=options, say=say)
    for name in names:
        await SCENARIOS[name](session)
    _relate(session.document)
    return session.document


def _relate(document: dict[str, Any]) -> None:
    """Ratios between scenarios of this run: what is robust on a noisy machine."""
    authorize_rate = document.get("authorize", {}).get("max_rate")
    if authorize_rate and "hot_account" in document:
        hot = document["hot_account"]
        hot["ratio"] = round(hot["max_rate"] / authorize_rate, 3)
