"""Options that several commands share, and the settings they end in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from runtime.cli.output import CliError, ExitCode
from runtime.devstack.settings import StackSettings

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="State of the installation. Default: HOLDFAST_HOME, else .holdfast here.",
        show_default=False,
    ),
]


def load_settings(home: Path | None, **fields: object) -> StackSettings:
    """Settings from the environment; what the command line names (not None) wins."""
    named = {name: value for name, value in {"home": home, **fields}.items() if value is not None}
    try:
        return StackSettings.model_validate(named)
    except ValidationError as error:
        raise CliError(_explain(error), exit_code=ExitCode.USAGE) from None


def _explain(error: ValidationError) -> str:
    return "\n".join(
        f"HOLDFAST_{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in error.errors()
    )
