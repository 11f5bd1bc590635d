"""How many refusals have an entry of the audit log each, and how the others are told. Pure.

The log keeps everything for good, and whoever is refused has shown nothing: without a bound
anybody could fill the disk. What is beyond it is added up, and nothing goes untold.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from runtime.audit.entry import AuditEntry

#: How long one sum goes on.
INTERVAL_S = 60.0
#: Of one caller, or of one address of nobody: more than the usual limit lets through in a minute,
#: so that whatever comes so far as to be asked for its role has an entry of its own.
ONE_BY_ONE_MAX = 120
#: The same of all addresses together: one attacker may have many.
NOBODY_MAX = 1_200
#: Different sums; what else there is makes one more.
SUMS_MAX = 256
#: The reason of an entry that stands for several calls; `after` says for how many.
SUM_REASON = "REPEATED"

#: Stands for what is beyond `SUMS_MAX`, of whomever and whichever method.
_OTHERS = AuditEntry(
    actor="", roles=(), peer="", method="", targets=(), request_id="", trace_id="", code="UNKNOWN"
)


class Tally:
    """Counts within one interval."""

    def __init__(self) -> None:
        self._written: Counter[tuple[str, str]] = Counter()
        self._nobodys = 0
        #: How many calls, and the entry that stands for them.
        self._sums: dict[tuple[str, ...], tuple[int, AuditEntry]] = {}

    def has_room(self, entry: AuditEntry) -> bool:
        """True: the entry is written as it is. False: it was added to a sum."""
        source = (entry.actor, "" if entry.actor else entry.peer)
        room = self._written[source] < ONE_BY_ONE_MAX
        if room and not entry.actor:
            room = self._nobodys < NOBODY_MAX
            self._nobodys += room
        if room:
            self._written[source] += 1
        else:
            self._add(entry)
        return room

    def close(self) -> list[AuditEntry]:
        """The sums, as entries; another interval begins."""
        sums = [
            replace(entry, reason=SUM_REASON, after={"calls": calls, "reason": entry.reason})
            for calls, entry in self._sums.values()
        ]
        self._written.clear()
        self._nobodys = 0
        self._sums.clear()
        return sums

    def _add(self, entry: AuditEntry) -> None:
        key: tuple[str, ...] = (entry.actor, entry.peer, entry.method, entry.code, entry.reason)
        if key not in self._sums and len(self._sums) >= SUMS_MAX:
            key, entry = (), _OTHERS
        calls, first = self._sums.get(key, (0, entry))
        self._sums[key] = (calls + 1, replace(first, targets=(), request_id="", trace_id=""))
