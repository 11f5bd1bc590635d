"""What is left of a card's limits: read, never counted from."""

from __future__ import annotations

from authz import keys
from authz.controls import Use
from authz.money_store import MoneyStore
from authz.ownership import card_not_found
from authz.snapshot import limits_of
from authz.windows import Rolling, freed_at_ms
from holdfast.authz.v1 import spend_usage_pb2 as pb
from runtime import ids
from runtime.clock import Clock
from runtime.validate import Violations, timestamp


class Usage:
    """Answers GetSpendUsage."""

    def __init__(self, store: MoneyStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def of_card(self, card_id: str) -> pb.GetSpendUsageResponse:
        """Every limit that the card's purchases count in, whosever it is."""
        check = Violations()
        check.id("card_id", card_id, ids.CARD)
        check.raise_if_any()
        self._store.forget(card_id)
        snapshot = await self._store.snapshot(card_id)
        if snapshot is None:
            raise card_not_found(card_id)
        now_ms = self._clock.now_ms()
        currency = snapshot.account.currency_code
        uses = limits_of(snapshot.scopes, None, now_ms=now_ms)
        tag = ids.tag_of(card_id)
        return pb.GetSpendUsageResponse(
            card_id=card_id,
            limits=[
                _usage(use, await self._store.slots(keys.window(tag, use.key)), currency)
                for use in uses
            ],
        )


def _usage(use: Use, slots: dict[int, tuple[int, int]], currency: str) -> pb.LimitUsage:
    limit = use.limit
    counted = {slot: used for slot, used in slots.items() if slot >= use.slots.oldest}
    amount = sum(one[0] for one in counted.values())
    count = sum(one[1] for one in counted.values())
    found = pb.LimitUsage(control_id=use.name, used_count=count)
    found.used_amount.currency_code, found.used_amount.amount_minor = currency, amount
    if limit.amount_minor is not None:
        left = max(limit.amount_minor - amount, 0)
        found.limit_amount.currency_code = found.left_amount.currency_code = currency
        found.limit_amount.amount_minor, found.left_amount.amount_minor = limit.amount_minor, left
    if limit.count is not None:
        found.limit_count, found.left_count = limit.count, max(limit.count - count, 0)
    start_ms = max(use.slots.start_ms, limit.counting_since_ms)
    found.start_time.CopyFrom(timestamp(start_ms))
    freed_ms = use.slots.end_ms
    if isinstance(limit.window, Rolling):
        spent = [slot for slot, used in counted.items() if any(used)]
        freed_ms = freed_at_ms(limit.window, min(spent)) if spent else 0
    if freed_ms:
        found.reset_time.CopyFrom(timestamp(freed_ms))
    return found
