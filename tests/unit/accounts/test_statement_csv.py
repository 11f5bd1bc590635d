"""Statements as CSV: no spreadsheet runs what a merchant is called."""

from __future__ import annotations

import csv

import pytest

from accounts.billing.render import as_csv
from holdfast.accounts.v1 import statement_pb2 as pb
from holdfast.type.v1.money_pb2 import Money


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        ("Shop =1+1", "Shop =1+1"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t1", "'\t1"),
        ("\r1", "'\r1"),
        (" =1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
    ],
)
def test_no_description_is_a_formula(description: str, shown: str) -> None:
    amount = Money(currency_code="USD", amount_minor=-150)
    text = as_csv([pb.StatementLine(description=description, amount=amount)]).decode()
    (row,) = csv.DictReader(text.splitlines(keepends=True))
    assert (row["description"], row["amount"]) == (shown, "-1.50")
