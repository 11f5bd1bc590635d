"""Statements as files for machines: CSV and JSON. People read `statement_pdf`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from google.protobuf import json_format

from holdfast.accounts.v1 import statement_pb2 as pb
from holdfast.accounts.v1 import statement_service_pb2 as rpc
from runtime.formulas import is_formula
from runtime.money import decimal_minor

_COLUMNS: tuple[str, ...] = (
    "date",
    "description",
    "type",
    "amount",
    "currency",
    "category_code",
    "card_id",
    "user_id",
    "authorization_id",
    "payment_id",
    "related_entry_id",
    "entry_id",
)
_MONEY = ("amount", "currency")


def as_json(statement: pb.Statement, lines: Sequence[pb.StatementLine]) -> bytes:
    """`GetStatementResponse` in proto3 JSON."""
    answer = rpc.GetStatementResponse(statement=statement, lines=lines)
    return json_format.MessageToJson(answer, preserving_proto_field_name=True).encode()


def as_csv(lines: Sequence[pb.StatementLine]) -> bytes:
    """One row per line (RFC 4180); texts that a spreadsheet would run begin with an apostrophe."""
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS)
    table.writeheader()
    for line in lines:
        amount = line.amount
        own = {name: _quiet(getattr(line, name)) for name in _COLUMNS if name not in _MONEY}
        decimals = decimal_minor(amount.amount_minor, amount.currency_code)
        table.writerow({**own, "amount": decimals, "currency": amount.currency_code})
    return text.getvalue().encode()


def _quiet(text: str) -> str:
    return f"'{text}" if is_formula(text) else text
