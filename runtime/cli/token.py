"""`holdfast token`: an access token for the edge, signed with the installation's own key."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from gateway import tokens
from gateway.token_keys import TokenKeys
from runtime.access import TOKEN_ROLES
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, JsonOption, Output
from runtime.clock import Clock, SystemClock
from runtime.log import configure_logging
from runtime.settings import Settings
from runtime.tokens import TOKEN_AUDIENCE, TOKEN_LIFETIME_S, TOKEN_LIFETIME_S_MAX, token_issuer

SubjectOption = Annotated[str, typer.Option(help="Whom the token names, e.g. usr_….")]
RoleOption = Annotated[
    list[str], typer.Option(help=f"One of {', '.join(TOKEN_ROLES)}; may be given again.")
]
TtlOption = Annotated[
    int, typer.Option(help=f"Seconds that the token lives, at most {TOKEN_LIFETIME_S_MAX}.")
]


def issue_token(
    settings: Settings,
    *,
    subject: str,
    roles: tuple[str, ...],
    lifetime_s: int = TOKEN_LIFETIME_S,
    clock: Clock | None = None,
) -> str:
    """Signs a token with the home's newest published key; makes the first key if there is none."""
    clock = clock or SystemClock()
    keys = TokenKeys(settings, clock)
    keys.ensure()
    now_ms = clock.now_ms()
    claims = tokens.Claims(
        issuer=token_issuer(settings),
        audience=TOKEN_AUDIENCE,
        subject=subject,
        roles=roles,
        token_id=uuid.uuid4().hex,
    )
    return tokens.sign_token(keys.signing(), claims, now_ms=now_ms, lifetime_s=lifetime_s)


def run(
    subject: SubjectOption,
    role: RoleOption,
    ttl: TtlOption = TOKEN_LIFETIME_S,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints an access token; send it as `Authorization: Bearer <token>`."""
    settings = load_settings(home)
    # Logs go to stderr: stdout is the token, ready for $(…).
    configure_logging(instance="holdfast", level="WARNING", cached=False)
    # Not made by the way: a mistyped home would give a token that nobody accepts.
    if not settings.home.is_dir():
        raise CliError(
            f"{settings.home} is no installation", hint="run `holdfast up` once, or name --home"
        )
    roles = tuple(dict.fromkeys(role))
    try:
        token = issue_token(settings, subject=subject, roles=roles, lifetime_s=ttl)
    except ValueError as error:
        raise CliError(str(error)) from None
    if as_json:
        document = {"token": token, "subject": subject, "roles": roles, "expires_in_s": ttl}
        Output(as_json=True).result(document)
        return
    # Plain, never wrapped: it is pasted into a header.
    typer.echo(token)
