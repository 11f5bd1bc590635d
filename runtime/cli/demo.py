"""`holdfast demo`: a whole mesh at work, from nothing to books that balance, and gone again."""

from __future__ import annotations

import textwrap
import time
from typing import Any

import grpc
import httpx
from rich.console import Console
from rich.text import Text

from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.demo import scenes
from runtime.demo.backstage import Backstage
from runtime.demo.stage import DemoFailedError, Stage
from runtime.devstack.supervisor import Devstack
from runtime.devstack.temporary import temporary_mesh
from runtime.mesh_client import connect

#: A new token key signs after twice this: nobody wants to watch two minutes of it.
_JWKS_CACHE_S = 1
#: The demo listens there for webhooks.
_LOOPBACK = "127.0.0.0/8"
#: A terminal's, unless somebody has made it wider.
_COLUMNS = 80


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
        async with temporary_mesh(
            movable_clock=True,
            jwks_cache_s=_JWKS_CACHE_S,
            stripe_emulator="on",
            webhook_networks=_LOOPBACK,
        ) as stack:
            ready_after_s = time.monotonic() - began
            status.stop()
            for line in _opening(stack, ready_after_s):
                console.print(line, soft_wrap=True)
            document = await _play(console, stack)
            status.update("stopping and cleaning up")
            status.start()
    seconds = time.monotonic() - began
    console.print(Text(f"\neverything is stopped and removed; {seconds:.0f} s in all", style="dim"))
    return {
        **document,
        "ready_after_s": round(ready_after_s, 2),
        "seconds": round(seconds, 2),
    }


def _opening(stack: Devstack, ready_after_s: float) -> list[str]:
    text = (
        f"{len(stack.processes)} processes are ready after {ready_after_s:.1f} s:"
        f" {', '.join(stack.processes)}. The demo takes under a minute. Each line tells what real"
        " calls have answered, and is checked. Purchases show merchant, amount, the decision with"
        " its DE39 code, and what came with it."
    )
    return textwrap.wrap(text, _COLUMNS, break_on_hyphens=False)


async def _play(console: Console, stack: Devstack) -> dict[str, Any]:
    """All scenes, one after the other."""
    async with connect(stack.settings, stack.ports) as mesh:
        stage = Stage(mesh=mesh, backstage=Backstage(stack, console), console=console)
        for title, parts in scenes.PARTS:
            stage.part(title)
            for scene in parts:
                await scene(stage)
    return {"scenes": stage.scenes, **stage.document}
