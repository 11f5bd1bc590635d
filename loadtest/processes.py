"""What the processes of a mesh use: CPU time and memory, PostgreSQL's children included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil

from runtime.devstack.supervisor import Devstack

#: Instances by the name under which their use is reported; all others are `other`.
_GROUPS = {
    "envoy": "envoy",
    "valkey-money": "valkey",
    "settler": "settler",
    "postgres": "postgres",
    "accounts": "accounts",
    "notify": "notify",
    "stats": "stats",
}
#: Those that work on a run's entries also after its last answer.
SETTLING = ("settler", "postgres")
GROUPS = ("envoy", "authz", "valkey", "settler", "postgres")
#: Those that no purchase needs.
_OTHERS = ("accounts", "notify", "stats", "other")
_WORKER = "authz-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of a group of processes, bytes. A page that n share counts n times in `rss`."""

    rss: int
    pss: int


class Processes:
    """The processes of one mesh by group."""

    def __init__(self, stack: Devstack) -> None:
        self._stack = stack

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds that each group has used since its start."""
        used = dict.fromkeys((*GROUPS, *_OTHERS), 0.0)
        for group, process in self._roots():
            times = process.cpu_times()
            # Children that have ended are in their parent's account.
            used[group] += times.user + times.system + times.children_user + times.children_system
            for child in process.children(recursive=True):
                try:
                    times = child.cpu_times()
                except psutil.Error:
                    continue
                used[group] += times.user + times.system
        return used

    def memory(self) -> dict[str, Memory]:
        """Memory of each group now."""
        rss: dict[str, int] = dict.fromkeys((*GROUPS, *_OTHERS), 0)
        pss = dict(rss)
        for group, process in self._roots():
            for one in (process, *process.children(recursive=True)):
                try:
                    found = one.memory_full_info()
                except psutil.Error:
                    continue
                rss[group] += found.rss
                pss[group] += found.pss
        return {group: Memory(rss=rss[group], pss=pss[group]) for group in rss}

    def _roots(self) -> Iterator[tuple[str, psutil.Process]]:
        for instance, process in self._stack.processes.items():
            if process.pid is not None:
                yield group_of(instance), psutil.Process(process.pid)


def group_of(instance: str) -> str:
    """Under which name an instance's use is reported."""
    return "authz" if instance.startswith(_WORKER) else _GROUPS.get(instance, "other")


def used_between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds by group."""
    return {group: after[group] - before[group] for group in before}
