"""Compares what limits have counted, and the merchants that cards are locked to. Pure.

Windows are compared as of one entry of their partition, so traffic in between does not matter: the
ledger knows what every authorization counted after each of its entries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from authz import keys
from authz.controls import Use
from authz.reconcile import ABSENT, Difference
from authz.windows import Used

#: A window as Valkey has it: slot to `amount|count`.
Slots: TypeAlias = Mapping[str, str]


class Recount(NamedTuple):
    """Where an authorization counts after an entry: `name,slot,amount,count;...`."""

    pseq: int
    authorization_id: str
    windows: str


class Counted(NamedTuple):
    """What the ledger says as of its last entry, and what the last entries have changed."""

    sums: Mapping[str, Mapping[int, Used]]
    #: Entries in their order, headed by what their authorizations counted before.
    changes: Sequence[Recount]
    #: By root card: the merchant it is locked to.
    locks: Mapping[str, Mapping[str, str]]


class Page(NamedTuple):
    """Windows as Valkey had them after one entry of the partition."""

    pseq: int
    windows: Mapping[str, Slots]


def compare_windows(
    partition: int, uses: Mapping[str, Use], page: Page, counted: Counted
) -> list[Difference]:
    """What counts in each limit now; what is too old to count differs for good reasons."""
    found: list[Difference] = []
    back = _changed_since(page.pseq, counted.changes)
    for name, slots in page.windows.items():
        oldest, key = uses[name].slots.oldest, keys.window(keys.TAGS[partition], name)
        expected = _expected(counted.sums.get(name, {}), back.get(name, {}))
        numbers = {slot for slot in slots if not slot.isdigit() or int(slot) >= oldest}
        for slot in sorted(numbers | expected.keys()):
            one, other = slots.get(slot, "0|0"), expected.get(slot, "0|0")
            if one != other:
                compared = "Valkey / authorizations"
                found.append(_difference(key, f"slot {slot}", one, other, compared))
    return found


def compare_locks(
    before: Mapping[str, Mapping[str, str]],
    ledger: Mapping[str, Mapping[str, str]],
    after: Mapping[str, Mapping[str, str]],
) -> list[Difference]:
    """Locks are made once: those that Valkey had before the ledger was read are in it, and those of
    the ledger are in Valkey after that.
    """
    found = []
    for root_card_id in sorted(before.keys() | ledger.keys()):
        expected = ledger.get(root_card_id)
        valkey = (before if expected is None else after).get(root_card_id)
        if valkey != expected:
            one, other = _merchant(valkey), _merchant(expected)
            compared = "Valkey / authorizations"
            found.append(_difference(root_card_id, "merchant_lock", one, other, compared))
    return found


def compare_used(before: set[str], ledger: set[str], after: set[str]) -> list[Difference]:
    """Single-use cards are used up once, by their root cards: those marked in Valkey before the
    ledger was read are used in it, and those used in the ledger are marked after that.
    """
    compared = "Valkey / authorizations"
    return [
        *(_difference(name, "used", "used", ABSENT, compared) for name in sorted(before - ledger)),
        *(_difference(name, "used", ABSENT, "used", compared) for name in sorted(ledger - after)),
    ]


def _difference(subject: str, field: str, found: str, expected: str, compared: str) -> Difference:
    return Difference(
        subject=subject, field=field, found=found, expected=expected, compared=compared
    )


def _merchant(lock: Mapping[str, str] | None) -> str:
    return ABSENT if lock is None else " / ".join(lock.values())


def _expected(sums: Mapping[int, Used], back: Mapping[int, Used]) -> dict[str, str]:
    found = {}
    for slot, used in sums.items():
        amount_minor, purchases = back.get(slot, (0, 0))
        found[str(slot)] = f"{used.amount_minor - amount_minor}|{used.purchases - purchases}"
    return found


def _changed_since(pseq: int, changes: Iterable[Recount]) -> dict[str, dict[int, Used]]:
    """By window and slot, how much more is counted now than was after an entry."""
    then: dict[str, str] = {}
    now: dict[str, str] = {}
    for change in changes:
        if change.pseq <= pseq:
            then[change.authorization_id] = change.windows
        now[change.authorization_id] = change.windows
    found: dict[str, dict[int, Used]] = defaultdict(dict)
    for sign, states in ((1, now), (-1, then)):
        for windows in states.values():
            for name, slot, amount_minor, purchases in _items(windows):
                used = found[name].get(slot, Used(0, 0))
                found[name][slot] = Used(
                    used.amount_minor + sign * amount_minor, used.purchases + sign * purchases
                )
    return found


def _items(windows: str) -> Iterable[tuple[str, int, int, int]]:
    for item in windows.split(";") if windows else ():
        name, slot, amount_minor, purchases = item.split(",")
        yield name, int(slot), int(amount_minor), int(purchases)
