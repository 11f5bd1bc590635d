"""Compares Valkey with the ledger, and the ledger with itself. Pure: no I/O, no clock.

Two sides are compared at equal seq, so traffic in between does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

#: What both sides keep of an account; the names are those of the ledger's columns.
BALANCE_FIELDS = ("limit_minor", "posted_minor", "held_minor", "unreleased_minor")

ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two numbers that should be equal: what was found, and what it should be by whom."""

    #: What differs: an account's id, a partition, an entry, a ledger account.
    subject: str
    #: Which of its numbers.
    field: str
    found: str
    expected: str
    #: Where `found` and `expected` come from.
    compared: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """An account after one of its entries."""

    seq: int
    limit_minor: int
    posted_minor: int
    held_minor: int
    unreleased_minor: int


class Place(NamedTuple):
    """How far a partition's journal goes."""

    epoch: int
    pseq: int


def compare_balances(
    account_id: str, *, valkey: Balance | None, ledger: Balance | None, settled_seq: int
) -> list[Difference]:
    """One account: Valkey against the ledger's entry of the same seq.

    `settled_seq` is the account's seq in the ledger, read before Valkey was.
    """

    def difference(field: str, found: object, expected: object) -> Difference:
        return Difference(
            subject=account_id,
            field=field,
            found=str(found),
            expected=str(expected),
            compared="Valkey / ledger",
        )

    if valkey is None:
        return [difference("account", ABSENT, f"seq {settled_seq}")]
    if valkey.seq < settled_seq:
        return [difference("seq", valkey.seq, f"at least {settled_seq}")]
    if ledger is None:
        return [difference("seq", valkey.seq, f"{ABSENT} in the ledger")]
    assert valkey.seq == ledger.seq, "compared at equal seq"
    return [
        difference(field, getattr(valkey, field), getattr(ledger, field))
        for field in BALANCE_FIELDS
        if getattr(valkey, field) != getattr(ledger, field)
    ]


def unknown_account(account_id: str, balance: Balance) -> Difference:
    """An account that only Valkey has."""
    return Difference(
        subject=account_id,
        field="account",
        found=f"seq {balance.seq}",
        expected=f"{ABSENT} in the ledger",
        compared="Valkey / ledger",
    )


def compare_holds(account_id: str, *, holds_minor: int, held_minor: int) -> list[Difference]:
    """One account: the sum of its open holds in Valkey against what it has held."""
    if holds_minor == held_minor:
        return []
    return [
        Difference(
            subject=account_id,
            field="held_minor",
            found=str(held_minor),
            expected=str(holds_minor),
            compared="Valkey / its open holds",
        )
    ]


def missing_hold(authorization_id: str) -> Difference:
    """A hold that is to expire, but is not there."""
    return Difference(
        subject=authorization_id,
        field="hold",
        found=ABSENT,
        expected="open",
        compared="Valkey / its expiry index",
    )


def held_after(read: Mapping[str, int], later: Iterable[tuple[str, int]]) -> int:
    """The sum of an account's open holds after its last entry.

    `read` are its holds by id, read one by one while entries were written; `later` is what each of
    those entries left held, in their order. A hold that no entry touched is as it was read.
    """
    return sum((dict(read) | dict(later)).values())


def compare_partition(
    partition: int, *, position: int, entries: int, first_pseq: int, last_pseq: int
) -> list[Difference]:
    """One partition: its entries are numbered from 1 to its position, without a gap."""
    found = {"entries": entries, "first_pseq": first_pseq, "last_pseq": last_pseq}
    expected = {"entries": position, "first_pseq": 1, "last_pseq": position}
    return [
        Difference(
            subject=f"partition {partition}",
            field=field,
            found=str(value),
            expected=str(expected[field]),
            compared="journal / position",
        )
        for field, value in found.items()
        if value != expected[field]
    ]


def compare_meta(
    partition: int,
    *,
    valkey: Place | None,
    before: Place,
    after: Place,
    stopped_because: str | None,
) -> list[Difference]:
    """One partition's place in Valkey against those in the ledger, read before and after it.

    Let the settler catch up before the last look: then Valkey lies in between.
    """

    def difference(field: str, found: object, expected: object) -> Difference:
        return Difference(
            subject=f"partition {partition}",
            field=field,
            found=str(found),
            expected=str(expected),
            compared="Valkey / ledger",
        )

    found = []
    if stopped_because is not None:
        found.append(difference("settled", f"stopped: {stopped_because}", "settling"))
    if valkey is None:
        return [*found, difference("epoch", ABSENT, after.epoch)]
    if valkey.epoch != after.epoch:
        found.append(difference("epoch", valkey.epoch, after.epoch))
    if valkey.pseq < before.pseq:
        found.append(difference("pseq", valkey.pseq, f"at least {before.pseq}"))
    if valkey.pseq > after.pseq:
        found.append(difference("pseq", valkey.pseq, f"{after.pseq}, the last that is settled"))
    return found
