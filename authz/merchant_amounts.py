"""What a hold remembers of the merchant's currency and of advice, from its entries. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from authz.convert import merchant_amount
from authz.outcome import EntryType
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2 as movements
from runtime.clock import ms_of
from runtime.validate import milliseconds


@dataclass(slots=True)
class MerchantAmounts:
    """The amounts as include/hold.lua writes them: `minor|currency`."""

    asked: str = ""
    cleared: str = ""
    advised_at_ms: int = 0
    #: Once there was something to remember, both are written even if they are empty again.
    known: bool = False

    def add(self, row: Mapping[str, Any]) -> None:
        """One entry of the authorization, in their order."""
        raw = row["request"]
        match EntryType(row["type"]):
            case EntryType.AUTHORIZATION | EntryType.FINANCIAL:
                self.asked = merchant_amount(rpc.AuthorizeRequest.FromString(raw))
            case EntryType.ADVICE:
                self._advise(rpc.AuthorizeRequest.FromString(raw), ms_of(row["recorded_time"]))
            case EntryType.INCREMENT:
                self.asked = ""
            case EntryType.CAPTURE:
                self._clear(merchant_amount(rpc.CaptureAuthorizationRequest.FromString(raw)))
            case EntryType.FORCE_POST:
                self._clear(merchant_amount(movements.ForcePostRequest.FromString(raw)))
            case _:
                return
        self.known = self.known or bool(self.asked or self.cleared)

    def _advise(self, request: rpc.AuthorizeRequest, recorded_at_ms: int) -> None:
        sent = request.HasField("transmission_time")
        sent_at_ms = milliseconds(request.transmission_time) if sent else recorded_at_ms
        if sent_at_ms >= self.advised_at_ms:
            self.asked, self.advised_at_ms = merchant_amount(request), sent_at_ms

    def _clear(self, amount: str) -> None:
        """`add_cleared` of include/hold.lua: one `minor|currency ` for each currency."""
        minor, _, unit = amount.partition("|")
        if not minor:
            return
        pattern = rf"(\d+)\|{unit} "
        before = re.search(pattern, self.cleared)
        total = int(minor) + (int(before[1]) if before else 0)
        self.cleared = re.sub(pattern, "", self.cleared) + f"{total}|{unit} "


def merchant_amounts(rows: Iterable[Mapping[str, Any]]) -> dict[str, MerchantAmounts]:
    """By authorization; the rows in the order of their entries."""
    found: dict[str, MerchantAmounts] = {}
    for row in rows:
        found.setdefault(row["authorization_id"], MerchantAmounts()).add(row)
    return found
