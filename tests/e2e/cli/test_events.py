"""`holdfast events`: what happens is shown and forwarded, signed; tests are told as tests."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.accounts.v1 import card_service_pb2
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.e2e.cli.conftest import Cardholder, Holdfast
from tests.webhook_receiver import receiver

COMPANY = "co_0a" + "7" * 32
_PROGRAM = "from runtime.cli.main import main; main()"
_CHECKOUT = Path(__file__).resolve().parents[3]


@asynccontextmanager
async def listening(stack: Devstack, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`holdfast events listen`, once it listens."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, "events", "listen", "--json"),
        *("--home", str(stack.settings.home), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=_CHECKOUT,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(30):
            while b"listening" not in (line := await process.stderr.readline()):
                assert line, "it ended"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def heard(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """What it has printed, once it has ended by itself."""
    async with asyncio.timeout(30):
        printed, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in printed.splitlines()]


async def trigger(holdfast: Holdfast, stack: Devstack, *arguments: str) -> dict[str, Any]:
    """`holdfast events trigger`."""
    home = str(stack.settings.home)
    ended = await holdfast("events", "trigger", *arguments, "--home", home, "--json")
    assert ended.code == 0, ended
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


async def test_a_test_is_heard_and_forwarded(full_mesh: Devstack, holdfast: Holdfast) -> None:
    """Goal: who listens for a company's payments is shown only those, marked as tests, and what is
    forwarded is signed with the secret of the installation. Method: two receivers' answers.
    """
    async with receiver() as inbox:
        arguments = ("--owner", COMPANY, "--type", "payment.*", "--count", "2")
        url = inbox.url("/ok/forwarded")
        inbox.failures["/ok/forwarded"] = 1
        async with listening(full_mesh, *arguments, "--forward-to", url) as process:
            await trigger(holdfast, full_mesh, "payment.credited")
            await trigger(holdfast, full_mesh, "card.frozen", "--owner", COMPANY)
            first = await trigger(holdfast, full_mesh, "payment.credited", "--owner", COMPANY)
            second = await trigger(holdfast, full_mesh, "payment.returned", "--owner", COMPANY)
            lines = await heard(process)
        assert [line["event"]["id"] for line in lines] == [first["event_id"], second["event_id"]]
        assert [line["forwarded"] for line in lines] == ["503", "204"]
        assert all(line["event"]["test"] is True for line in lines)
        assert lines[1]["event"]["data"]["amount"] == {"amount_minor": 4250, "currency_code": "USD"}
        secret = (full_mesh.settings.home / "secrets" / "events-listen").read_text()
        bodies = inbox.verified(secret, "/ok/forwarded", now_s=int(time.time()))
        assert bodies == [line["event"] for line in lines]


async def test_what_happens_is_shown(
    full_mesh: Devstack, mesh: MeshClient, cardholder: Cardholder
) -> None:
    """Nothing that was before; what comes, as it comes."""
    arguments = ("--account", cardholder.account_id, "--count", "1")
    async with listening(full_mesh, *arguments) as process:
        await mesh.cards.FreezeCard(
            card_service_pb2.FreezeCardRequest(
                request_id=f"listen-{time.time_ns()}", card_id=cardholder.card_id
            )
        )
        (line,) = await heard(process)
    event = line["event"]
    assert (event["type"], event["account_id"]) == ("card.frozen", cardholder.account_id)
    assert "test" not in event
    assert "forwarded" not in line


async def test_for_people(full_mesh: Devstack, holdfast: Holdfast) -> None:
    home = ("--home", str(full_mesh.settings.home))
    arguments = ("--owner", COMPANY, "--count", "1", "--forward-to", "http://127.0.0.1:1/")
    listen = asyncio.ensure_future(holdfast("events", "listen", *arguments, *home))
    async with asyncio.timeout(60):
        while not listen.done():
            await trigger(holdfast, full_mesh, "card.shipped", "--owner", COMPANY)
    ended = await listen
    assert ended.code == 0, ended
    assert "whsec_" in ended.stderr
    assert "card.shipped" in ended.stdout
    assert "TEST" in ended.stdout
    assert "→ ConnectError" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("trigger", "card.frozn"), 2, "card.frozen"),
        (("trigger", "card.frozen", "--owner", "nobody"), 2, "no id"),
        (("listen", "--account", "acct_1"), 2, "no account id"),
        (("listen", "--forward-to", "ftp://x"), 2, "no URL"),
        (("listen", "--type", "nonsense"), 2, "docs/EVENTS.md"),
    ],
)
async def test_what_cannot_be_meant(
    full_mesh: Devstack, holdfast: Holdfast, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ended = await holdfast("events", *arguments, "--home", str(full_mesh.settings.home))
    assert (ended.code, said in ended.stderr) == (code, True), ended


async def test_without_a_mesh(holdfast: Holdfast, tmp_path: Path) -> None:
    ended = await holdfast("events", "listen", "--home", str(tmp_path / "none"))
    assert ended.code == 3
