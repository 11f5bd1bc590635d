"""`holdfast envoy`: the rendered configuration, for those who run their own Envoy."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from runtime import envoyconfig, pki
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.devstack.settings import LISTENERS, StackSettings
from runtime.refusal_files import RefusalFiles

app = typer.Typer(
    help="Show or check Envoy's configuration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RunDirOption = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        help="Folder of the sockets. Default: HOLDFAST_RUN_DIR, else run/ in the home.",
        show_default=False,
    ),
]


def render_from_settings(home: Path | None, run_dir: Path | None) -> tuple[StackSettings, str]:
    """The configuration that the environment's settings ask for."""
    settings = load_settings(home, run_dir=run_dir)
    if settings.run_dir is None:
        settings = settings.model_copy(update={"run_dir": settings.home / "run"})
    chosen = {listener: settings.port_of(listener) for listener in LISTENERS}
    unset = [f"HOLDFAST_{listener.upper()}_PORT" for listener, port in chosen.items() if port == 0]
    if unset:
        raise CliError(f"{', '.join(unset)}: port 0 is chosen by `holdfast up` only")
    text = envoyconfig.render(
        settings, ports=envoyconfig.Ports(**chosen), authz_workers=settings.authz_workers
    )
    return settings, text


@app.command("render")
def render(
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; stdout if not given.")
    ] = None,
    home: HomeOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Renders the configuration from the settings (HOLDFAST_*). Nothing is started or changed."""
    _, text = render_from_settings(home, run_dir)
    if output is not None:
        try:
            output.write_text(text)
        except OSError as error:
            raise CliError(f"cannot write {output}: {error.strerror}") from None
    if as_json:
        written = {"config": text} if output is None else {"path": str(output.absolute())}
        Output(as_json=True).result(written)
    elif output is None:
        typer.echo(text, nl=False)


@app.command("validate")
def validate(
    file: Annotated[
        Path | None, typer.Argument(help="A rendered file; else what the settings give.")
    ] = None,
    home: HomeOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lets Envoy check a configuration and all it refers to; makes missing certificates."""
    if file is not None and not file.is_file():
        raise CliError(f"{file} does not exist", hint="write it with `holdfast envoy render`")
    settings, text = render_from_settings(home, run_dir)
    try:
        if file is not None:
            envoyconfig.validate(file)
        else:
            pki.ensure_certificates(settings)
            RefusalFiles(settings.home).make()
            with TemporaryDirectory() as folder:
                rendered = Path(folder) / "envoy.yaml"
                rendered.write_text(text)
                envoyconfig.validate(rendered)
    except envoyconfig.EnvoyConfigError as error:
        raise CliError(str(error), exit_code=ExitCode.DIFFERENCES) from None
    checked = str(file) if file is not None else "settings"
    Output(as_json=as_json).result({"valid": True, "checked": checked}, shown="valid")
