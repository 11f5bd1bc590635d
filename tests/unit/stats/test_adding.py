"""What a page adds, column by column."""

from __future__ import annotations

import pytest

from stats import adding
from stats.adding import CELL_COLUMNS, SEPARATOR, SeparatorError
from stats.fold import Cell
from stats.measures import COLUMNS, Measures
from tests.unit.stats.histories import CARD, FIRST_DAY, PLACE

SHOP = PLACE._replace(merchant="shop", category="5411")


def at(place: object = PLACE) -> Cell:
    return Cell(partition=1, day=FIRST_DAY, place=place)  # type: ignore[arg-type]


def test_places_are_summed_by_subject() -> None:
    totals, _ = adding.counted(
        {
            at(): Measures(purchase_count=1, purchase_minor=30, largest_minor=30, corrected_ms=4),
            at(SHOP): Measures(
                purchase_count=2, purchase_minor=12, largest_minor=7, corrected_ms=9
            ),
        }
    )
    subjects, days, currencies, partitions, *values = (one.split(SEPARATOR) for one in totals)
    assert subjects == sorted(PLACE.subjects)
    assert CARD in subjects
    assert (set(days), set(currencies), set(partitions)) == ({"2026-01-30"}, {"USD"}, {"1"})
    named = dict(zip(COLUMNS, values, strict=True))
    assert {name: set(column) for name, column in named.items() if column != [""]} == {
        "purchase_count": {"3"},
        "purchase_minor": {"42"},
        "largest_minor": {"30"},
        "corrected_ms": {"9"},
    }


def test_what_comes_to_nothing_has_its_rows() -> None:
    """The place is what an origin refers to; and pages that are cut in another way have the total,
    too.
    """
    cells = {at(SHOP): Measures(), at(): Measures(purchase_count=-1)}
    _, (digests, _, accounts, *rest) = adding.counted(cells)
    assert digests.split(SEPARATOR) == [SHOP.digest(), PLACE.digest()]
    assert accounts == SEPARATOR.join([PLACE.account_id] * 2)
    counts = dict(zip(CELL_COLUMNS, rest[-len(CELL_COLUMNS) :], strict=True))
    assert counts.pop("purchase_count").split(SEPARATOR) == ["0", "-1"]
    assert set(counts.values()) == {""}
    subjects, *_, corrected = adding.counted({at(): Measures()})[0]
    assert (subjects.split(SEPARATOR), corrected) == (sorted(PLACE.subjects), "")


def test_no_value_has_what_stands_between_values() -> None:
    assert adding.text_of(["a", "", "b"]) == "a\x1f\x1fb"
    assert adding.text_of([]) == ""
    with pytest.raises(SeparatorError):
        adding.text_of(["a\x1fb", "c"])
