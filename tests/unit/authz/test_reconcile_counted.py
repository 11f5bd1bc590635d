"""Windows and locks compared: as of the entry that Valkey was read after."""

from __future__ import annotations

import pytest

from authz.controls import Limit, Use, use_of
from authz.reconcile_counted import Counted, Page, Recount, compare_locks, compare_windows
from authz.windows import Calendar, Rolling, Unit, Used, Window

NOW_MS = 1_800_000_000_000
KEY = "c0a1:x:1"


def _use(window: Window) -> Use:
    limit = Limit(
        control_id="x",
        amount_minor=1,
        count=None,
        window=window,
        categories=(),
        counting_since_ms=1,
    )
    return use_of(limit, name="card", counter="c0a1", now_ms=NOW_MS)


EVER = _use(Calendar(unit=Unit.LIFETIME))


def _compared(
    found: str | None, sums: Used | None, *changes: tuple[int, str, str], pseq: int = 10
) -> list[str]:
    counted = Counted(
        sums={} if sums is None else {KEY: {0: sums}},
        changes=[Recount(*change) for change in changes],
        locks={},
    )
    page = Page(pseq, {KEY: {} if found is None else {"0": found}})
    differences = compare_windows(10, {KEY: EVER}, page, counted)
    return [f"{one.found} for {one.expected}" for one in differences]


def test_what_agrees() -> None:
    assert _compared("300|2", Used(300, 2)) == []
    assert _compared(None, None) == []
    assert _compared(None, Used(0, 0)) == []
    assert _compared("0|0", None) == []


@pytest.mark.parametrize("found", ["301|2", "300|1", "0|0", "-300|2", "", "nonsense"])
def test_what_does_not(found: str) -> None:
    assert _compared(found, Used(300, 2)) == [f"{found} for 300|2"]


def test_entries_after_the_look_at_valkey_do_not_matter() -> None:
    """One authorization was made, one captured for less, one touched twice, one given back."""
    changes = (
        (3, "captured", f"{KEY},0,100,1"),
        (7, "twice", f"{KEY},0,50,1"),
        (9, "back", f"{KEY},0,20,1"),
        (11, "made", f"{KEY},0,5,1"),
        (12, "captured", f"{KEY},0,80,1;other,0,9,1"),
        (13, "twice", f"{KEY},0,60,1"),
        (14, "twice", f"{KEY},0,70,1"),
        (15, "back", f"{KEY},0,0,0"),
    )
    now = Used(1_000 + 5 + 80 + 70 + 0, 10 + 3)
    assert _compared("1155|13", now, *changes, pseq=15) == []
    assert _compared("1175|14", now, *changes, pseq=14) == []
    assert _compared("1155|13", now, *changes, pseq=12) == ["1155|13 for 1155|14"]
    assert _compared("1170|13", now, *changes, pseq=10) == []


def test_only_what_counts_is_compared() -> None:
    use = _use(Rolling(duration_ms=59 * 60_000))
    oldest = use.slots.oldest
    page = Page(1, {KEY: {str(oldest - 1): "5|1", str(oldest): "7|1", "x": "1|1"}})
    found = compare_windows(10, {KEY: use}, page, Counted({}, [], {}))
    assert [(one.field, one.found) for one in found] == [
        (f"slot {oldest}", "7|1"),
        ("slot x", "1|1"),
    ]


def test_locks() -> None:
    here, there = {"merchant_id": "a", "merchant_name": "b"}, {"merchant_id": "c"}

    def compared(*sides: dict[str, str] | None) -> int:
        before, ledger, after = ({} if one is None else {"card": one} for one in sides)
        return len(compare_locks(before, ledger, after))

    assert compared(None, None, None) == 0
    assert compared(here, here, here) == 0
    assert compared(None, here, here) == 0, "locked in between"
    assert compared(None, None, here) == 0, "locked after the ledger was read"
    assert compared(here, None, here) == 1
    assert compared(here, here, None) == 1
    assert compared(here, here, there) == 1
