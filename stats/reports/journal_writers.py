"""Writes journals in what accounting programs import: QuickBooks Desktop (IIF), QuickBooks Online
and Xero (CSV). Each day is one journal in each currency: Xero takes 300 lines at once.

All have in common that a journal's debits are its credits, and that its lines stand together.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path

from runtime.money import EXPONENTS
from stats.reports.journal import COLUMNS, Daily, Entry, Line, rows_of
from stats.reports.report import Books, Format, Report
from stats.reports.table import decimal
from stats.reports.writers import CsvWriter, Writer, facts_of

#: One journal as rows.
Rows = Callable[[date, str, Sequence[Line]], Iterable[Sequence[str]]]

_QUICKBOOKS_ONLINE = (
    *("JournalNo", "JournalDate", "AccountName", "Debits", "Credits", "Description", "Currency"),
)
_XERO = ("*Narration", "*Date", "Description", "*AccountCode", "*TaxRate", "*Amount")
_TAX = "Tax Exempt"
_IIF = ("TRNSTYPE", "DATE", "ACCNT", "AMOUNT", "DOCNUM", "MEMO")
_IIF_HEADING = (("!TRNS", *_IIF), ("!SPL", *_IIF), ("!ENDTRNS",))
_GENERAL = "GENERAL JOURNAL"


class EntryWriter:
    """Writes each line of each entry as a row of a table."""

    def __init__(self, table: Writer, books: Books) -> None:
        self._table = table
        self._books = books
        self.rows = 0

    def write(self, entries: Sequence[Entry]) -> None:
        """Adds entries."""
        found = [row for entry in entries for row in rows_of(entry, self._books)]
        self._table.write(found)
        self.rows += len(found)

    def end(self) -> None:
        """Finishes the file."""
        self._table.end()

    def give_up(self) -> None:
        """Lets go of the file."""
        self._table.give_up()


class DailyWriter:
    """Adds entries up to journals of days, and writes them in the end."""

    def __init__(
        self,
        path: Path,
        books: Books,
        heading: Iterable[Sequence[str]],
        rows: Rows,
        *,
        delimiter: str = ",",
    ) -> None:
        self._daily = Daily(books)
        self._rows = rows
        self._file = path.open("w", encoding="utf-8", newline="")
        self._table = csv.writer(self._file, delimiter=delimiter)
        self._table.writerows(heading)
        self.rows = 0

    def write(self, entries: Sequence[Entry]) -> None:
        """Adds entries."""
        for entry in entries:
            self._daily.take(entry)

    def end(self) -> None:
        """Writes the file."""
        for day, currency, lines in self._daily.journals():
            self._table.writerows(self._rows(day, currency, lines))
            self.rows += len(lines)
        self._file.close()

    def give_up(self) -> None:
        """Lets go of the file."""
        self._file.close()


def journal_writer(path: Path, report: Report) -> EntryWriter | DailyWriter:
    """What writes a journal."""
    books = report.wanted.books
    match report.wanted.format:
        case Format.QUICKBOOKS_IIF:
            return DailyWriter(path, books, _IIF_HEADING, iif, delimiter="\t")
        case Format.QUICKBOOKS_CSV:
            return DailyWriter(path, books, [_QUICKBOOKS_ONLINE], quickbooks_online)
        case Format.XERO_CSV:
            return DailyWriter(path, books, [_XERO], xero)
        case Format.XLSX:
            from stats.reports.workbook import WorkbookWriter  # noqa: PLC0415  slow to import

            table = WorkbookWriter(path, COLUMNS, facts=facts_of(report))
            return EntryWriter(table, books)
        case _:
            return EntryWriter(CsvWriter(path, COLUMNS), books)


def quickbooks_online(day: date, currency: str, lines: Sequence[Line]) -> Iterable[Sequence[str]]:
    """Rows of one journal; a number stands for each."""
    for account, amount_minor in lines:
        yield (
            _number(day, currency),
            f"{day:%m/%d/%Y}",
            account.name,
            _amount(max(amount_minor, 0) or None, currency),
            _amount(max(-amount_minor, 0) or None, currency),
            _words(day),
            currency,
        )


def xero(day: date, currency: str, lines: Sequence[Line]) -> Iterable[Sequence[str]]:
    """Rows of one journal; what has the same narration and date is one."""
    for account, amount_minor in lines:
        yield (
            f"{_words(day)} {currency}",
            f"{day:%d/%m/%Y}",
            account.name,
            account.code,
            _TAX,
            _amount(amount_minor, currency),
        )


def iif(day: date, currency: str, lines: Sequence[Line]) -> Iterable[Sequence[str]]:
    """One transaction: its first line, the others, and its end."""
    for number, (account, amount_minor) in enumerate(lines):
        yield (
            "SPL" if number else "TRNS",
            _GENERAL,
            f"{day:%m/%d/%Y}",
            account.name,
            _amount(amount_minor, currency),
            _number(day, currency),
            _words(day),
        )
    if lines:
        yield ("ENDTRNS",)


def _number(day: date, currency: str) -> str:
    """QuickBooks Desktop takes eleven characters."""
    return f"{day:%Y%m%d}{currency}"


def _words(day: date) -> str:
    return f"Cards {day.isoformat()}"


def _amount(amount_minor: int | None, currency: str) -> str:
    return decimal(amount_minor, EXPONENTS[currency])
