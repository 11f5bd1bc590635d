"""CSV files of `holdfast import` and `export`: read row by row, written whole or not at all."""

from __future__ import annotations

import csv
import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from runtime.cli.output import CliError
from runtime.formulas import is_formula

#: Longest field of a row that is not refused, in characters, and of a file that is read on: a quote
#: that is never closed makes a field of all that follows.
FIELD_LENGTH_MAX, FIELD_LENGTH_TOP = 4_096, 65_536

#: What columns are called.
_COLUMN = re.compile(r"[a-z]{1,20}(_[a-z0-9]{1,20}){0,3}")
#: What looks like a formula, and is none: telephone numbers, too.
_NUMBER = re.compile(r"[+-]?[0-9]+")

#: A row was made, was there before, or was refused.
CREATED, EXISTED, REFUSED = "created", "existed", "refused"
#: It is kept, and somebody has to say whose it is.
UNMATCHED = "unmatched"


class Wrong(NamedTuple):
    """What is wrong with a row; an empty field means all of it."""

    field: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a file: the line it begins in, and its fields that are not empty."""

    line: int
    values: dict[str, str] = field(repr=False)
    #: Wrong before anybody was asked.
    wrong: tuple[Wrong, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a row."""

    word: str
    id: str = ""
    wrong: tuple[Wrong, ...] = ()


class CsvFile:
    """Rows of a CSV file in UTF-8 whose first line names the columns."""

    def __init__(self, path: Path, *, columns: Sequence[str], required: Sequence[str]) -> None:
        self._path = path
        self._columns = columns
        self._required = required
        self._read = 0
        self.size = path.stat().st_size if path.is_file() else 0

    @property
    def read_bytes(self) -> int:
        """How far the file was read, about."""
        return self._read

    def rows(self) -> Iterator[Row]:
        """Every row, one after the other; raises CliError for a file that is none of this kind."""
        csv.field_size_limit(FIELD_LENGTH_TOP)
        try:
            # What is no UTF-8 is a fault of its row, not of the file.
            with self._path.open(
                newline="", encoding="utf-8-sig", errors="surrogateescape"
            ) as text:
                reader = csv.reader(text, strict=True)
                header = self._header(next(reader, []))
                line = reader.line_num + 1
                for values in reader:
                    if values:
                        yield _row(line, header, values)
                    line = reader.line_num + 1
                    self._read = os.lseek(text.fileno(), 0, os.SEEK_CUR)
        except OSError as error:
            raise CliError(f"cannot read {self._path}: {error.strerror}") from None
        except csv.Error as error:
            raise CliError(f"{self._path}, line {reader.line_num}: {error}") from None

    def _header(self, names: list[str]) -> list[str]:
        header = [name.strip() for name in names]
        known = ", ".join(self._columns)
        # Of a file without such a line this would be the first person: only what is called like a
        # column is repeated.
        if unknown := [
            name if _COLUMN.fullmatch(name) else f"number {place}"
            for place, name in enumerate(header, 1)
            if name not in self._columns
        ]:
            raise CliError(
                f"{self._path} has columns that are not known: {', '.join(unknown)[:200]}",
                hint=f"the first line names the columns, of these: {known}",
            )
        if missing := [name for name in self._required if name not in header]:
            raise CliError(f"{self._path} lacks the columns {', '.join(missing)}")
        if len(set(header)) < len(header):
            raise CliError(f"{self._path} names a column twice")
        return header


async def run_export(
    path: Path,
    columns: Sequence[str],
    rows: AsyncIterator[Sequence[str]],
    *,
    on_row: Callable[[int], None] = lambda _: None,
) -> int:
    """Writes rows to a file that only its owner reads, and that is there whole or not at all;
    returns how many. What a spreadsheet would run begins with an apostrophe.
    """
    count = 0
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", newline="", encoding="utf-8") as text:
            writer = csv.writer(text)
            writer.writerow(columns)
            async for row in rows:
                writer.writerow([_quiet(text) for text in row])
                count += 1
                on_row(count)
            text.flush()
            os.fsync(text.fileno())
        os.replace(name, path)  # noqa: PTH105 - as the others here
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}") from None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)  # noqa: PTH108
    return count


@contextmanager
def written_results(path: Path | None) -> Iterator[Callable[[Row, Outcome], None]]:
    """Writes what became of each row: line, reference, id, outcome, and what was wrong. No field
    but the reference is repeated.
    """
    if path is None:
        yield lambda *_: None
        return
    try:
        # Ids and references say who is a customer.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow(("line", "reference", "id", "outcome", "field", "description"))

        def tell(row: Row, outcome: Outcome) -> None:
            reference = row.values.get("reference", "") if not row.wrong else ""
            for wrong in outcome.wrong or (Wrong("", ""),):
                told = (row.line, _quiet(reference), outcome.id, outcome.word)
                writer.writerow((*told, *wrong))

        yield tell


def _row(line: int, header: list[str], values: list[str]) -> Row:
    if len(values) != len(header):
        wrong = Wrong("", f"has {len(values)} fields; the first line names {len(header)}")
        return Row(line=line, values={}, wrong=(wrong,))
    found = {name: value.strip() for name, value in zip(header, values, strict=True)}
    faults = tuple(
        Wrong(name, fault) for name, value in found.items() if (fault := _fault_of(value))
    )
    return Row(line=line, values={n: v for n, v in found.items() if v}, wrong=faults)


def _quiet(text: str) -> str:
    """A text that no spreadsheet runs: people say what they are called."""
    runs = is_formula(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if runs else text


def _fault_of(value: str) -> str:
    """What is wrong with any field that is like this; empty: nothing."""
    if len(value) > FIELD_LENGTH_MAX:
        return f"has more than {FIELD_LENGTH_MAX:,} characters"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "is not UTF-8"
    return ""
