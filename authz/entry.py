"""A journal entry: the outcome the script wrote, who caused it, and the request as it came.

In the stream it is three parts, each ended by a newline but the last: the outcome line, the header
(its fields in order, separated by tabs, behind a version), and the request message's bytes. The
header and the request never change; the outcome is what the script added.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple

from authz import outcome as outcomes
from authz.decision import Reason
from authz.lateness import Late
from authz.outcome import Outcome
from runtime import ids
from runtime.record import record

#: Reasons that an external decision declines with.
_EXTERNAL = (Reason.EXTERNAL_DECLINED, Reason.DECISION_TIMEOUT)

#: Version of header and request, as opposed to that of the outcome line.
SCHEMA_VERSION = 4
_VERSION_TEXT = str(SCHEMA_VERSION)
#: How a header may end.
_LATE = {(), *((late.value,) for late in Late if late)}
#: The version before, whose headers had no trace id. Entries of it may wait in a journal.
_UNTRACED_VERSION_TEXT = "3"


class Decider(StrEnum):
    """Who decided; the names are the contract's."""

    HOLDFAST = "holdfast"
    NETWORK = "network"
    EXTERNAL = "external"
    #: By the default that stands for an external decision: it came too late, or never.
    EXTERNAL_TIMEOUT = "external_timeout"
    #: The same: its service cannot be reached, or its answer was not understood.
    EXTERNAL_ERROR = "external_error"


class Header(NamedTuple):
    """Who caused an entry, and what it is about. Empty text: does not apply. No field has a control
    character: what comes from outside was checked.
    """

    principal: str
    request_id: str
    #: The call that caused it (runtime.trace), for logs; the ledger does not keep it.
    trace_id: str = ""
    fingerprint: str = ""
    network: str = ""
    clearing_fingerprint: str = ""
    decided_by: str = ""
    external_reason: str = ""
    account_id: str = ""
    card_id: str = ""
    root_card_id: str = ""
    owner_id: str = ""
    programme_id: str = ""
    user_id: str = ""
    currency: str = ""
    #: Why it is to be reviewed (authz.lateness); it stands at the end if it is not empty.
    late: str = ""

    def id_in(self, tag: str) -> str:
        """A request has one entry in a partition: the entry's id follows from it, and is known to
        every replay.
        """
        return ids.derived(ids.ENTRY, tag, self.principal, self.request_id)


HEADER_FIELDS = Header._fields
_TRACE_PLACE = HEADER_FIELDS.index("trace_id")


@record
class Entry:
    """One entry as it stands in the stream."""

    outcome: Outcome
    header: Header
    request: bytes
    #: All of it.
    raw: bytes

    @property
    def decided_by(self) -> str:
        """Who decided: not whoever approved what the script then declined."""
        if self.outcome.reason in (Reason.NONE, *_EXTERNAL):
            return self.header.decided_by
        return Decider.HOLDFAST

    @property
    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        return sha256(self.raw).digest()


def static_part(header: Sequence[str], request: bytes) -> bytes:
    """What a script is given to journal: the fields of a `Header` in order, and the request."""
    if isinstance(header, Header) and not header.late:
        header = header[:-1]
    return "\t".join((_VERSION_TEXT, *header)).encode() + b"\n" + request


def raw_of(fields: Any) -> bytes:
    """The bytes of an entry as the worker's connection read it: text with surrogates for what is
    no UTF-8, its fields a mapping or a flat list.
    """
    text: str = fields["e"] if isinstance(fields, dict) else fields[1]
    return text.encode("utf-8", "surrogateescape")


def parse(raw: bytes) -> Entry:
    """Reads an entry of the stream."""
    line, header, request = raw.split(b"\n", 2)
    version, *values = header.decode().split("\t")
    if version == _UNTRACED_VERSION_TEXT:
        version = _VERSION_TEXT
        values.insert(_TRACE_PLACE, "")
    late = tuple(values[len(HEADER_FIELDS) - 1 :])
    if version != _VERSION_TEXT or len(values) < len(HEADER_FIELDS) - 1 or late not in _LATE:
        raise ValueError(f"not a header of version {SCHEMA_VERSION}: {header[:80]!r}")
    return Entry(
        outcome=outcomes.parse(line.decode()),
        header=Header(*values),
        request=request,
        raw=raw,
    )
