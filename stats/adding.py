"""What a page adds to the tables, row by row and then column by column. No I/O, no clock, no grpc.

A page has thousands of values, most of them zero. So each column goes to PostgreSQL as one text,
its values one behind the other, and a column of nothing but zeros as an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import add, attrgetter

from stats.fold import Cell, Origin
from stats.measures import COLUMNS, SUMMED, Measures

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
    "cash_count",
    "cash_minor",
    "refund_count",
    "refund_minor",
)
_values = attrgetter(*COLUMNS)
_CELL_NUMBERS = tuple(COLUMNS.index(name) for name in CELL_COLUMNS)
_SUMS = len(SUMMED)

#: Subject, day, currency and partition of a total, as texts.
Key = tuple[str, str, str, str]


class SeparatorError(Exception):
    """A value has the character that stands between values."""


def counted(cells: Mapping[Cell, Measures]) -> tuple[list[str], list[str]]:
    """What is added to the totals of days, and to the days at their places. Whatever is added comes
    to nothing at times: its rows are there all the same, however the entries were cut into pages.
    """
    columns = list(zip(*map(_values, cells.values()), strict=True))
    used = [number for number, column in enumerate(columns) if any(column)]
    sums = sum(number < _SUMS for number in used)
    rows = zip(*(columns[number] for number in used), strict=True) if used else [()] * len(cells)
    days = {cell.day: str(cell.day) for cell in cells}
    heads, totals = [], dict[Key, tuple[int, ...]]()
    for (partition, day, place), values in zip(cells, rows, strict=True):
        day_text, partition_text = days[day], str(partition)
        heads.append((place.digest(), day_text, *place))
        for subject in place.subjects:
            key = (subject, day_text, place.currency, partition_text)
            known = totals.get(key)
            totals[key] = values if known is None else _sum(known, values, sums)
    keys = sorted(totals)
    found = dict(zip(used, zip(*(totals[key] for key in keys), strict=True), strict=True))
    return (
        [*columns_of(keys), *(_numbers(found.get(number, ())) for number in range(len(COLUMNS)))],
        [*columns_of(heads), *(_numbers(columns[number]) for number in _CELL_NUMBERS)],
    )


def origins(changed: Iterable[Origin]) -> list[str]:
    """What is remembered."""
    rows = [
        (
            one.id,
            str(one.partition),
            one.place.account_id,
            str(one.day),
            one.place.digest(),
            str(one.amount_minor),
            "t" if one.counted else "f",
        )
        for one in changed
    ]
    return columns_of(rows)


def text_of(values: Iterable[str]) -> str:
    """One column."""
    column = list(values)
    text = SEPARATOR.join(column)
    if text.count(SEPARATOR) != max(len(column) - 1, 0):
        raise SeparatorError
    return text


def columns_of(rows: Iterable[Sequence[str]]) -> list[str]:
    """The columns of some rows."""
    return [text_of(column) for column in zip(*rows, strict=True)]


def _sum(one: tuple[int, ...], other: tuple[int, ...], sums: int) -> tuple[int, ...]:
    """The first `sums` add up, of the others the larger one counts."""
    if len(one) == sums:
        return tuple(map(add, one, other))
    return (*map(add, one[:sums], other[:sums]), *map(max, one[sums:], other[sums:]))


def _numbers(column: Sequence[int]) -> str:
    return SEPARATOR.join(map(str, column)) if any(column) else ""
