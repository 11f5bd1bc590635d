"""The loan tape on the wire, and as a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import fields
from datetime import date
from typing import Any

from accounts.billing.tape import TapeRow
from accounts.billing.tape_store import Kept
from accounts.convert_programme import parse_day
from holdfast.accounts.v1 import loan_tape_service_pb2 as pb
from holdfast.accounts.v1 import statement_pb2
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.errors import NotFound
from runtime.money import decimal_minor
from runtime.paging import Page, page_of
from runtime.validate import Violations

#: Accounts of one file.
FILE_ROWS = 5_000
_MINOR = "_minor"
_RATE = "purchase_rate_bp"
#: The columns of the file: the row's, with its version beside the account.
_COLUMNS = ("day", "account_id", "version", *(one.name for one in fields(TapeRow)[2:]))


def page(request: pb.ListLoanTapeRequest) -> tuple[date, Page]:
    """Checks ListLoanTapeRequest."""
    violations = Violations()
    day = parse_day("day", request.day, violations)
    scope = f"ListLoanTape|{request.day}"
    found = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return day, found


def file_day(request: pb.DownloadLoanTapeRequest) -> date:
    """Checks DownloadLoanTapeRequest."""
    violations = Violations()
    day = parse_day("day", request.day, violations)
    violations.id("after_account_id", request.after_account_id, ids.ACCOUNT, required=False)
    violations.raise_if_any()
    return day


def not_found(day: date) -> NotFound:
    """The error for a day that is not complete."""
    return NotFound(
        "not every account has its row of this day",
        reason="LOAN_TAPE_NOT_FOUND",
        metadata={"day": str(day)},
    )


def row_of(kept: Kept) -> pb.LoanTapeRow:
    """A row on the wire."""
    found: dict[str, Any] = json.loads(kept.body)
    currency_code = found.pop("currency_code")
    bucket = statement_pb2.DelinquencyBucket.Value(f"DELINQUENCY_BUCKET_{found.pop('bucket')}")
    rate = _percent(found.pop(_RATE))
    row = pb.LoanTapeRow(version=kept.version, bucket=bucket, purchase_rate=rate)
    for name, value in found.items():
        if name.endswith(_MINOR):
            amount = Money(currency_code=currency_code, amount_minor=value)
            getattr(row, name.removesuffix(_MINOR)).CopyFrom(amount)
        else:
            setattr(row, name, value)
    return row


def as_csv(rows: Iterable[Kept]) -> bytes:
    """One line for each row, amounts in decimals."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(_title(name) for name in _COLUMNS)
    for kept in rows:
        found: dict[str, Any] = {**json.loads(kept.body), "version": kept.version}
        table.writerow(_cell(name, found[name], found["currency_code"]) for name in _COLUMNS)
    return text.getvalue().encode()


def _title(name: str) -> str:
    return "purchase_rate" if name == _RATE else name.removesuffix(_MINOR)


def _cell(name: str, value: Any, currency_code: str) -> str:
    if name == _RATE:
        return _percent(value)
    return decimal_minor(value, currency_code) if name.endswith(_MINOR) else str(value)


def _percent(rate_bp: int) -> str:
    return f"{rate_bp // 100}.{rate_bp % 100:02}"
