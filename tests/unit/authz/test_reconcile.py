"""The comparison, one row per outcome."""

from __future__ import annotations

from dataclasses import replace

import pytest

from authz import reconcile
from authz.reconcile import Balance, Place
from authz.reconcile_flow import Books

ACCOUNT = "acct_0a"
BALANCE = Balance(seq=7, limit_minor=1000, posted_minor=300, held_minor=20, unreleased_minor=5)


def _balances(valkey: Balance | None, ledger: Balance | None, settled_seq: int = 7) -> list[str]:
    found = reconcile.compare_balances(
        ACCOUNT, valkey=valkey, ledger=ledger, settled_seq=settled_seq
    )
    assert all(one.subject == ACCOUNT for one in found)
    return [one.field for one in found]


def test_equal_balances() -> None:
    """Goal: no difference; an account that went on since the ledger was read is as good."""
    assert _balances(BALANCE, BALANCE) == []
    assert _balances(BALANCE, BALANCE, settled_seq=3) == []


@pytest.mark.parametrize("field", reconcile.BALANCE_FIELDS)
def test_every_field_counts(field: str) -> None:
    """Goal: one cent in one field is one difference, with both sides."""
    other = replace(BALANCE, **{field: getattr(BALANCE, field) + 1})
    assert _balances(other, BALANCE) == [field]
    (one,) = reconcile.compare_balances(ACCOUNT, valkey=other, ledger=BALANCE, settled_seq=7)
    assert int(one.found) == int(one.expected) + 1


@pytest.mark.parametrize(
    ("valkey", "ledger", "settled_seq", "field"),
    [
        (None, BALANCE, 7, "account"),
        (BALANCE, None, 7, "seq"),
        (BALANCE, BALANCE, 8, "seq"),
    ],
    ids=["not in Valkey", "entry not in the ledger", "Valkey behind the ledger"],
)
def test_accounts_that_one_side_lacks(
    valkey: Balance | None, ledger: Balance | None, settled_seq: int, field: str
) -> None:
    """Goal: absence is a difference, whichever side it is on."""
    assert _balances(valkey, ledger, settled_seq) == [field]


def test_an_account_of_valkey_alone() -> None:
    """Goal: told with its seq."""
    assert reconcile.unknown_account(ACCOUNT, BALANCE).found == "seq 7"


def test_holds() -> None:
    """Goal: the sum of the open holds is what is held."""
    assert reconcile.compare_holds(ACCOUNT, holds_minor=20, held_minor=20) == []
    (one,) = reconcile.compare_holds(ACCOUNT, holds_minor=21, held_minor=20)
    assert (one.field, one.found, one.expected) == ("held_minor", "20", "21")


def test_held_after_entries_that_came_in_between() -> None:
    """Goal: holds read one by one become the sum at the last entry.

    Method: one untouched, one closed, one changed twice, one that was not there when it was read.
    """
    read = {"a": 100, "b": 50, "c": 30}
    later = [("c", 20), ("b", 0), ("d", 7), ("c", 10)]
    assert reconcile.held_after(read, later) == 100 + 0 + 10 + 7


@pytest.mark.parametrize(
    ("valkey", "before", "after", "stopped", "fields"),
    [
        (Place(1, 5), Place(1, 5), Place(1, 5), None, []),
        (Place(1, 5), Place(1, 3), Place(1, 9), None, []),
        (None, Place(1, 5), Place(1, 5), None, ["epoch"]),
        (Place(2, 5), Place(1, 5), Place(1, 5), None, ["epoch"]),
        (Place(1, 4), Place(1, 5), Place(1, 5), None, ["pseq"]),
        (Place(1, 6), Place(1, 5), Place(1, 5), None, ["pseq"]),
        (Place(1, 6), Place(1, 5), Place(1, 5), "gap", ["settled", "pseq"]),
    ],
)
def test_partitions(
    valkey: Place | None, before: Place, after: Place, stopped: str | None, fields: list[str]
) -> None:
    """Goal: epoch, numbers that are lost, numbers that are not settled, a stopped partition."""
    found = reconcile.compare_meta(
        3, valkey=valkey, before=before, after=after, stopped_because=stopped
    )
    assert [one.field for one in found] == fields


@pytest.mark.parametrize(
    ("position", "entries", "first", "last", "fields"),
    [
        (0, 0, 1, 0, []),
        (5, 5, 1, 5, []),
        (5, 4, 1, 5, ["entries"]),
        (5, 4, 2, 5, ["entries", "first_pseq"]),
        (5, 6, 1, 6, ["entries", "last_pseq"]),
    ],
)
def test_numbers_without_gaps(
    position: int, entries: int, first: int, last: int, fields: list[str]
) -> None:
    """Goal: as many entries as the position says, from 1 to it."""
    found = reconcile.compare_partition(
        3, position=position, entries=entries, first_pseq=first, last_pseq=last
    )
    assert [one.field for one in found] == fields


def test_the_line() -> None:
    """Goal: exactly this text, which people and scripts look for."""
    books = Books(accounts=3, entries=14, differences=0)
    assert books.line() == "books balance: 3 accounts, 14 entries, 0 differences"
    assert "NOT" in replace(books, differences=1).line()
