"""`holdfast audit archive`: moves old entries of the audit log into a file that proves itself."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated

import asyncpg
import typer
from rich.console import Group
from rich.text import Text

from runtime.audit.archive import ArchiveError, Part, archive, read_archive
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.devstack import state
from runtime.migrations import role_of
from runtime.secrets import secret_text
from runtime.settings import Settings


def archive_entries(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Must not exist yet.")],
    *,
    before: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="Entries from before this day (UTC).")
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Moves old entries into a file, which `audit verify --archive` checks.

    Nothing is moved unless every chain is intact. The newest entry of each service stays.
    """
    output = Output(as_json=as_json)
    settings, _ = state.running(load_settings(home))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            work = _archive(settings, file, before=before.replace(tzinfo=UTC))
            parts = _moved(path, run_to_end(work))
    except FileExistsError:
        raise CliError(f"{path} exists already", hint="name another file") from None
    output.result(
        {"file": str(path), "archived": [asdict(part) for part in parts]},
        shown=Group(*map(part_line, parts)) if parts else Text("nothing is that old"),
    )


def parts_of(path: Path, *, key: bytes) -> list[Part]:
    """What is in a file, checked."""
    try:
        with path.open() as file:
            return list(read_archive(file, key=key))
    except OSError as error:
        raise CliError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise CliError(f"{path} is not what `holdfast audit archive` writes") from None


def part_line(part: Part) -> Text:
    """One service's links in a file, for people."""
    text = f"{part.service}, archived: links {part.first} to {part.last}"
    if part.fault:
        return Text(f"{text} intact, then {part.fault}", "bold red")
    return Text(f"{text} intact", "bold green")


def _moved(path: Path, found: list[Part] | Exception) -> list[Part]:
    """What was moved. If nothing was, there is no file."""
    if isinstance(found, list) and found:
        return found
    path.unlink()
    if isinstance(found, list):
        return found
    wrong = isinstance(found, ArchiveError)
    raise CliError(
        f"nothing was moved: {found or type(found).__name__}",
        hint="see `holdfast audit verify`" if wrong else "see `holdfast status`",
        exit_code=ExitCode.DIFFERENCES if wrong else ExitCode.ENVIRONMENT,
    )


async def _archive(
    settings: Settings, file: IO[str], *, before: datetime
) -> list[Part] | Exception:
    """As the owner of the log, which nothing else is but migrations. The file is whole and on disk
    before anything is removed; what failed before that is returned.
    """
    try:
        connection = await asyncpg.connect(
            settings.postgres_dsn,
            user=role_of("audit"),
            password=secret_text(settings, "postgres-audit"),
            server_settings={"search_path": "audit", "application_name": "archive"},
        )
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        return error
    try:
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        try:
            key = secret_text(settings, "audit-seal").encode()
            parts = await archive(connection, file, key=key, before=before)
            file.flush()
            os.fsync(file.fileno())
        except (OSError, ArchiveError, asyncpg.PostgresError) as error:
            return error
        await transaction.commit()
    finally:
        await connection.close()
    return parts
