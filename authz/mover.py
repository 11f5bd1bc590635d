"""Runs movement scripts: builds the keys and arguments that all of them share, and the header that
they journal.
"""

from __future__ import annotations

from collections.abc import Sequence

from authz import keys
from authz.commands import Asked
from authz.controls import Use
from authz.entry import Decider, static_part
from authz.money_store import MoneyStore
from authz.movement import Movement, concluded
from authz.outcome import Outcome
from authz.scripts import Status
from authz.snapshot import Subject
from authz.windows import lifetime_ms
from runtime import ids
from runtime.clock import Clock
from runtime.identity import current_trace_id
from runtime.record import record
from runtime.script import Script

#: Seed of an authorization whose id was made for this very call: there is nothing to look up.
NEW_HOLD = "new"


@record
class HoldReference:
    """The authorization that a movement is about; `seed`: what only the ledger still knows of it,
    or NEW_HOLD.
    """

    authorization_id: str
    principal: str = ""
    network: str = ""
    seed: str = ""
    #: Where it counts, as it was read; the script answers STALE if that has changed.
    windows: str = ""


@record
class Counting:
    """The limits that a movement counts in now, and the control that has declined it before."""

    uses: tuple[Use, ...] = ()
    control: str = ""
    left_minor: int = -1

    def keys(self, tag: str, windows: str) -> tuple[str, ...]:
        """Every window that the script may need: of now, and of the hold."""
        if not self.uses and not windows:
            return ()
        names = dict.fromkeys((*(use.key for use in self.uses), *keys.window_names(windows)))
        return tuple(keys.window(tag, name) for name in names)

    def packed(self, windows: str, now_ms: int) -> str:
        """As include/windows.lua unpacks it."""
        told = f"{self.control},{self.left_minor}" if self.control else ""
        return f"{windows}\n{told}\n{';'.join(_packed(use, now_ms) for use in self.uses)}"


def _packed(use: Use, now_ms: int) -> str:
    slots, limit = use.slots, use.limit
    amount = "" if limit.amount_minor is None else limit.amount_minor
    values = (
        use.key,
        use.name,
        slots.oldest,
        slots.current,
        max(slots.keep, 0),
        lifetime_ms(slots, now_ms=now_ms),
        amount,
        limit.count or "",
    )
    return ",".join(str(value) for value in values)


class Mover:
    """Runs one script for one request."""

    def __init__(
        self,
        store: MoneyStore,
        *,
        clock: Clock,
        record_ttl_ms: int,
        retention_ms: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self.record_ttl_ms = record_ttl_ms
        self._retention_ms = retention_ms

    async def run(
        self,
        script: Script,
        asked: Asked,
        subject: Subject,
        *,
        hold: HoldReference | None = None,
        extra_keys: Sequence[str] = (),
        arguments: Sequence[str] = (),
        decided_by: str = Decider.HOLDFAST,
        external_reason: str = "",
        late: str = "",
        now_ms: int | None = None,
        counting: Counting | None = None,
    ) -> tuple[Status, Outcome | None]:
        """The script's status, and its outcome if it did something, now or before."""
        network = hold.network if hold is not None else ""
        header = _header(
            asked, subject, network, decided_by, external_reason=external_reason, late=late
        )
        hold_keys: tuple[str, ...] = ()
        hold_arguments: tuple[str, ...] = ()
        window_keys: tuple[str, ...] = ()
        window_arguments: tuple[str, ...] = ()
        now_ms = self._clock.now_ms() if now_ms is None else now_ms
        if hold is not None:
            hold_keys = (keys.hold(hold.authorization_id), keys.expiry(subject.tag))
            hold_arguments = (
                hold.principal or asked.principal,
                subject.account_id,
                subject.card_id,
                hold.network,
                hold.seed,
            )
            counting = counting or Counting()
            window_keys = counting.keys(subject.tag, hold.windows)
            window_arguments = (counting.packed(hold.windows, now_ms),)
        return await self._store.move(
            script,
            (
                keys.meta(subject.tag),
                keys.request(subject.tag, asked.principal, asked.request_id),
                keys.journal(subject.tag),
                keys.account(subject.account_id or f"{ids.ACCOUNT}_{subject.tag}-"),
                *hold_keys,
                *extra_keys,
                *window_keys,
            ),
            (
                asked.fingerprint,
                str(now_ms),
                str(self.record_ttl_ms),
                str(self._retention_ms),
                # What a script calls its own is the authorization that the entry names.
                hold.authorization_id if hold is not None and not _unlinked(hold) else "",
                static_part(header, asked.raw),
                *hold_arguments,
                *arguments,
                *window_arguments,
            ),
        )

    async def moved(
        self,
        script: Script,
        asked: Asked,
        subject: Subject,
        *,
        hold: HoldReference | None = None,
        extra_keys: Sequence[str] = (),
        arguments: Sequence[str] = (),
        decided_by: str = Decider.HOLDFAST,
        late: str = "",
        counting: Counting | None = None,
    ) -> Movement:
        """As `run`, for movements that either happen or are refused with an error."""
        status, outcome = await self.run(
            script,
            asked,
            subject,
            hold=hold,
            extra_keys=extra_keys,
            arguments=arguments,
            decided_by=decided_by,
            late=late,
            counting=counting,
        )
        return concluded(status, outcome, asked.request_id, subject.currency_code)


def _header(
    asked: Asked,
    subject: Subject,
    network: str,
    decided_by: str,
    *,
    external_reason: str,
    late: str,
) -> tuple[str, ...]:
    """The fields of authz.entry.Header, in order."""
    clearing = getattr(asked, "clearing", None)
    return (
        asked.principal,
        asked.request_id,
        journaled_trace_id(),
        asked.fingerprint,
        network,
        clearing.fingerprint if clearing is not None else "",
        decided_by,
        external_reason,
        subject.about,
        *((late,) if late else ()),
    )


def journaled_trace_id() -> str:
    """The trace id of the call that runs; of one that could break a header, nothing."""
    trace_id = current_trace_id()
    return trace_id if trace_id.isprintable() else ""


def entry_id(tag: str, asked: Asked) -> str:
    """A request has one entry: the entry's id follows from it, and is known to every replay."""
    return ids.derived(ids.ENTRY, tag, asked.principal, asked.request_id)


def unlinked(tag: str, network: str = "") -> HoldReference:
    """Stands where a script wants a hold but the movement is linked to none; nothing is stored."""
    return HoldReference(authorization_id=f"{ids.AUTHORIZATION}_{tag}-", network=network)


def _unlinked(hold: HoldReference) -> bool:
    return hold.authorization_id.endswith("-")
