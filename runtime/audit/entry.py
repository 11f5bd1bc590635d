"""An entry of the audit log, and the chain that makes a change of it visible. Pure."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from runtime.record import record

#: Hash that the first link of a chain follows.
CHAIN_START = bytes(32)
#: Ids that one entry names; the columns' bounds are those of the table.
TARGETS_MAX = 32
_CODE_OK = "OK"


@record
class AuditEntry:
    """One call. Nothing in it is secret or personal: `runtime.audit.redaction`."""

    actor: str
    roles: tuple[str, ...]
    peer: str
    method: str
    targets: tuple[str, ...]
    request_id: str
    trace_id: str
    code: str = _CODE_OK
    reason: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


class Written(NamedTuple):
    """An entry as it stands in the table."""

    id: int
    service: str
    record_time_ms: int
    entry: AuditEntry


def link_hash(key: bytes, *, previous: bytes, number: int, written: Written) -> bytes:
    """The hash of a link: without the key nobody can make a chain that passes."""
    one = written.entry
    covered = json.dumps(
        [
            number,
            written.id,
            written.service,
            written.record_time_ms,
            one.actor,
            list(one.roles),
            one.peer,
            one.method,
            list(one.targets),
            one.request_id,
            one.trace_id,
            one.code,
            one.reason,
            one.before,
            one.after,
        ],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hmac.digest(key, previous + covered.encode(), "sha256")


def archived_seal(key: bytes, *, service: str, number: int, head: bytes) -> bytes:
    """Proves that a chain goes on behind this link because what was before it is in a file."""
    covered = json.dumps(["archived", service, number, head.hex()], separators=(",", ":"))
    return hmac.digest(key, covered.encode(), "sha256")
