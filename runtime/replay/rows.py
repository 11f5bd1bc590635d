"""Reads a table of purchases: every row is good, or told with its line and what is wrong.

Memory is bounded whatever the file holds. A file that cannot be read on is read so far.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from runtime.money import AMOUNT_MINOR_LIMIT, is_currency

#: Columns that must be there; others are left alone. An amount below zero is a refund.
COLUMNS = (
    "date",
    "card_last4",
    "merchant",
    "amount_minor",
    "currency",
    "original_amount_minor",
    "original_currency",
)
#: Bytes of a line; a longer one is a bad row.
LINE_BYTES_MAX = 65_536
#: Characters of a merchant's descriptor, as the contract has it.
MERCHANT_LENGTH_MAX = 128

_GZIP_MAGIC = b"\x1f\x8b"
_TOO_LONG = "\x00too long\n"
_LAST4 = re.compile(r"[0-9]{4}")
_AMOUNT = re.compile(r"-?[0-9]{1,16}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
#: The contract takes times from 2000 to 2100.
_YEARS = range(2000, 2100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One purchase, or refund if the amount is below zero."""

    line: int
    time: datetime
    card_last4: str
    merchant: str
    amount_minor: int
    currency: str
    original_amount_minor: int
    original_currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that is skipped, and why."""

    line: int
    reason: str


class UnreadableFileError(Exception):
    """The file is no table of purchases at all."""


class RowFile:
    """An open file, plain or gzip; the content decides, not the name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: What kept the file from being read to its end; empty if nothing did.
        self.ended_early = ""
        try:
            self._raw: BinaryIO = path.open("rb")
            self._bytes = os.fstat(self._raw.fileno()).st_size
            magic = self._raw.read(len(_GZIP_MAGIC))
        except OSError as error:
            raise UnreadableFileError(f"cannot read {path}: {error.strerror}") from None
        self._raw.seek(0)
        self._file: BinaryIO = self._raw
        if magic == _GZIP_MAGIC:
            self._file = gzip.GzipFile(fileobj=self._raw)  # type: ignore[assignment]
        elif path.suffix == ".gz" and magic:
            self._raw.close()
            raise UnreadableFileError(f"{path} is named .gz but is not compressed with gzip")
        self._table = csv.reader(self._lines())
        try:
            self._header = self._read_header()
        except BaseException:
            self._raw.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._raw.close()

    @property
    def fraction(self) -> float:
        """How much of the file has been read, from 0 to 1."""
        return self._raw.tell() / max(self._bytes, 1)

    def rows(self) -> Iterator[Row | BadRow]:
        """Every row after the header; blank lines are none."""
        while True:
            first = self._table.line_num + 1
            try:
                cells = next(self._table)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(line=first, reason=self._spanning(first, f"is no CSV: {error}"))
            except (OSError, EOFError, zlib.error) as error:
                self.ended_early = _because(error)
                yield BadRow(line=first, reason=self.ended_early)
                return
            else:
                if cells:
                    yield self._row(first, cells)

    def _row(self, line: int, cells: list[str]) -> Row | BadRow:
        if len(cells) != len(self._header):
            reason = f"has {len(cells)} columns, the header has {len(self._header)}"
            if cells == [_TOO_LONG.strip("\n")]:
                reason = f"is longer than {LINE_BYTES_MAX} bytes"
            return BadRow(line=line, reason=self._spanning(line, reason))
        try:
            return parse_row(line, dict(zip(self._header, cells, strict=True)))
        except ValueError as error:
            return BadRow(line=line, reason=self._spanning(line, str(error)))

    def _spanning(self, first: int, reason: str) -> str:
        last = self._table.line_num
        if last <= first:
            return reason
        return f"{reason} (the row goes on to line {last}: is a quotation mark missing?)"

    def _read_header(self) -> list[str]:
        try:
            header = next(self._table, [])
        except (OSError, EOFError, zlib.error, csv.Error) as error:
            raise UnreadableFileError(f"{self._path}: {_because(error)}") from None
        if not any(cell.strip() for cell in header):
            raise UnreadableFileError(f"{self._path} is empty: it has no header")
        names = [name.strip() for name in header]
        if _SURROGATE.search("".join(names)):
            raise UnreadableFileError(f"{self._path} is not UTF-8: its header cannot be read")
        if missing := [name for name in COLUMNS if name not in names]:
            raise UnreadableFileError(
                f"{self._path}: the header has no column {', '.join(missing)};"
                f" needed are {', '.join(COLUMNS)}"
            )
        return names

    def _lines(self) -> Iterator[str]:
        first = True
        while line := self._file.readline(LINE_BYTES_MAX):
            if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
                while (rest := self._file.readline(LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
                    pass
                yield _TOO_LONG
            else:
                # What is no UTF-8 becomes surrogates, which are found cell by cell.
                text = line.decode("utf-8", "surrogateescape")
                yield text.removeprefix("\ufeff") if first else text
            first = False


def parse_row(line: int, cells: dict[str, str]) -> Row:
    """The row of a table's cells; ValueError says what is wrong."""
    if _SURROGATE.search("".join(cells.values())):
        raise ValueError("is not UTF-8")
    return Row(
        line=line,
        time=_date(cells["date"]),
        card_last4=_last4(cells["card_last4"]),
        merchant=_merchant(cells["merchant"].strip()),
        amount_minor=_amount("amount_minor", cells["amount_minor"]),
        currency=_currency("currency", cells["currency"]),
        original_amount_minor=_amount("original_amount_minor", cells["original_amount_minor"]),
        original_currency=_currency("original_currency", cells["original_currency"]),
    )


def _date(text: str) -> datetime:
    try:
        found = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"date {_quoted(text)} is no day such as 2015-12-31") from None
    if found.year not in _YEARS:
        raise ValueError(f"date {_quoted(text)} is not between 2000 and 2099")
    return found


def _last4(text: str) -> str:
    if not _LAST4.fullmatch(text):
        raise ValueError(f"card_last4 {_quoted(text)} is not four digits")
    return text


def _merchant(text: str) -> str:
    if not text:
        raise ValueError("merchant is empty")
    if len(text) > MERCHANT_LENGTH_MAX:
        raise ValueError(f"merchant has more than {MERCHANT_LENGTH_MAX} characters")
    if _CONTROL.search(text):
        raise ValueError("merchant contains control characters")
    return text


def _amount(column: str, text: str) -> int:
    if not _AMOUNT.fullmatch(text):
        raise ValueError(f"{column} {_quoted(text)} is not a whole number of minor units")
    amount_minor = int(text)
    if abs(amount_minor) >= AMOUNT_MINOR_LIMIT:
        raise ValueError(f"{column} {text} is too large: amounts are below 2^53")
    return amount_minor


def _currency(column: str, text: str) -> str:
    if not is_currency(text):
        raise ValueError(f"{column} {_quoted(text)} is no ISO 4217 currency code such as GBP")
    return text


def _quoted(text: str) -> str:
    """What stands in a cell, fit to be shown."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")  # noqa: PLR2004


def _because(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the file ends in the middle of its gzip data: it is truncated"
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return f"the gzip data is damaged: {error}"
    return f"the file cannot be read on: {error}"
