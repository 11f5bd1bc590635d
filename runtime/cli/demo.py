"""`holdfast demo`: a whole mesh at work, from nothing to books that balance, and gone again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc
import httpx
from rich.console import Console
from rich.text import Text

from authz.reconcile_flow import Books, drain
from authz.reconcile_store import open_store
from gateway.token_keys import TokenKeys
from runtime.audit.verify import verify
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.reconcile import reconcile
from runtime.cli.running import run_to_end
from runtime.clock import SystemClock
from runtime.demo import books, edge, rush, scenes
from runtime.demo.stage import DemoFailedError, Stage
from runtime.devstack.supervisor import Devstack
from runtime.devstack.temporary import temporary_mesh
from runtime.mesh_client import connect

_SETTLE_TIMEOUT_S = 30.0
#: A new token key signs after twice this: nobody wants to watch two minutes of it.
_JWKS_CACHE_S = 1


def run(as_json: JsonOption = False) -> None:
    """Starts a mesh of its own on free ports, shows card purchases of every kind, checks each of
    them, and removes everything again. Exit 1 if anything is not as it should be.
    """
    output = Output(as_json=as_json)
    # With --json, stdout is for the document alone.
    console = output.progress if as_json else Console(highlight=False)
    try:
        document = run_to_end(_demo(console))
    except DemoFailedError as error:
        raise CliError(
            str(error), hint="this is a bug: please report it", exit_code=ExitCode.DIFFERENCES
        ) from None
    except (grpc.aio.AioRpcError, httpx.HTTPError) as error:
        text = str(error)
        if isinstance(error, grpc.aio.AioRpcError):
            text = f"{error.code().name}: {error.details()}"
        raise CliError(
            f"a call failed: {text}",
            hint="run `holdfast doctor`; is this machine very busy?",
            exit_code=ExitCode.DIFFERENCES,
        ) from None
    if as_json:
        output.result(document)


async def _demo(console: Console) -> dict[str, Any]:
    began = time.monotonic()
    console.print(Text("Holdfast: an open card-issuing platform", style="bold"))
    with console.status("starting PostgreSQL, two Valkeys, the services and Envoy") as status:
        async with temporary_mesh(jwks_cache_s=_JWKS_CACHE_S) as stack:
            ready_after_s = time.monotonic() - began
            status.stop()
            console.print(
                f"{len(stack.processes)} processes are ready after {ready_after_s:.1f} s:"
                f" {', '.join(stack.processes)}"
            )
            document = await _play(console, stack)
            status.update("stopping and cleaning up")
            status.start()
    seconds = time.monotonic() - began
    console.print(Text(f"everything is stopped and removed; {seconds:.0f} s in all", style="dim"))
    return {
        **document,
        "ready_after_s": round(ready_after_s, 2),
        "seconds": round(seconds, 2),
    }


async def _play(console: Console, stack: Devstack) -> dict[str, Any]:
    """All scenes, the rush, the books."""

    async def drained() -> int:
        async with open_store(stack.settings) as store:
            return await drain(store, timeout_s=_SETTLE_TIMEOUT_S)

    async def reconciled() -> Books:
        return await reconcile(
            stack.settings,
            settle_timeout_s=_SETTLE_TIMEOUT_S,
            on_difference=lambda one: console.print(f"   {one}", style="red"),
        )

    async with connect(stack.settings, stack.ports) as mesh:
        stage = Stage(mesh=mesh, console=console)
        for scene in scenes.SCENES:
            await scene(stage)
        await edge.log_in(stage)
        await edge.rotate_keys(
            stage,
            rotate=TokenKeys(stack.settings, SystemClock()).rotate,
            signs_after_s=2.0 * _JWKS_CACHE_S,
        )
        await edge.api_key(stage)
        measured = await rush.rush(stage)
        closed = await books.close_books(stage, drain=drained, reconcile=reconciled)
        async with _owner(stack) as connection:
            await edge.audit(
                stage,
                verify=lambda: _verified(stack, connection),
                tamper=lambda: _tampered(connection),
            )
    return {"scenes": stage.scenes, "rush": measured, **closed}


@asynccontextmanager
async def _owner(stack: Devstack) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner of the database, whom no role keeps from anything."""
    connection = await asyncpg.connect(stack.owner_dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def _verified(stack: Devstack, connection: asyncpg.Connection) -> tuple[int, str]:
    """Entries in all chains, and the first that is wrong."""
    chains = await verify(connection, key=stack.settings.secret("audit-seal").encode())
    faults = [
        f"{chain.service}, row {chain.fault.entry_id}: {chain.fault.what}"
        for chain in chains
        if chain.fault is not None
    ]
    return sum(chain.links for chain in chains), "; ".join(faults)


async def _tampered(connection: asyncpg.Connection) -> int:
    """Gives a sealed entry another actor."""
    row: int = await connection.fetchval(
        "UPDATE audit.entry SET actor = 'usr_nobody'"
        " WHERE id = (SELECT entry_id FROM audit.link ORDER BY number LIMIT 1) RETURNING id"
    )
    return row
