"""`holdfast import cards` and `holdfast export cards`: cards, through CardBulkService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.text import Text

from holdfast.accounts.v1 import card_bulk_service_pb2 as pb
from holdfast.accounts.v1 import card_pb2
from holdfast.type.v1.money_pb2 import Money
from runtime.cli.bulk import Report, exporting, import_command, run_import
from runtime.cli.csv_file import CREATED, EXISTED, REFUSED, Outcome, Row, Wrong, run_export
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.clock import datetime_of
from runtime.devstack import state
from runtime.mesh_client import CALL_TIMEOUT_S, MeshClient, connect
from runtime.settings import Settings
from runtime.validate import milliseconds

_ACCOUNT = ("account_id", "owner_id", "owner_reference", "account_reference", "programme_id")
_TEXTS = ("reference", *_ACCOUNT, "nickname")
_LIMIT = ("credit_limit_minor", "currency_code")
IMPORT_COLUMNS = (*_TEXTS, *_LIMIT, "kind")
REQUIRED_COLUMNS = ("reference",)
EXPORT_COLUMNS = (
    "card_id",
    "account_id",
    "user_id",
    "kind",
    "state",
    "bin",
    "last4",
    "expiry_month",
    "expiry_year",
    "nickname",
    "create_time",
)
#: Cards of one page of an export.
_PAGE_SIZE = 500
#: Digits of an amount that a message can carry.
_AMOUNT_DIGITS = 15
_KINDS = {
    name.removeprefix("KIND_"): number
    for name, number in card_pb2.Card.Kind.items()
    if number != card_pb2.Card.KIND_UNSPECIFIED
}
_RESULT = pb.ImportedCardResult
_WORDS = {
    _RESULT.OUTCOME_CREATED: CREATED,
    _RESULT.OUTCOME_EXISTED: EXISTED,
    _RESULT.OUTCOME_REFUSED: REFUSED,
}
#: Fields of the contract that are called otherwise in a file.
_NAMES = {
    "credit_limit": "credit_limit_minor",
    "credit_limit.amount_minor": "credit_limit_minor",
    "credit_limit.currency_code": "currency_code",
}


def import_cards(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV; see docs/OPERATIONS.md.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row, and make nothing.")
    ] = False,
    results: Annotated[
        Path | None,
        typer.Option("--results", metavar="FILE", help="Write line, reference and id here."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Issues the cards of a CSV file, and opens the accounts that they ask for. A card that is
    there already, by its reference, stays as it is: a file can be imported again, and an import
    that was interrupted goes on so.

    Exit 1: rows were refused; the others are in.
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


def export_cards(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes all cards to a CSV file, newest first, without their numbers. Nobody else reads it,
    and it is there whole or not at all.
    """
    output = Output(as_json=as_json)
    settings, ports = state.running(load_settings(home))
    with exporting(output) as on_row:
        count = run_to_end(_export(settings, ports, file, on_row))
    output.result({"file": str(file), "rows": count}, shown=Text(f"{count:,} cards in {file}"))


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
            request = pb.ImportCardsRequest(
                request_id=request_id,
                cards=[_imported(row.values) for row in batch],
                validate_only=dry_run,
            )
            answer = await client.card_bulk.ImportCards(request, timeout=CALL_TIMEOUT_S)
            return [_outcome(result) for result in answer.results]

        await run_import(_checked(rows), send, report=report, on_row=on_row)


async def _export(
    settings: Settings, ports: dict[str, int], path: Path, on_row: Callable[[int], None]
) -> int:
    async with connect(settings, ports) as client:
        try:
            return await run_export(path, EXPORT_COLUMNS, _cards(client), on_row=on_row)
        except grpc.aio.AioRpcError as error:
            raise CliError(
                f"cannot read cards: {error.code().name}: {error.details()}",
                exit_code=ExitCode.ENVIRONMENT,
            ) from None


async def _cards(client: MeshClient) -> AsyncIterator[list[str]]:
    request = pb.ListAllCardsRequest(page_size=_PAGE_SIZE)
    while True:
        answer = await client.card_bulk.ListAllCards(request, timeout=CALL_TIMEOUT_S)
        for card in answer.cards:
            yield _exported(card)
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def _checked(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows with what no message can carry named."""
    for row in rows:
        wrong = [] if row.wrong else list(_wrong(row.values))
        yield Row(line=row.line, values=row.values, wrong=tuple(wrong)) if wrong else row


def _wrong(values: dict[str, str]) -> Iterator[Wrong]:
    amount = values.get("credit_limit_minor", "0")
    if not (amount.isascii() and amount.isdigit() and len(amount) <= _AMOUNT_DIGITS):
        yield Wrong("credit_limit_minor", "must be a whole number of minor units")
    if values.get("kind", "VIRTUAL").upper() not in _KINDS:
        yield Wrong("kind", f"must be one of {', '.join(_KINDS)}")


def _imported(values: dict[str, str]) -> pb.ImportedCard:
    limit = None
    if any(name in values for name in _LIMIT):
        limit = Money(
            currency_code=values.get("currency_code", ""),
            amount_minor=int(values.get("credit_limit_minor", "0")),
        )
    return pb.ImportedCard(
        **{name: values[name] for name in _TEXTS if name in values},
        credit_limit=limit,
        kind=_KINDS[values.get("kind", "VIRTUAL").upper()],
    )


def _outcome(result: pb.ImportedCardResult) -> Outcome:
    wrong = tuple(
        Wrong(_NAMES.get(one.field, one.field), one.description) for one in result.violations
    )
    return Outcome(word=_WORDS[result.outcome], id=result.card_id, wrong=wrong)


def _exported(card: card_pb2.Card) -> list[str]:
    return [
        card.id,
        card.account_id,
        card.user_id,
        card_pb2.Card.Kind.Name(card.kind).removeprefix("KIND_"),
        card_pb2.Card.State.Name(card.state).removeprefix("STATE_"),
        card.bin,
        card.last4,
        str(card.expiry_month),
        str(card.expiry_year),
        card.nickname,
        datetime_of(milliseconds(card.create_time)).isoformat(),
    ]
