"""Between the wire and the domain, for transfers that a bank tells of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from holdfast.payments.v1 import transfer_pb2, transfer_service_pb2
from payments.convert import (
    BANK_REFERENCE_LENGTH,
    SOURCE_NUMBERS,
    SOURCES,
    check_bank_reference,
    date_of,
    money,
)
from payments.payment import TRANSFERS, Source
from payments.transfer import IMPORT_MAX, REMITTANCE_LENGTH, Kept, Transfer, may_have_arrived
from runtime.errors import NotFound, Violation
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, timestamp

Result = transfer_pb2.ImportedTransferResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One row: a transfer, or what is wrong with it."""

    transfer: Transfer | None
    violations: tuple[Violation, ...] = ()


def import_transfers(
    request: transfer_service_pb2.ImportTransfersRequest, context: Any, *, now_ms: int
) -> tuple[RequestKey, list[Checked]]:
    """Checks ImportTransfersRequest, and each of its rows by itself."""
    violations = Violations()
    key = key_of(request, context, violations)
    if not 0 < len(request.transfers) <= IMPORT_MAX:
        violations.add("transfers", f"must be 1 to {IMPORT_MAX}")
    violations.raise_if_any()
    return key, [_checked(one, now_ms=now_ms) for one in request.transfers]


def dismiss_transfer(
    request: transfer_service_pb2.DismissTransferRequest, context: Any
) -> tuple[RequestKey, Source, str]:
    """Checks DismissTransferRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    source = SOURCES.get(request.source)
    if source not in TRANSFERS:
        violations.add("source", "must be WIRE or ZELLE")
    violations.text(
        "bank_reference", request.bank_reference, limit=BANK_REFERENCE_LENGTH, required=True
    )
    violations.raise_if_any()
    assert source is not None, "checked above"
    return key, source, request.bank_reference


def unmatched_page(request: transfer_service_pb2.ListUnmatchedTransfersRequest) -> Page:
    """Checks ListUnmatchedTransfersRequest."""
    violations = Violations()
    found = page_of(request.page_size, request.page_token, scope="unmatched", violations=violations)
    violations.raise_if_any()
    return found


def refused(violations: Iterable[Violation]) -> Result:
    """The result of a row that is wrong."""
    return Result(
        outcome=Result.OUTCOME_REFUSED,
        violations=[
            transfer_pb2.TransferViolation(field=one.field, description=one.description)
            for one in violations
        ],
    )


def came_otherwise() -> Result:
    """The result of a row whose reference was used for something else."""
    return refused([Violation("bank_reference", "came before with another amount")])


def unmatched(one: Kept) -> transfer_pb2.UnmatchedTransfer:
    """The message that shows a transfer on the list."""
    transfer = one.transfer
    return transfer_pb2.UnmatchedTransfer(
        transfer=transfer_pb2.IncomingTransfer(
            source=SOURCE_NUMBERS[transfer.source],
            bank_reference=transfer.bank_reference,
            amount=money(transfer.amount_minor, transfer.currency_code),
            receive_date=str(transfer.receive_date),
            remittance=transfer.remittance,
        ),
        reason=transfer_pb2.UnmatchedTransfer.Reason.Value(f"REASON_{one.reason}"),
        create_time=timestamp(one.create_ms),
    )


def not_found(source: Source, bank_reference: str) -> NotFound:
    """The error for a transfer that is not on the list."""
    return NotFound(
        "no such transfer is on the list",
        reason="TRANSFER_NOT_FOUND",
        metadata={"source": source, "bank_reference": bank_reference},
    )


def _checked(one: transfer_pb2.IncomingTransfer, *, now_ms: int) -> Checked:
    violations = Violations()
    source = SOURCES.get(one.source)
    if source not in TRANSFERS:
        violations.add("source", "must be WIRE or ZELLE")
    check_bank_reference(one.bank_reference, violations)
    violations.money("amount", one, minimum=1)
    violations.text("remittance", one.remittance, limit=REMITTANCE_LENGTH)
    day = date_of("receive_date", one.receive_date, violations)
    if day is not None and not may_have_arrived(day, now_ms=now_ms):
        violations.add("receive_date", "must be within the last 90 days")
    if violations.found:
        return Checked(transfer=None, violations=violations.found)
    assert source is not None, "checked above"
    assert day is not None, "checked above"
    return Checked(
        transfer=Transfer(
            source=source,
            bank_reference=one.bank_reference,
            amount_minor=one.amount.amount_minor,
            currency_code=one.amount.currency_code,
            receive_date=day,
            remittance=one.remittance,
        )
    )
