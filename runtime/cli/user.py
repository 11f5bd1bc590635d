"""`holdfast user`: registers users whom nobody else could: the first administrator."""

from __future__ import annotations

import sys
from typing import Annotated

import asyncpg
import typer
from rich.text import Text

from gateway.credential import (
    USER_ROLES,
    access_violation,
    normalized_email,
    normalized_password,
    password_violation,
)
from gateway.credential_store import CredentialStore
from gateway.passwords import Passwords
from gateway.registration import NewUser, Registration
from gateway.rings import Rings
from runtime.audit import call
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.clock import SystemClock
from runtime.devstack import state
from runtime.errors import AlreadyExists, Unavailable
from runtime.ids import COMPANY, IdSource, is_id
from runtime.key_ring import random_secret
from runtime.postgres import connect_pool
from runtime.request_records import RequestKey
from runtime.secrets import secrets_of
from runtime.settings import Settings

app = typer.Typer(
    help="Register users.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Registers users."""


@app.command("create")
def create(
    email: Annotated[str, typer.Option(help="Address to sign in with.")],
    name: Annotated[str, typer.Option(help="Name of the person.")],
    role: Annotated[
        list[str], typer.Option(help=f"One of {', '.join(USER_ROLES)}; may be given again.")
    ],
    *,
    company: Annotated[str, typer.Option(help="Company of a manager, co_….")] = "",
    merchant: Annotated[
        str, typer.Option(help="Merchant whose API keys a merchant manages, mer_….")
    ] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Registers a user with any roles. The password is asked for: no argument shows it.

    Exit 0: registered. 1: the address is registered already.
    """
    output = Output(as_json=as_json)
    address, roles = normalized_email(email), tuple(dict.fromkeys(role))
    if not address:
        raise CliError(f"{email!r} is no e-mail address")
    if wrong := access_violation(roles, company, merchant):
        raise CliError(f"{wrong[0]} {wrong[1]}")
    if company and not is_id(company, COMPANY):
        raise CliError(f"{company!r} is no company id: co_ and 34 hex digits")
    settings, _ = state.running(load_settings(home))
    password = _password(from_stdin=password_stdin)
    if problem := password_violation(password, email=address):
        raise CliError(f"the password {problem}")
    user = NewUser(
        email=address,
        password=password,
        name=name,
        roles=roles,
        company_id=company,
        merchant_id=merchant,
    )
    user_id = run_to_end(_register(settings, user))
    output.result(
        {"user_id": user_id, "email": address, "roles": roles},
        shown=Text(f"{user_id}: {', '.join(roles)}"),
    )


async def _register(settings: Settings, user: NewUser) -> str:
    clock, passwords = SystemClock(), Passwords()
    try:
        async with await connect_pool(settings, "gateway", max_size=1) as pool:
            registration = Registration(
                CredentialStore(pool),
                None,
                passwords,
                rings=Rings.of(secrets_of(settings), clock),
                outbox=None,
                new_ids=IdSource(clock),
                clock=clock,
            )
            # Each command is a request of its own.
            key = RequestKey(
                principal="operator",
                request_id=random_secret().hex(),
                method="holdfast user create",
                fingerprint=random_secret(),
            )
            with call.command("holdfast user create", actor="operator"):
                user_id, _ = await registration.register(key, user)
            return user_id
    except AlreadyExists as error:
        raise CliError(error.message, exit_code=ExitCode.DIFFERENCES) from None
    except (Unavailable, OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise CliError(
            f"cannot register: {error or type(error).__name__}",
            hint="see `holdfast status`; a server may be restarting",
            exit_code=ExitCode.ENVIRONMENT,
        ) from None
    finally:
        passwords.close()


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return normalized_password(sys.stdin.readline().rstrip("\n"))
    asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return normalized_password(asked)
