"""`holdfast import transfers`: a bank's file of incoming payments, through TransferService."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from holdfast.payments.v1 import payment_pb2, transfer_pb2
from holdfast.payments.v1 import transfer_service_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime.cli.bulk import Report, import_command, run_import
from runtime.cli.csv_file import CREATED, EXISTED, REFUSED, UNMATCHED, Outcome, Row, Wrong
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.devstack import state
from runtime.mesh_client import CALL_TIMEOUT_S, connect
from runtime.settings import Settings

REQUIRED_COLUMNS = ("source", "bank_reference", "amount_minor", "currency_code", "receive_date")
IMPORT_COLUMNS = (*REQUIRED_COLUMNS, "remittance")
#: Digits of an amount that a message can carry.
_AMOUNT_DIGITS = 15
_SOURCES = {
    "WIRE": payment_pb2.PAYMENT_SOURCE_WIRE,
    "ZELLE": payment_pb2.PAYMENT_SOURCE_ZELLE,
}
_RESULT = transfer_pb2.ImportedTransferResult
_WORDS = {
    _RESULT.OUTCOME_CREDITED: CREATED,
    _RESULT.OUTCOME_EXISTED: EXISTED,
    _RESULT.OUTCOME_UNMATCHED: UNMATCHED,
    _RESULT.OUTCOME_REFUSED: REFUSED,
}
_NOBODYS = Wrong("remittance", "names no account here; kept for staff")
#: Fields of the contract that are called otherwise in a file.
_NAMES = {
    "amount": "amount_minor",
    "amount.amount_minor": "amount_minor",
    "amount.currency_code": "currency_code",
}


def import_transfers(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV; see docs/OPERATIONS.md.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row, and do nothing.")
    ] = False,
    results: Annotated[
        Path | None,
        typer.Option("--results", metavar="FILE", help="Write line, payment and outcome here."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Credits the wires and Zelle transfers of a bank's file to the accounts that they name, each
    once, however often it is imported. Those that name none are kept for staff.

    Exit 1: rows were refused, or belong to nobody; the others are in.
    """
    output = Output(as_json=as_json)
    settings, ports = state.running(load_settings(home))

    def run(rows: Iterator[Row], report: Report, on_row: Callable[[Row, Outcome], None]) -> None:
        run_to_end(_import(settings, ports, rows, report, on_row, dry_run=dry_run))

    import_command(
        file,
        output,
        columns=IMPORT_COLUMNS,
        required=REQUIRED_COLUMNS,
        run=run,
        results=results,
        dry_run=dry_run,
    )


async def _import(
    settings: Settings,
    ports: dict[str, int],
    rows: Iterator[Row],
    report: Report,
    on_row: Callable[[Row, Outcome], None],
    *,
    dry_run: bool,
) -> None:
    async with connect(settings, ports) as client:

        async def send(request_id: str, batch: Sequence[Row]) -> list[Outcome]:
            request = pb.ImportTransfersRequest(
                request_id=request_id,
                transfers=[_incoming(row.values) for row in batch],
                validate_only=dry_run,
            )
            answer = await client.transfers.ImportTransfers(request, timeout=CALL_TIMEOUT_S)
            return [_outcome(result) for result in answer.results]

        await run_import(_checked(rows), send, report=report, on_row=on_row)


def _checked(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows with what no message can carry named."""
    for row in rows:
        wrong = [] if row.wrong else list(_wrong(row.values))
        yield Row(line=row.line, values=row.values, wrong=tuple(wrong)) if wrong else row


def _wrong(values: dict[str, str]) -> Iterator[Wrong]:
    amount = values.get("amount_minor", "")
    if not (amount.isascii() and amount.isdigit() and len(amount) <= _AMOUNT_DIGITS):
        yield Wrong("amount_minor", "must be a whole number of minor units")
    if values.get("source", "").upper() not in _SOURCES:
        yield Wrong("source", f"must be one of {', '.join(_SOURCES)}")


def _incoming(values: dict[str, str]) -> transfer_pb2.IncomingTransfer:
    return transfer_pb2.IncomingTransfer(
        source=_SOURCES[values["source"].upper()],
        bank_reference=values.get("bank_reference", ""),
        amount=Money(
            currency_code=values.get("currency_code", ""),
            amount_minor=int(values["amount_minor"]),
        ),
        receive_date=values.get("receive_date", ""),
        remittance=values.get("remittance", ""),
    )


def _outcome(result: transfer_pb2.ImportedTransferResult) -> Outcome:
    wrong = tuple(
        Wrong(_NAMES.get(one.field, one.field), one.description) for one in result.violations
    )
    if result.outcome == _RESULT.OUTCOME_UNMATCHED:
        wrong = (_NOBODYS,)
    return Outcome(word=_WORDS[result.outcome], id=result.payment_id, wrong=wrong)
