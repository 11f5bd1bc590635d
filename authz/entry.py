"""A journal entry: the outcome the script wrote, who caused it, and the request as it came.

In the stream it is three parts, each ended by a newline but the last: the outcome line, a JSON
header, and the request message's bytes. The header and the request never change; the outcome is
what the script added.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from authz import outcome as outcomes
from authz.outcome import Outcome

#: Version of header and request, as opposed to that of the outcome line.
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Who caused an entry, and what it is about. Empty text: does not apply."""

    id: str
    principal: str
    request_id: str
    fingerprint: str = ""
    account_id: str = ""
    card_id: str = ""
    root_card_id: str = ""
    owner_id: str = ""
    programme_id: str = ""
    user_id: str = ""
    currency: str = ""
    network: str = ""
    clearing_fingerprint: str = ""
    decided_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry as it stands in the stream."""

    outcome: Outcome
    header: Header
    request: bytes
    #: All of it.
    raw: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        return sha256(self.raw).digest()


def static_part(header: Header, request: bytes) -> bytes:
    """What a script is given to journal: the header without its empty fields, and the request."""
    content = {name: value for name, value in asdict(header).items() if value}
    return json.dumps(content, separators=(",", ":")).encode() + b"\n" + request


def raw_of(fields: Any) -> bytes:
    """The bytes of an entry as the worker's connection read it: text with surrogates for what is
    no UTF-8, its fields a mapping or a flat list.
    """
    text: str = fields["e"] if isinstance(fields, dict) else fields[1]
    return text.encode("utf-8", "surrogateescape")


def parse(raw: bytes) -> Entry:
    """Reads an entry of the stream."""
    line, header, request = raw.split(b"\n", 2)
    return Entry(
        outcome=outcomes.parse(line.decode()),
        header=Header(**json.loads(header)),
        request=request,
        raw=raw,
    )
