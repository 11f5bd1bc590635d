"""The mutating call that runs now, and the entry that says of it what happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from runtime.audit.entry import TARGETS_MAX, AuditEntry
from runtime.audit.redaction import ids_in, redacted
from runtime.identity import Identity, find_identity
from runtime.ids import is_request_id


@dataclass(slots=True, kw_only=True)
class AuditedCall:
    """One call of a mutating method."""

    method: str
    request: Any
    #: Who calls, where no identity says so.
    actor: str = ""
    #: Writes an entry of its own.
    write: Callable[[AuditEntry], Awaitable[None]] | None = None
    #: Whether the change was recorded, in the transaction that made it or before it.
    recorded: bool = field(default=False)
    #: The ids that the request names, once they were looked for: one call may have many entries.
    _named: tuple[str, ...] | None = field(default=None)

    @property
    def named(self) -> tuple[str, ...]:
        """The ids that the request names."""
        if self._named is None:
            self._named = ids_in(self.request) if isinstance(self.request, Message) else ()
        return self._named


_current: ContextVar[AuditedCall | None] = ContextVar("audited_call", default=None)


def begin(call: AuditedCall) -> Token[AuditedCall | None]:
    """Used by the interceptor only."""
    return _current.set(call)


def end(token: Token[AuditedCall | None]) -> None:
    """Used by the interceptor only."""
    _current.reset(token)


@contextmanager
def of(method: str, request: Any, *, actor: str = "") -> Iterator[None]:
    """What the block records is about this call."""
    token = begin(AuditedCall(method=method, request=request, actor=actor))
    try:
        yield
    finally:
        end(token)


@contextmanager
def command(name: str, *, actor: str) -> Iterator[None]:
    """What the block records is done by a command of this machine's operator, and by no RPC."""
    with of(name, None, actor=actor):
        yield


def mark_recorded() -> None:
    """What the call changed has its entry."""
    call = _current.get()
    if call is not None:
        call.recorded = True


async def write_now(entry: AuditEntry) -> None:
    """Writes the one entry of a call that will succeed. Outside of a call nobody is told."""
    call = _current.get()
    if call is not None and call.write is not None:
        await call.write(entry)
        call.recorded = True


def entry_of_call(
    *,
    before: Message | None = None,
    after: Message | None = None,
    targets: tuple[str, ...] = (),
    code: str = "OK",
    reason: str = "",
) -> AuditEntry:
    """An entry about the call that runs now. `targets` come on top of the ids in the messages."""
    call = _current.get()
    request = call.request if call is not None and isinstance(call.request, Message) else None
    identity = find_identity()
    named = call.named if call is not None else ()
    messages = [one for one in (before, after) if one is not None]
    found = dict.fromkeys((*targets, *named, *ids_in(*messages)))
    return AuditEntry(
        actor=identity.principal if identity else call.actor if call else "",
        roles=tuple(sorted(identity.roles)) if identity else (),
        peer=identity.peer if identity else "",
        method=call.method if call else "",
        targets=tuple(one for one in found if one)[:TARGETS_MAX],
        request_id=_request_id(request, identity),
        trace_id=identity.trace_id if identity else "",
        code=code,
        reason=reason,
        before=redacted(before) if before is not None else None,
        after=redacted(after) if after is not None else None,
    )


def _request_id(request: Message | None, identity: Identity | None) -> str:
    """The mutation's own id: its field, or the header of JSON clients. What is none was refused,
    and is not kept, whatever it is.
    """
    value = str(getattr(request, "request_id", ""))
    if not value and identity is not None:
        value = next((str(text) for _, text in identity.idempotency_keys), "")
    return value if is_request_id(value) else ""
