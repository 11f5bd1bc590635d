"""What a page adds to the tables, row by row and then column by column. No I/O, no clock, no grpc.

A page has thousands of values, most of them zero. So each column goes to PostgreSQL as one text,
its values one behind the other, and a column of nothing but zeros as an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from operator import add, attrgetter
from typing import Any

from stats.fold import Cell, Origin
from stats.measures import COLUMNS, SUMMED, Measures
from stats.movement import values_of

#: Between the values of a column; no value has it, for no text in the contract has control
#: characters.
SEPARATOR = "\x1f"
#: Measures of a cell.
CELL_COLUMNS = (
    "authorized_count",
    "authorized_minor",
    "declined_count",
    "purchase_count",
    "purchase_minor",
    "refund_count",
    "refund_minor",
)
_values = attrgetter(*COLUMNS)
_cell_values = attrgetter(*CELL_COLUMNS)
_SUMS = len(SUMMED)

#: Subject, day, currency and partition of a total.
Key = tuple[str, date, str, int]


class SeparatorError(Exception):
    """A value has the character that stands between values."""


def totals(cells: Mapping[Cell, Measures]) -> list[str]:
    """What is added to the totals of days, in the order of their key."""
    found: dict[Key, tuple[int, ...]] = {}
    for cell, measures in cells.items():
        values = _values(measures)
        if not any(values):
            continue
        place = cell.place
        for subject in place.subjects:
            key = (subject, cell.day, place.currency, cell.partition)
            known = found.get(key)
            found[key] = values if known is None else _sum(known, values)
    keys = sorted(found)
    return [*_texts(keys), *_numbers([found[key] for key in keys])]


def cells_of(cells: Mapping[Cell, Measures]) -> list[str]:
    """What is added to days at their places, in the order of their key."""
    rows = [
        (cell.place.account_id, cell.day, cell.place.digest(), cell, measures)
        for cell, measures in cells.items()
    ]
    rows.sort(key=lambda row: row[:3])
    heads = [(digest, day, *values_of(cell.place)) for _, day, digest, cell, _ in rows]
    return [*_texts(heads), *_numbers([_cell_values(row[-1]) for row in rows])]


def origins(changed: Iterable[Origin]) -> list[str]:
    """What is remembered."""
    rows = [
        (
            one.id,
            one.partition,
            one.place.account_id,
            one.day,
            one.place.digest(),
            one.amount_minor,
            one.counted,
        )
        for one in changed
    ]
    return _texts(rows)


def text_of(values: Iterable[Any]) -> str:
    """One column."""
    column = list(values)
    if column and not isinstance(column[0], str):
        column = list(map(str, column))
    text = SEPARATOR.join(column)
    if text.count(SEPARATOR) != max(len(column) - 1, 0):
        raise SeparatorError
    return text


def _sum(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return (
        *map(add, one[:_SUMS], other[:_SUMS]),
        *map(max, one[_SUMS:], other[_SUMS:]),
    )


def _texts(rows: Sequence[Sequence[Any]]) -> list[str]:
    return [text_of(column) for column in zip(*rows, strict=True)]


def _numbers(rows: Sequence[Sequence[int]]) -> list[str]:
    return [
        SEPARATOR.join(map(str, column)) if any(column) else ""
        for column in zip(*rows, strict=True)
    ]
