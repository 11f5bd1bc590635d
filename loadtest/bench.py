"""The benchmark: runs scenarios one after the other and collects one document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from loadtest import (
    authorize,
    bare_script,
    baselines,
    closings,
    edge,
    idle,
    imports,
    mutations,
    overload,
    reports,
    rolling,
    scale,
    settlement,
    statistics,
    webhooks,
)
from loadtest.conditions import conditions
from loadtest.session import Options, Session

Scenario = Callable[[Session], Awaitable[None]]

#: Scenario by name, in the order in which they are run.
SCENARIOS: dict[str, Scenario] = {
    "uniform": authorize.uniform,
    "baselines": baselines.baselines,
    "hot": authorize.hot,
    "declines": authorize.declines,
    "windows": authorize.windows,
    "json": authorize.json,
    "workers": authorize.workers,
    "bare-script": bare_script.bare_script,
    "scale": scale.scale,
    "overload": overload.overload,
    "settlement": settlement.settlement,
    "mutations": mutations.mutations,
    "idle": idle.idle,
    "closings": closings.closings,
    "edge": edge.edge,
    "webhooks": webhooks.webhooks,
    "statistics": statistics.statistics,
    "rolling": rolling.rolling,
    "empty": baselines.empty,
    "import": imports.imports,
    "million": scale.million,
    "reports": reports.reports,
}
#: Those that are run only when they are named.
_ON_REQUEST = ("empty", "import", "million", "reports")
DEFAULT = tuple(name for name in SCENARIOS if name not in _ON_REQUEST)
#: Enough for what is compared with the committed figures.
QUICK = ("uniform", "empty", "hot")
FULL_OPTIONS = Options()
QUICK_OPTIONS = Options(
    seconds=3,
    warmup_s=1,
    runs=2,
    accounts=1_000,
    shares_percent=(50,),
    sweep_seconds=3,
)


async def run(
    names: Sequence[str],
    options: Options,
    *,
    say: Callable[[str], None],
    begin: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Runs these scenarios; `begin` is told the name of each."""
    session = Session(options=options, say=say)
    session.document["conditions"] = conditions() | {"options": asdict(options)}
    for name in names:
        begin(name)
        await SCENARIOS[name](session)
    relate(session.document)
    return session.document


def relate(document: dict[str, Any]) -> None:
    """Adds the ratios between what was measured in this run."""
    rate = document.get("authorize", {}).get("max_rate")
    if not rate:
        return
    if "hot_account" in document:
        hot = document["hot_account"]
        hot["ratio"] = round(hot["max_rate"] / rate, 3)
    for name, found in document.get("baseline", {}).items():
        document[f"ratio_vs_{name}"] = round(rate / found["max_rate"], 3)
