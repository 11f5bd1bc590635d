"""`holdfast openapi`: what web clients may call, as OpenAPI, for those who generate clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from runtime.cli.output import CliError, JsonOption, Output
from runtime.openapi import document


def run(
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; stdout if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prints the contract of the edge as OpenAPI 3.1. A mesh serves the same at /openapi.json, and
    a page to read at /docs.
    """
    text = json.dumps(document(), indent=1, ensure_ascii=False)
    if output is None:
        typer.echo(text)
        return
    try:
        output.write_text(f"{text}\n")
    except OSError as error:
        raise CliError(f"cannot write {output}: {error.strerror}") from None
    if as_json:
        Output(as_json=True).result({"path": str(output.absolute())})
