"""`holdfast keys`: rotates keys and certificates. Nothing is restarted, no call fails."""

from __future__ import annotations

from typing import Annotated, Any

import asyncpg
import typer
from rich.text import Text

from gateway.token_keys import TOKEN_KEYS, TokenKeys
from runtime import pki
from runtime.cli import keys_prune
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.clock import SystemClock
from runtime.devstack import state
from runtime.key_ring import SETTLE_MS, KeyRing, RingError
from runtime.log import configure_logging
from runtime.secrets import SecretError, is_secret_name, secrets_of
from runtime.settings import Settings

app = typer.Typer(
    help="Rotate keys and certificates.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Rotates keys and certificates."""


@app.command("rotate")
def rotate(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="token, certificates, all (both), ca, or the name of a key ring in secrets/.",
        ),
    ] = "all",
    *,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="With ca: let the staged CA sign from now on.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Adds a key that takes over once everybody knows it; old ones stay while they are needed.

    A token key signs after twice HOLDFAST_JWKS_CACHE_S; gateway removes old ones when their last
    token has expired. Certificates are replaced at once, and connections that stand go on. A CA is
    staged first; when everybody has the new ca.pem, --adopt lets it sign.
    """
    output = Output(as_json=as_json)
    configure_logging(instance="holdfast", level="WARNING", cached=False)
    settings = load_settings(home)
    if not settings.home.is_dir():
        raise CliError(
            f"{settings.home} is no installation", hint="run `holdfast up` once, or name --home"
        )
    try:
        done = _rotate(settings, what, adopt=adopt)
    except (SecretError, RingError, ValueError) as error:
        raise CliError(str(error)) from None
    lines = [f"{name}: {text}" for name, text in done.items()]
    output.result(done, shown=Text("\n".join(lines)))


@app.command("prune")
def prune(
    name: Annotated[str, typer.Argument(metavar="RING", help="A key ring in secrets/.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Removes the versions of a key ring that nothing needs any more. The mesh must run.

    What rows of the database name stays, and so does what answers and sessions may need that are
    kept for a time. A backup of the database from before needs the old versions: keep a copy.
    """
    output = Output(as_json=as_json)
    settings, _ = state.running(load_settings(home))
    use = keys_prune.prunable(settings).get(name)
    if use is None:
        raise CliError(f"{name!r} is no key ring that may be pruned")
    ring = KeyRing(secrets_of(settings), name, SystemClock())
    try:
        removed = run_to_end(keys_prune.prune(settings, ring, use))
    except (SecretError, RingError) as error:
        raise CliError(str(error)) from None
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise CliError(
            f"cannot see what is needed: {error or type(error).__name__}",
            exit_code=ExitCode.ENVIRONMENT,
        ) from None
    left = len(ring.keys)
    output.result(
        {"removed": list(removed), "left": left},
        shown=Text(f"{name}: {len(removed)} removed, {left} are needed or too young"),
    )


def _rotate(settings: Settings, what: str, *, adopt: bool) -> dict[str, Any]:
    if adopt and what != "ca":
        raise ValueError("--adopt goes with ca")
    match what:
        case "all":
            return {**_token(settings), **_certificates(settings)}
        case "token":
            return _token(settings)
        case "certificates":
            return _certificates(settings)
        case "ca" if adopt:
            names = pki.adopt_authority(settings)
            return {"ca": f"the new one signs; {len(names)} certificates replaced"}
        case "ca":
            pki.stage_authority(settings)
            return {
                "ca": f"staged: hand {pki.ca_path(settings)} to all who connect, then run this"
                " with --adopt"
            }
        case _:
            return _ring(settings, what)


def _token(settings: Settings) -> dict[str, str]:
    keys = TokenKeys(settings, SystemClock())
    keys.ensure()
    kid = keys.rotate()
    return {"token": f"{kid} is published, and signs in {keys.publish_ms // 1000} s"}


def _certificates(settings: Settings) -> dict[str, str]:
    names = pki.rotate_certificates(settings)
    return {"certificates": f"{len(names)} replaced"}


def _ring(settings: Settings, name: str) -> dict[str, str]:
    secrets = secrets_of(settings)
    if name == TOKEN_KEYS:
        return _token(settings)
    if not is_secret_name(name) or secrets.stamp(name) is None:
        raise ValueError(f"{name!r} is no key ring: say token, certificates, all, ca, or a ring")
    ring = KeyRing(secrets, name, SystemClock())
    # Whatever is no ring is refused here, before anything is written.
    before = len(ring.keys)
    key = ring.rotate()
    return {name: f"{key.id} is used in {SETTLE_MS // 1000} s; the {before} before stay"}
