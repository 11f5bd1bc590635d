"""Scenario: the script that decides, alone: no gRPC, no Envoy, one pipelined connection.

The commands are what the authorizer would send: its own flow makes them from requests, and they are
kept instead of sent. So this is the script as it is, and its holds are settled as always.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import hiredis

from authz import convert, scripts
from authz.decide_flow import AuthorizeFlow
from authz.expiry import DAY_MS
from authz.gate import Gate
from authz.ledger_store import LedgerStore
from authz.money_store import MoneyStore
from authz.mover import Mover
from authz.scripts import Status
from authz.settings import AuthzSettings
from authz.watch import Watch
from loadtest import messages
from loadtest.authorize import opened
from loadtest.mesh import Mesh, open_mesh
from loadtest.percentiles import median
from loadtest.processes import used_between
from loadtest.session import DEPTH, Session
from runtime import pki
from runtime.clock import SystemClock
from runtime.identity import Identity
from runtime.ids import IdSource
from runtime.pipe import Pipe
from runtime.script import Script
from runtime.wire import connect

#: Commands of one run; they are all in memory before it begins.
_COMMANDS = 30_000
_HOUR_MS = 3_600_000
_READ_BYTES = 1 << 18


def _packed(*command: str | bytes) -> bytes:
    # Its stub knows commands of one word only.
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
    return packed


class _KeptError(Exception):
    """The command is kept; nothing is sent."""


class _KeepingPipe(Pipe):
    """Reads as the authorizer does, and keeps every place_hold."""

    kept: list[bytes]

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]
    ) -> list[Any]:
        """Keeps the command."""
        assert script is scripts.PLACE_HOLD, script.name
        command = ("EVALSHA", script.sha, str(len(keys)), *keys, *arguments)
        self.kept.append(_packed(*command))
        raise _KeptError


async def bare_script(session: Session) -> None:
    """The most that one Valkey decides."""
    async with open_mesh(workers=1) as mesh:
        cards = await opened(session, mesh, session.options.accounts_few)
        rates, valkey_us = [], []
        for _ in range(session.options.runs):
            commands = await _commands(mesh, cards)
            before = mesh.processes.cpu_s()
            seconds = await asyncio.to_thread(_send, mesh, commands)
            used = used_between(before, mesh.processes.cpu_s())
            mesh.answered.approved += len(commands)
            rates.append(len(commands) / seconds)
            valkey_us.append(used["valkey"] * 1e6 / len(commands))
            session.say(
                f"the bare script, {DEPTH} in flight: {rates[-1]:,.0f}/s,"
                f" Valkey {valkey_us[-1]:.0f} µs of CPU per call"
            )
            await session.check_books(mesh, "bare script")
    session.document["bare_script"] = {
        "max_rate": round(median(rates), 1),
        "cpu_us_per_call": {"valkey": round(median(valkey_us), 1)},
    }


async def _commands(mesh: Mesh, cards: Sequence[str]) -> list[bytes]:
    """What the authorizer would send for so many purchases."""
    identity = Identity(principal=pki.network_spiffe_id(mesh.stack.settings, pki.DEMO_NETWORK))
    prints = convert.Fingerprints(os.urandom(32))
    run = messages.run_name()
    async with _authorizing(mesh) as (flow, pipe):
        for number in range(_COMMANDS):
            request = messages.purchase(f"{run}{number:010d}", cards[number % len(cards)])
            try:
                await flow.run(convert.authorize(request, identity, (), prints))
            except _KeptError:
                continue
        return pipe.kept


@asynccontextmanager
async def _authorizing(mesh: Mesh) -> AsyncIterator[tuple[AuthorizeFlow, _KeepingPipe]]:
    """The authorizer's flow on a connection of its own."""
    settings = AuthzSettings.model_validate(mesh.stack.settings.model_dump())
    url, clock = str(settings.redis_url), SystemClock()
    ledger = LedgerStore(settings)
    gate, is_open = Gate(settings, ledger), asyncio.Event()

    async def opened_now() -> None:
        is_open.set()

    async def lost(because: str) -> None:
        del because

    pipe = _KeepingPipe(
        lambda: connect(settings, url, server="valkey-money", user="authz"),
        inspect=gate.inspect,
        on_open=opened_now,
        on_lost=lost,
        queue_commands=settings.queue_commands,
        scripts=scripts.ALL,
        not_ready_reason="AUTHORIZER_NOT_READY",
    )
    pipe.kept = []
    store = MoneyStore(pipe, gate, snapshot_cards=settings.snapshot_cards)
    mover = Mover(
        store,
        clock=clock,
        record_ttl_ms=settings.request_record_ttl_h * _HOUR_MS,
        retention_ms=settings.closed_hold_days * DAY_MS,
    )
    watch = Watch(pipe, gate, settings=settings, clock=clock)
    await pipe.start()
    try:
        await is_open.wait()
        yield (
            AuthorizeFlow(
                store,
                ledger,
                watch,
                mover,
                external=None,
                clock=clock,
                id_source=IdSource(clock),
            ),
            pipe,
        )
    finally:
        await pipe.stop()
        await ledger.close()


def _send(mesh: Mesh, commands: Sequence[bytes]) -> float:
    """Sends all, so many under way at a time; returns the seconds that it took."""
    settings = mesh.stack.settings
    reader = hiredis.Reader()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(urlsplit(str(settings.redis_url)).path)
        login = ("AUTH", "authz", settings.secret("valkey-money-authz"))
        connection.sendall(_packed(*login))
        assert connection.recv(_READ_BYTES) == b"+OK\r\n", "the secret is this server's"
        began = time.perf_counter()
        sent = ended = 0
        while ended < len(commands):
            room = min(ended + DEPTH, len(commands))
            if room > sent:
                connection.sendall(b"".join(commands[sent:room]))
                sent = room
            reader.feed(connection.recv(_READ_BYTES))
            while (answer := reader.gets()) is not False:
                assert answer[0] == Status.PLACED.encode(), answer
                ended += 1
        return time.perf_counter() - began
