"""`holdfast events`: shows what happens as it happens, and tells what did not, as a test."""

from __future__ import annotations

import difflib
import uuid
from typing import Annotated, Any
from urllib.parse import urlsplit

import grpc
import typer
from rich.text import Text

from holdfast.notify.v1 import event_service_pb2 as pb
from runtime import ids
from runtime.cli.events_listen import Forwarder, Heard, listen_secret, listened
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.clock import datetime_of
from runtime.devstack import state
from runtime.events.catalogue import CATALOGUE
from runtime.mesh_client import CALL_TIMEOUT_S, connect
from runtime.settings import Settings

#: Whom an event is about if nobody is named: a company that there is not.
NOBODYS_COMPANY = "co_2a0195a3f0c4d17e8b9c2d4e6f8a0b1c2d"
_TYPE_WIDTH = 28

app = typer.Typer(
    help="Show what happens, and try out who is told of it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

OwnerOption = Annotated[str, typer.Option(help="Whose: a company or a person, co_… or usr_….")]
AccountOption = Annotated[str, typer.Option(help="Of which account, acct_….")]


@app.callback()
def _root() -> None:
    """Shows what happens, and tries out who is told of it."""


@app.command("listen")
def listen(
    *,
    owner: OwnerOption = "",
    account: AccountOption = "",
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only these: card.frozen, card.*; repeatable."),
    ] = None,
    forward_to: Annotated[
        str, typer.Option(metavar="URL", help="POST each there, signed as webhooks are.")
    ] = "",
    count: Annotated[int, typer.Option(min=0, help="End after so many; 0: never.")] = 0,
    home: HomeOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for each event, one a line.")
    ] = False,
) -> None:
    """Prints events as they come, until Ctrl-C: all, or those of a company, an account, a type.

    What is forwarded is signed with a secret of this installation, which is shown; it is sent once.
    """
    output = Output(as_json=as_json)
    _check_ids(owner, account)
    if forward_to:
        _check_url(forward_to)
    settings, ports = state.running(load_settings(home))
    wanted = pb.ListEventsRequest(
        account_id=account, owner_id=owner, types=types or (), oldest_first=True, from_now=True
    )
    forwarder = Forwarder(forward_to, listen_secret(settings)) if forward_to else None
    if forwarder:
        output.progress.print(
            f"forwarding to {forward_to}, signed with {forwarder.secret}", soft_wrap=True
        )
    run_to_end(_listen(settings, ports, wanted, forwarder, count=count, output=output))


async def _listen(
    settings: Settings,
    ports: Any,
    wanted: pb.ListEventsRequest,
    forwarder: Forwarder | None,
    *,
    count: int,
    output: Output,
) -> None:
    async with connect(settings, ports) as mesh:
        try:
            await listened(
                mesh.events,
                wanted,
                forwarder,
                count=count,
                show=lambda one: _show(output, one),
                say=lambda text: output.progress.print(text, style="dim", soft_wrap=True),
            )
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from None
        finally:
            if forwarder:
                await forwarder.close()


def _show(output: Output, heard: Heard) -> None:
    """One event: a line of JSON, or two lines for people."""
    if output.as_json:
        typer.echo(heard.document())
        return
    event = heard.event
    moment = datetime_of(event.create_time.ToMilliseconds())
    line = Text(f"{moment:%H:%M:%S}  ", style="dim")
    line.append(f"{event.type:<{_TYPE_WIDTH}}", style="bold")
    line.append("  TEST" if event.test else "", style="bold yellow")
    line.append(f"  {event.account_id or event.owner_id} #{event.sequence}", style="cyan")
    if heard.sent:
        line.append(f"  → {heard.sent}", style="green" if heard.taken else "red")
    line.append(f"\n          {heard.data()}", style="dim")
    output.print(line)


@app.command("trigger")
def trigger(
    name: Annotated[str, typer.Argument(metavar="EVENT", help="A type of docs/EVENTS.md.")],
    owner: OwnerOption = "",
    account: AccountOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tells an example of an event, which did not happen, to all who would be told of a real one:
    webhook endpoints of the owner and of the installation, `holdfast events listen`. It says that
    it is a test.
    """
    output = Output(as_json=as_json)
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=3)
        raise CliError(
            f"{name!r} is no type of event",
            hint=f"did you mean {', '.join(near)}?" if near else "docs/EVENTS.md has the list",
        )
    _check_ids(owner, account)
    settings, ports = state.running(load_settings(home))
    request = pb.TriggerEventRequest(
        request_id=f"cli-{uuid.uuid4().hex}",
        type=name,
        owner_id=owner or NOBODYS_COMPANY,
        account_id=account,
    )
    event_id = run_to_end(_trigger(settings, ports, request))
    output.result(
        {"event_id": event_id, "type": name, "owner_id": request.owner_id, "test": True},
        shown=Text(f"{event_id}: {name}, a test, told about {request.owner_id}"),
    )


async def _trigger(settings: Settings, ports: Any, request: pb.TriggerEventRequest) -> str:
    async with connect(settings, ports) as mesh:
        try:
            answer = await mesh.events.TriggerEvent(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from None
    return answer.event.id


def _refused(error: grpc.aio.AioRpcError) -> CliError:
    usage = error.code() is grpc.StatusCode.INVALID_ARGUMENT
    return CliError(
        f"{error.code().name}: {error.details()}",
        hint="" if usage else "see `holdfast status`; a server may be restarting",
        exit_code=ExitCode.USAGE if usage else ExitCode.ENVIRONMENT,
    )


def _check_ids(owner: str, account: str) -> None:
    if owner and not (ids.is_id(owner, ids.COMPANY) or ids.is_id(owner, ids.USER)):
        raise CliError(f"{owner!r} is no id of a company or a person: co_ or usr_, 34 hex digits")
    if account and not ids.is_id(account, ids.ACCOUNT):
        raise CliError(f"{account!r} is no account id: acct_ and 34 hex digits")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise CliError(f"{url!r} is no URL", hint="e.g. http://localhost:3000/webhooks")
