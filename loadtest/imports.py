"""Scenario: people and cards from files, by the commands that a bank would use, and how fast both
are read again with all of them there.
"""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil

from holdfast.accounts.v1.account_service_pb2 import ListAccountsRequest
from holdfast.accounts.v1.account_service_pb2_grpc import AccountServiceStub
from holdfast.accounts.v1.card_service_pb2 import ListCardsRequest
from holdfast.accounts.v1.card_service_pb2_grpc import CardServiceStub
from holdfast.accounts.v1.user_service_pb2 import GetUserRequest
from holdfast.accounts.v1.user_service_pb2_grpc import UserServiceStub
from loadtest.errors import BenchFailedError
from loadtest.mesh import Mesh, open_mesh
from loadtest.percentiles import Latency
from loadtest.session import Session
from runtime.channel import unix_channel
from runtime.cli.csv_file import CREATED
from runtime.identity import ROLES_HEADER, SUBJECT_HEADER
from runtime.mesh_client import connect
from runtime.settings import OPERATOR
from runtime.tasks import end

#: Reads of each kind, each of another row.
_READS = 1_000
_TIMEOUT_S = 30.0
#: How often memory is looked at: each look costs some 20 ms.
_LOOK_S = 2.0
_COMMAND = "command"
_IDENTITY = ((SUBJECT_HEADER, OPERATOR), (ROLES_HEADER, "admin"))
_USER_COLUMNS = ("reference", "name", "email", "phone", "birth_date", "tax_id", "verified")
_CARD_COLUMNS = ("reference", "owner_reference", "credit_limit_minor", "currency_code")
#: Social security numbers: areas and serials that may be.
_AREAS, _SERIALS = 600, 9_999

Call = Callable[[], Awaitable[Any]]


@dataclass(slots=True)
class _Use:
    """What the processes used while a file was imported."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)

    def look(self, name: str, process: psutil.Process, began_s: float) -> None:
        """One look at one process."""
        try:
            memory = process.memory_info().rss / 2**20
            self.cpu_s[name] = _cpu_s(process) - began_s
        except psutil.Error:
            return
        self.peak_mb[name] = round(max(self.peak_mb.get(name, 0), memory), 1)


async def imports(session: Session) -> None:
    """As many people as `--rows` says, and a card on an account of their own for each."""
    rows = session.options.rows
    found: dict[str, Any] = {"rows": rows}
    async with open_mesh(workers=session.options.workers) as mesh:
        with tempfile.TemporaryDirectory(prefix="holdfast-import-") as name:
            folder = Path(name)
            found["users"] = await _imported(session, mesh, folder, "users", _people(rows))
            found["cards"] = await _imported(session, mesh, folder, "cards", _cards(rows))
            users = _sampled(folder / "users.results.csv", rows)
        found["unsettled"] = await mesh.settle()
        found["reads"] = await _reads(session, mesh, users)
        await session.check_books(mesh, "import")
    session.document["import"] = found


def _people(rows: int) -> Iterable[tuple[str, ...]]:
    yield _USER_COLUMNS
    for number in range(rows):
        area, rest = 1 + number // _SERIALS // 99 % _AREAS, number // _SERIALS % 99 + 1
        yield (
            f"crm-{number}",
            f"Ada Byron {number}",
            f"ada.{number}@example.com",
            f"+1212{2_000_000 + number % 7_999_999:07d}",
            f"19{50 + number % 50}-0{1 + number % 9}-1{number % 9}",
            f"{area:03d}-{rest:02d}-{1 + number % _SERIALS:04d}",
            "true",
        )


def _cards(rows: int) -> Iterable[tuple[str, ...]]:
    yield _CARD_COLUMNS
    for number in range(rows):
        yield (f"card-{number}", f"crm-{number}", "500000", "USD")


async def _imported(
    session: Session, mesh: Mesh, folder: Path, what: str, lines: Iterable[tuple[str, ...]]
) -> dict[str, Any]:
    """Writes the file, and has the command import it."""
    file, results, rows = folder / f"{what}.csv", folder / f"{what}.results.csv", 0
    with file.open("w", newline="") as text:
        writer = csv.writer(text)
        for rows, line in enumerate(lines):  # noqa: B007 - the last one counts, without the header
            writer.writerow(line)
    began = time.perf_counter()
    async with _command(mesh, "import", what, str(file), "--results", str(results)) as (
        process,
        use,
    ):
        answer, errors = await process.communicate()
    seconds = time.perf_counter() - began
    report = json.loads(answer) if answer else {}
    if report.get(CREATED) != rows:
        raise BenchFailedError(f"import {what}: {report or errors.decode()[-500:]}")
    used = {name: round(spent * 1e6 / rows) for name, spent in use.cpu_s.items()}
    found: dict[str, Any] = {
        "rate": round(rows / seconds, 1),
        "seconds": round(seconds, 1),
        "file_mb": round(file.stat().st_size / 2**20, 1),
        "cpu_us_per_row": used,
        "peak_mb": use.peak_mb,
        "valkey_used_mb": round(int((await mesh.valkey_info("memory"))["used_memory"]) / 2**20),
    }
    file.unlink()
    session.say(
        f"import {what}: {rows:,} in {seconds:,.0f} s, {found['rate']:,.0f}/s   CPU µs per row: "
        + "  ".join(f"{name} {spent}" for name, spent in used.items())
        + "   peak MB: "
        + "  ".join(f"{name} {size:.0f}" for name, size in use.peak_mb.items())
    )
    return found


@asynccontextmanager
async def _command(
    mesh: Mesh, *arguments: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, _Use]]:
    """A command of `holdfast` on this mesh, watched as long as the block lasts."""
    home = str(mesh.stack.settings.home)
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("holdfast"), *arguments, "--home", home, "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    use = _Use()
    watching = asyncio.create_task(_watch(mesh, process.pid, use))
    try:
        yield process, use
    finally:
        await end(watching)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _watch(mesh: Mesh, command: int, use: _Use) -> None:
    """Looks at every process until it is cancelled. PostgreSQL's children come and go: together."""
    processes = {
        instance: psutil.Process(one.pid)
        for instance, one in mesh.stack.processes.items()
        if one.pid is not None
    }
    began = {name: _cpu_s(process) for name, process in processes.items()}
    processes[_COMMAND], began[_COMMAND] = psutil.Process(command), 0.0
    while True:
        for name, process in processes.items():
            use.look(name, process, began[name])
        await asyncio.sleep(_LOOK_S)


def _cpu_s(process: psutil.Process) -> float:
    """Children included, those that have ended, too: PostgreSQL has one for each connection."""
    times = process.cpu_times()
    used: float = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue
        used += times.user + times.system
    return used


def _sampled(results: Path, rows: int) -> list[str]:
    """Ids of people from all over the file."""
    step = max(rows // _READS, 1)
    with results.open(newline="") as text:
        return [row["id"] for row in itertools.islice(csv.DictReader(text), 0, None, step)]


async def _reads(session: Session, mesh: Mesh, users: Sequence[str]) -> dict[str, Any]:
    """One call after the other, on the service's socket and through the edge with a token."""
    found: dict[str, Any] = {}
    async with unix_channel(mesh.stack.settings.socket_of("accounts")) as channel:
        listing: Any = AccountServiceStub(channel)
        accounts = []
        for user_id in users:
            request = ListAccountsRequest(owner_id=user_id)
            answer = await listing.ListAccounts(request, metadata=_IDENTITY, timeout=_TIMEOUT_S)
            accounts.append(answer.accounts[0].id)
        requests = (
            [GetUserRequest(user_id=one) for one in users],
            [ListCardsRequest(account_id=one) for one in accounts],
        )
        people, cards = cast(Any, UserServiceStub(channel)), cast(Any, CardServiceStub(channel))
        asked = _asked(people, cards, *requests)
        found["socket"] = await _timed(session, "socket", asked, metadata=_IDENTITY)
    async with connect(mesh.stack.settings, mesh.stack.ports) as client:
        asked = _asked(client.users, client.cards, *requests)
        found["edge"] = await _timed(session, "edge", asked)
    return found


def _asked(
    people: Any, cards: Any, get: list[GetUserRequest], listing: list[ListCardsRequest]
) -> dict[str, tuple[Any, list[Any]]]:
    return {"GetUser": (people.GetUser, get), "ListCards": (cards.ListCards, listing)}


async def _timed(
    session: Session, where: str, asked: dict[str, tuple[Any, list[Any]]], **fields: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (method, requests) in asked.items():
        seconds = []
        for request in requests:
            began = time.perf_counter()
            await method(request, timeout=_TIMEOUT_S, **fields)
            seconds.append(time.perf_counter() - began)
        latency = Latency.of(seconds)
        found[name] = asdict(latency)
        session.say(
            f"{name} ({where}): p50 {latency.p50_ms:.1f}  p95 {latency.p95_ms:.1f}"
            f"  p99 {latency.p99_ms:.1f} ms"
        )
    return found
