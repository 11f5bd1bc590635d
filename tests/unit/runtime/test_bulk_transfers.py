"""Rows of a bank's file: what no message can carry is named before anybody is asked."""

from __future__ import annotations

import pytest

from holdfast.payments.v1 import payment_pb2, transfer_pb2
from runtime.cli import bulk_transfers
from runtime.cli.csv_file import CREATED, REFUSED, UNMATCHED, Row

ROW = {
    "source": "zelle",
    "bank_reference": "Z-1",
    "amount_minor": "4000",
    "currency_code": "USD",
    "receive_date": "2027-01-19",
    "remittance": "thanks",
}
Result = transfer_pb2.ImportedTransferResult


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"amount_minor": "40.00"}, ["amount_minor"]),
        ({"amount_minor": "-1"}, ["amount_minor"]),
        ({"amount_minor": "9" * 16}, ["amount_minor"]),
        ({"source": "ACH", "amount_minor": ""}, ["amount_minor", "source"]),
    ],
)
def test_wrong_fields_are_named(changes: dict[str, str], wrong: list[str]) -> None:
    (row,) = bulk_transfers._checked(iter([Row(line=2, values={**ROW, **changes})]))
    assert [one.field for one in row.wrong] == wrong


def test_a_row_is_a_transfer() -> None:
    sent = bulk_transfers._incoming(ROW)
    assert sent.source == payment_pb2.PAYMENT_SOURCE_ZELLE
    assert (sent.amount.amount_minor, sent.amount.currency_code) == (4_000, "USD")
    assert (sent.bank_reference, sent.receive_date, sent.remittance) == (
        "Z-1",
        "2027-01-19",
        "thanks",
    )


def test_what_became_of_a_row_is_told() -> None:
    made = bulk_transfers._outcome(Result(outcome=Result.OUTCOME_CREDITED, payment_id="pay_1"))
    assert (made.word, made.id, made.wrong) == (CREATED, "pay_1", ())
    kept = bulk_transfers._outcome(Result(outcome=Result.OUTCOME_UNMATCHED))
    assert (kept.word, [one.field for one in kept.wrong]) == (UNMATCHED, ["remittance"])
    violation = transfer_pb2.TransferViolation(field="amount.amount_minor", description="must be")
    refused = bulk_transfers._outcome(
        Result(outcome=Result.OUTCOME_REFUSED, violations=[violation])
    )
    assert (refused.word, [one.field for one in refused.wrong]) == (REFUSED, ["amount_minor"])
