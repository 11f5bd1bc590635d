"""`holdfast import users` and `holdfast export users`: people, through UserService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from rich.text import Text

from holdfast.accounts.v1 import user_import_pb2, user_pb2
from holdfast.accounts.v1 import user_service_pb2 as pb
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

_ADDRESS = ("line1", "line2", "city", "region", "postal_code", "country_code")
_TEXTS = ("reference", "name", "email", "phone", "birth_date", "tax_id", "tax_country_code")
IMPORT_COLUMNS = (*_TEXTS, *_ADDRESS, "verified")
REQUIRED_COLUMNS = ("reference", "name", "email")
EXPORT_COLUMNS = ("user_id", "state", *_TEXTS[1:], *_ADDRESS, "verified", "create_time")
#: People of one page of an export.
_PAGE_SIZE = 500
_YES, _NO = frozenset({"true", "yes", "1"}), frozenset({"", "false", "no", "0"})
_WORDS = {
    user_import_pb2.ImportedUserResult.OUTCOME_CREATED: CREATED,
    user_import_pb2.ImportedUserResult.OUTCOME_EXISTED: EXISTED,
    user_import_pb2.ImportedUserResult.OUTCOME_REFUSED: REFUSED,
}


def import_users(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV; see docs/OPERATIONS.md.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row, and make nobody.")
    ] = False,
    results: Annotated[
        Path | None,
        typer.Option("--results", metavar="FILE", help="Write line, reference and id here."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes the people of a CSV file known. Whoever is known already, by the reference, stays as
    is: a file can be imported again, and an import that was interrupted goes on so.

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


def export_users(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write.")],
    *,
    full: Annotated[
        bool, typer.Option("--full", help="Everything; each person's showing is recorded.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes everybody to a CSV file, newest first, masked unless --full. Nobody else reads it,
    and it is there whole or not at all.
    """
    output = Output(as_json=as_json)
    settings, ports = state.running(load_settings(home))
    with exporting(output) as on_row:
        count = run_to_end(_export(settings, ports, file, on_row, full=full))
    document = {"file": str(file), "rows": count, "full": full}
    output.result(document, shown=Text(f"{count:,} people in {file}"))


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
            request = user_import_pb2.ImportUsersRequest(
                request_id=request_id,
                users=[_imported(row.values) for row in batch],
                validate_only=dry_run,
            )
            answer = await client.users.ImportUsers(request, timeout=CALL_TIMEOUT_S)
            return [_outcome(result) for result in answer.results]

        await run_import(_checked(rows), send, report=report, on_row=on_row)


async def _export(
    settings: Settings,
    ports: dict[str, int],
    path: Path,
    on_row: Callable[[int], None],
    *,
    full: bool,
) -> int:
    async with connect(settings, ports) as client:
        try:
            return await run_export(path, EXPORT_COLUMNS, _people(client, full=full), on_row=on_row)
        except grpc.aio.AioRpcError as error:
            raise CliError(
                f"cannot read people: {error.code().name}: {error.details()}",
                exit_code=ExitCode.ENVIRONMENT,
            ) from None


async def _people(client: MeshClient, *, full: bool) -> AsyncIterator[list[str]]:
    view = user_pb2.VIEW_FULL if full else user_pb2.VIEW_UNSPECIFIED
    request = pb.ListUsersRequest(page_size=_PAGE_SIZE, view=view)
    while True:
        answer = await client.users.ListUsers(request, timeout=CALL_TIMEOUT_S)
        for user in answer.users:
            yield _exported(user)
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def _checked(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows with what no message can carry named."""
    for row in rows:
        if not row.wrong and row.values.get("verified", "").lower() not in _YES | _NO:
            yield Row(
                line=row.line,
                values=row.values,
                wrong=(Wrong("verified", "must be true or false"),),
            )
        else:
            yield row


def _imported(values: dict[str, str]) -> user_import_pb2.ImportedUser:
    address = {name: values[name] for name in _ADDRESS if name in values}
    return user_import_pb2.ImportedUser(
        **{name: values[name] for name in _TEXTS if name in values},
        address=user_pb2.Address(**address) if address else None,
        verified=values.get("verified", "").lower() in _YES,
    )


def _outcome(result: user_import_pb2.ImportedUserResult) -> Outcome:
    wrong = tuple(
        Wrong(one.field.removeprefix("address."), one.description) for one in result.violations
    )
    return Outcome(word=_WORDS[result.outcome], id=result.user_id, wrong=wrong)


def _exported(user: Any) -> list[str]:
    return [
        user.id,
        user_pb2.User.State.Name(user.state).removeprefix("STATE_"),
        *(getattr(user, name) for name in _TEXTS[1:]),
        *(getattr(user.address, name) for name in _ADDRESS),
        "true" if user.HasField("verify_time") else "false",
        datetime_of(milliseconds(user.create_time)).isoformat(),
    ]
