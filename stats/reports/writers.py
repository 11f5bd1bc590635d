"""Writes rows into files, some at a time: texts for machines. Others are modules of their own."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from stats.measures import Measures
from stats.reports.chart import bars_of
from stats.reports.report import Format, Report
from stats.reports.spending import Overview
from stats.reports.table import Column, Row, Texts, spending_columns


class Writer(Protocol):
    """Writes one file. Its calls block: each runs in a thread."""

    def write(self, rows: Sequence[Row]) -> None:
        """Adds rows."""
        ...

    def end(self) -> None:
        """Finishes the file: now it is there, whole."""
        ...

    def give_up(self) -> None:
        """Lets go of what is open."""
        ...


class CsvWriter:
    """A heading and a line for each row (RFC 4180)."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._texts = Texts(columns)
        self._file = path.open("w", encoding="utf-8", newline="")
        self._table = csv.writer(self._file)
        self._table.writerow(self._texts.heading)

    def write(self, rows: Sequence[Row]) -> None:
        """Adds rows."""
        self._table.writerows(self._texts.of(rows))

    def end(self) -> None:
        """Finishes the file."""
        self._file.close()

    def give_up(self) -> None:
        """Lets go of the file."""
        self._file.close()


class JsonWriter:
    """One object: what was asked for, the totals, the rows; amounts in minor units."""

    def __init__(self, path: Path, report: Report, found: Overview) -> None:
        self._names = [_name(one) for one in spending_columns(report.wanted.groups)]
        self._file = path.open("w", encoding="utf-8", newline="")
        head = {
            "report_id": report.id,
            "subject_id": report.wanted.subject_id,
            "start_date": report.start.isoformat(),
            "end_date": report.end.isoformat(),
            "groups": [one.lower() for one in report.wanted.groups],
            "totals": [
                {"currency": currency, **totals_of(one)} for currency, one in found.totals.items()
            ],
        }
        self._file.write(f'{_json(head)[:-1]},"rows":[')
        self._separator = "\n"

    def write(self, rows: Sequence[Row]) -> None:
        """Adds rows."""
        for row in rows:
            self._file.write(self._separator + _json(dict(zip(self._names, row, strict=True))))
            self._separator = ",\n"

    def end(self) -> None:
        """Finishes the file."""
        self._file.write("]}\n")
        self._file.close()

    def give_up(self) -> None:
        """Lets go of the file."""
        self._file.close()


def spending_writer(path: Path, report: Report, found: Overview) -> Writer:
    """What writes a report of spending."""
    match report.wanted.format:
        case Format.JSON:
            return JsonWriter(path, report, found)
        case Format.XLSX:
            return spending_workbook(path, report, found)
        case Format.PDF:
            from stats.reports.pdf import PdfWriter  # noqa: PLC0415  slow, and rarely wanted

            return PdfWriter(path, report, found)
        case _:
            return CsvWriter(path, spending_columns(report.wanted.groups))


def spending_workbook(path: Path, report: Report, found: Overview) -> Writer:
    """A workbook with totals, a chart and the rows."""
    from stats.reports.workbook import WorkbookWriter  # noqa: PLC0415  slow, and rarely wanted

    names = {
        "purchases": "purchase_minor",
        "of it cash": "cash_minor",
        "refunds": "refund_minor",
        "net spend": "net_spend_minor",
        "payments": "payment_minor",
        "fees": "fee_minor",
        "interest": "interest_minor",
        "adjustments": "adjustment_minor",
        "charged off": "charge_off_minor",
        "recovered": "recovery_minor",
    }
    return WorkbookWriter(
        path,
        spending_columns(report.wanted.groups),
        facts=facts_of(report),
        totals=[
            (name.capitalize(), currency, totals_of(one)[field])
            for currency, one in found.totals.items()
            for name, field in names.items()
        ],
        bars=bars_of(found.days, report.start, report.end, week_start=found.week_start),
    )


def facts_of(report: Report) -> list[tuple[str, str]]:
    """What people want to know of a report."""
    wanted = report.wanted
    found = [
        ("About", wanted.subject_id),
        ("From", report.start.isoformat()),
        ("To", report.end.isoformat()),
    ]
    if wanted.groups:
        found.append(("Broken down by", ", ".join(one.lower() for one in wanted.groups)))
    else:
        found.append(("Books of", f"the {wanted.books.lower()}"))
    return [*found, ("Report", report.id)]


def totals_of(one: Measures) -> dict[str, int]:
    """What everything comes to, in minor units."""
    return {
        "purchase_count": one.purchase_count,
        "purchase_minor": one.purchase_minor,
        "cash_count": one.cash_count,
        "cash_minor": one.cash_minor,
        "refund_count": one.refund_count,
        "refund_minor": one.refund_minor,
        "net_spend_minor": one.net_spend_minor,
        "payment_minor": one.payment_minor,
        "fee_minor": one.fee_minor,
        "interest_minor": one.interest_minor,
        "adjustment_minor": one.adjustment_minor,
        "charge_off_minor": one.charge_off_minor,
        "recovery_minor": one.recovery_minor,
        "declined_count": one.declined_count,
    }


def _name(column: Column) -> str:
    names: dict[str, str] = {
        "purchases": "purchase_minor",
        "refunds": "refund_minor",
        "net_spend": "net_spend_minor",
        "cash_advances": "cash_minor",
    }
    return names.get(column.name, column.name)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
