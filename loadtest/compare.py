"""Compares a benchmark with an earlier one by what does not depend on the machine. Pure.

Rates are compared as ratios to a baseline of the same run. CPU per call is compared in units of
what one empty call costs on the same machine in the same run (gRPC server and Envoy).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: What is worse by more than this is a regression.
TOLERANCE = 0.15
#: Groups of processes that take less than this share of the whole are too small to compare.
SHARE_MIN = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of a benchmark."""

    value: float
    #: Whether more is better.
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One number then and now."""

    name: str
    then: float
    now: float
    #: How much worse it is, as a share; below 0 it is better.
    worse: float

    @property
    def is_regression(self) -> bool:
        """Whether it is worse than noise explains."""
        return self.worse > TOLERANCE

    def line(self) -> str:
        """For people."""
        verdict = "WORSE" if self.is_regression else "ok"
        return f"{verdict:5}  {self.name}: {self.then:.3g} then, {self.now:.3g} now"


def figures(document: Mapping[str, Any]) -> dict[str, Figure]:
    """The numbers of a document that may be compared with another machine's."""
    found: dict[str, Figure] = {}
    for name in ("ratio_vs_empty_grpc_aio", "ratio_vs_empty_native"):
        if name in document:
            found[name] = Figure(value=document[name], more=True)
    if "ratio" in document.get("hot_account", {}):
        found["hot_account.ratio"] = Figure(value=document["hot_account"]["ratio"], more=True)
    unit = empty_call_us(document)
    used = document.get("authorize", {}).get("cpu_us_per_call", {})
    if unit and used:
        mesh = {name: value for name, value in used.items() if name != "generator"}
        whole = sum(mesh.values())
        found["cpu.whole"] = Figure(value=round(whole / unit, 3), more=False)
        for name, value in mesh.items():
            if value >= SHARE_MIN * whole:
                found[f"cpu.{name}"] = Figure(value=round(value / unit, 3), more=False)
    return found


def empty_call_us(document: Mapping[str, Any]) -> float:
    """CPU of one call to an empty handler behind Envoy, both together; 0 if not measured."""
    baseline = document.get("baseline", {}).get("empty_native", {}).get("behind_envoy", {})
    used: Mapping[str, float] = baseline.get("cpu_us_per_call", {})
    return used.get("envoy", 0.0) + used.get("authz", 0.0)


def compare(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What both documents have, in the order of `now`."""
    before, found = figures(then), figures(now)
    return [
        Change(
            name=name,
            then=before[name].value,
            now=figure.value,
            worse=_worse(before[name].value, figure),
        )
        for name, figure in found.items()
        if name in before and before[name].value
    ]


def _worse(then: float, now: Figure) -> float:
    change = now.value / then - 1
    return -change if now.more else change
