"""The ends of the chains, as the services' logs on this machine tell of them (`audit_sealed`).

The database knows nothing of these lines: whoever cuts off the end of a chain there meets them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

#: By service and number of the link: the hashes that it was logged with; more than one tell of
#: links that were removed, and sealed anew.
Heads = Mapping[str, Mapping[int, frozenset[str]]]

SEALED_EVENT = "audit_sealed"
_MARK = f'"{SEALED_EVENT}"'.encode()


def heads_in(folder: Path) -> Heads:
    """What all logs of a folder tell, the earlier ones (`….log.1`), too."""
    found: defaultdict[str, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in sorted(folder.glob("*.log*")):
        with path.open("rb") as file:
            for service, number, head in _told(file):
                found[service][number].add(head)
    return {
        service: {number: frozenset(heads) for number, heads in links.items()}
        for service, links in found.items()
    }


def _told(lines: Iterable[bytes]) -> Iterable[tuple[str, int, str]]:
    for line in lines:
        if _MARK not in line:
            continue
        try:
            event = json.loads(line)
            if event["event"] == SEALED_EVENT:
                yield str(event["service"]), int(event["number"]), str(event["head"])
        except (ValueError, KeyError, TypeError):
            # Cut off where a log was begun anew, or of a version that named no service.
            continue
