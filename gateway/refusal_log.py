"""Gives what Envoy refuses by itself its entry of the audit log.

Envoy tells about a second later, of each refusal once, and of none from the time in which there was
no gateway at all: docs/OPERATIONS.md, "Who did what", says what that comes to.
"""

from __future__ import annotations

import asyncio

from envoy_wire import access_log_pb2 as wire
from gateway.refusal_tally import INTERVAL_S, Tally
from gateway.refusals import Refusals
from runtime.audit.writer import AuditWriter
from runtime.metrics import REFUSALS_SUMMED


class RefusalLog:
    """Takes entries of the access log, and has them written."""

    def __init__(self, refusals: Refusals, audit: AuditWriter) -> None:
        self._refusals = refusals
        self._audit = audit
        self._tally = Tally()

    def take(self, message: wire.StreamAccessLogsMessage, *, listener: str) -> None:
        """Writes those that are of the audit log, soon; beyond the bound they are added up."""
        for told in message.http_logs.log_entry:
            entry = self._refusals.entry_of(told, listener=listener)
            if entry is None:
                continue
            if self._tally.has_room(entry):
                self._audit.write_soon(entry)
            else:
                REFUSALS_SUMMED.inc()

    def tell_sums(self) -> None:
        """Writes what was added up, and begins anew."""
        for entry in self._tally.close():
            self._audit.write_soon(entry)

    async def run(self) -> None:
        """Tells of every minute, and of the last part of one."""
        try:
            while True:
                await asyncio.sleep(INTERVAL_S)
                self.tell_sums()
        finally:
            self.tell_sums()
