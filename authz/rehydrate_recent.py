"""What checks against fraud remember of cards, from the ledger to what Valkey had. Pure, as
rehydrate_rows.py. An authorization's flags say what its card remembers of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from authz import keys
from authz.fraud import (
    ABROAD_MAX,
    BOUGHT_MAX,
    DECLINES_MAX,
    RECENT_MS,
    forgotten,
    merchant_print,
    remembered,
    trusted,
)
from authz.rehydrate_rows import Lifetimes, Write, hset
from runtime.clock import ms_of


@dataclass(slots=True)
class _Card:
    declines: str = ""
    bought: str = ""
    abroad: str = ""
    #: When something of the last hour was written last.
    written_at_ms: int = 0


@dataclass(slots=True)
class Memories:
    """What the cards of a partition remember."""

    cards: dict[str, _Card] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        """The first decision on one purchase, in their order, as `place_hold.lua` remembered it."""
        card = self.cards.setdefault(row["root_card_id"], _Card())
        now_ms, flags = ms_of(row["recorded_time"]), row["hold_flags"]
        if "g" in flags:
            card.declines = remembered(
                str(now_ms), card.declines, most=DECLINES_MAX, now_ms=now_ms, age_ms=RECENT_MS
            )
            card.written_at_ms = now_ms
        elif "n" in flags:
            item = f"{row['merchant_country']},{now_ms}"
            card.abroad = remembered(item, card.abroad, most=ABROAD_MAX, now_ms=now_ms)
        elif "b" in flags:
            card.bought = remembered(
                f"{row['authorization_id']},{row['requested_minor']},{_merchant(row)},{now_ms}",
                card.bought,
                most=BOUGHT_MAX,
                now_ms=now_ms,
                age_ms=RECENT_MS,
            )
            card.written_at_ms = now_ms

    def writes(self, lifetimes: Lifetimes, cleared: Mapping[str, int]) -> Iterable[Write]:
        """The keys that have not expired since. `cleared` says by root card up to when `apply_card`
        has cleared it of suspicion.
        """
        for root_card_id, card in self.cards.items():
            clear_ms = cleared.get(root_card_id, 0)
            declines = forgotten(card.declines, clear_ms=clear_ms)
            lists = {"declines": declines, "bought": card.bought}
            left_ms = lifetimes.left(card.written_at_ms, RECENT_MS)
            if left_ms > 0 and any(lists.values()):
                key = keys.recent(root_card_id)
                content = {name: text for name, text in lists.items() if text}
                yield Write((hset(key, content), ("PEXPIRE", key, str(left_ms))))
            if card.abroad:
                yield Write(
                    (
                        hset(
                            keys.learned(root_card_id),
                            {"abroad": trusted(card.abroad, clear_ms=clear_ms)},
                        ),
                    )
                )


def _merchant(row: Mapping[str, Any]) -> str:
    """As it stands in the list: what was given back is there without its merchant."""
    if row["given_back"]:
        return ""
    name = (row["merchant_name"] or "").casefold()
    return merchant_print(f"{row['merchant_id'] or ''}\n{name}")
