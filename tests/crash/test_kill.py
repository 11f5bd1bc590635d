"""kill -9 in mid-load loses no approval and does nothing twice.

Goal: invariants 1 to 4. Method: a whole mesh with fsync on; clients purchase and capture over mTLS
through Envoy, and repeat a request with its id until it is answered; meanwhile processes are killed
and come back. At the end the clients' log of answers is compared with Valkey and the ledger.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg
import grpc
import pytest

from holdfast.accounts.v1 import account_service_pb2 as accounts
from holdfast.accounts.v1 import card_pb2
from holdfast.accounts.v1 import card_service_pb2 as cards
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from runtime import migrations
from runtime.devstack.supervisor import Devstack
from runtime.devstack.temporary import temporary_mesh
from runtime.mesh_client import MeshClient, connect
from tests.authz_mesh import capture_of, purchase

T = TypeVar("T")

ACCOUNTS = 6
CLIENTS = 24
LIMIT_MINOR = 150_000
#: A request is repeated until it is answered; nothing may stay down longer than this.
PATIENCE_S = 40.0
UNKNOWN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclass(slots=True, kw_only=True)
class Book:
    """What the clients were told about one account."""

    account_id: str
    card_id: str
    approved: dict[str, int] = field(default_factory=dict)
    captured: dict[str, int] = field(default_factory=dict)
    declined: int = 0

    @property
    def held(self) -> int:
        return sum(amount for name, amount in self.approved.items() if name not in self.captured)

    @property
    def posted(self) -> int:
        return sum(self.captured.values())


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Devstack]:
    async with temporary_mesh() as stack:
        yield stack


@pytest.fixture
async def client(stack: Devstack) -> AsyncIterator[MeshClient]:
    assert stack.ports is not None
    async with connect(stack.settings, stack.ports) as client:
        yield client


async def answered(call: Callable[[], Awaitable[T]], unknown: Counter[str]) -> T:
    """Repeats a request with its id until the outcome is known."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in UNKNOWN or time.monotonic() > until:
                raise
            unknown[error.code().name] += 1
            await asyncio.sleep(0.05)


async def open_books(client: MeshClient, run: str) -> list[Book]:
    books = []
    for number in range(ACCOUNTS):
        account = await client.accounts.OpenAccount(
            accounts.OpenAccountRequest(
                request_id=f"{run}-account-{number}",
                owner_id=f"usr_{number * 7:02x}{number:032x}",
                credit_limit=Money(currency_code="USD", amount_minor=LIMIT_MINOR),
            )
        )
        card = await client.cards.IssueCard(
            cards.IssueCardRequest(
                request_id=f"{run}-card-{number}",
                account_id=account.account.id,
                kind=card_pb2.Card.KIND_VIRTUAL,
            )
        )
        books.append(Book(account_id=account.account.id, card_id=card.card.id))
    return books


async def shop(
    client: MeshClient, book: Book, *, name: str, stop: asyncio.Event, unknown: Counter[str]
) -> None:
    """Purchases of 1.00; every second one is captured. Each answer is written down."""
    number = 0
    while not stop.is_set():
        number += 1
        request = purchase(book.card_id, 100, f"{name}-a-{number}")
        answer = await answered(lambda r=request: client.network.Authorize(r), unknown)  # type: ignore[misc]
        if answer.decision == pb.DECISION_DECLINED:
            book.declined += 1
            await asyncio.sleep(0.02)
            continue
        assert answer.authorization_id not in book.approved, "one hold for one request"
        book.approved[answer.authorization_id] = 100
        if number % 2:
            clearing = capture_of(answer.authorization_id, 100, f"{name}-c-{number}", final=True)
            await answered(
                lambda r=clearing: client.network.CaptureAuthorization(r),  # type: ignore[misc]
                unknown,
            )
            book.captured[answer.authorization_id] = 100


async def load(
    client: MeshClient, books: list[Book], run: str, disturb: Callable[[], Awaitable[None]]
) -> Counter[str]:
    """Runs the clients while `disturb` does its worst."""
    stop, unknown = asyncio.Event(), Counter[str]()
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(
                shop(
                    client,
                    books[number % len(books)],
                    name=f"{run}-{number}",
                    stop=stop,
                    unknown=unknown,
                )
            )
        try:
            await disturb()
        finally:
            stop.set()
    return unknown


async def check_books(stack: Devstack, client: MeshClient, books: list[Book], run: str) -> None:
    """The clients' log = Valkey = ledger, and every request acted once."""
    dsn = migrations.service_dsn(stack.settings, "authz", owner_dsn=stack.owner_dsn)
    ledger = await asyncpg.connect(dsn)
    try:
        for book in books:
            await _check_book(client, ledger, book)
        doubled = await ledger.fetch(
            "SELECT request_id FROM authz.journal_entry WHERE request_id LIKE $1"
            " GROUP BY principal, request_id HAVING count(*) > 1",
            f"{run}-%",
        )
        assert doubled == []
        gaps = await ledger.fetchval(
            "SELECT count(*) FROM authz.partition p WHERE p.position <>"
            " (SELECT count(*) FROM authz.journal_entry e WHERE e.partition = p.partition)"
        )
        assert gaps == 0
        assert (
            await ledger.fetchval("SELECT coalesce(sum(amount_minor), 0) FROM authz.journal_line")
            == 0
        )
    finally:
        await ledger.close()


async def _check_book(client: MeshClient, ledger: asyncpg.Connection, book: Book) -> None:
    request = rpc.GetBalanceRequest(account_id=book.account_id)
    balance = await client.authorizations.GetBalance(request)
    for _ in range(400):
        row = await ledger.fetchrow(
            "SELECT * FROM authz.account_balance WHERE account_id = $1", book.account_id
        )
        if row is not None and row["seq"] == balance.seq:
            break
        await asyncio.sleep(0.05)
    told = (book.posted, book.held)
    assert (balance.posted.amount_minor, balance.held.amount_minor) == told
    assert (row["seq"], row["posted_minor"], row["held_minor"]) == (balance.seq, *told)
    assert balance.available_credit.amount_minor >= 0
    approved = await ledger.fetch(
        "SELECT id, held_minor, captured_minor FROM authz.card_authorization"
        " WHERE account_id = $1 AND approved_minor > 0",
        book.account_id,
    )
    assert {row["id"] for row in approved} == set(book.approved)
    cleared = {row["id"]: row["captured_minor"] for row in approved if row["captured_minor"]}
    assert cleared == book.captured


@pytest.mark.timeout(180)
async def test_money_valkey_killed_twice(stack: Devstack, client: MeshClient) -> None:
    """Kill -9 of the money Valkey: what was approved is on disk, the rest is repeated."""
    books = await open_books(client, "valkey")

    async def disturb() -> None:
        for _ in range(2):
            await asyncio.sleep(1.0)
            stack.kill("valkey-money")
            await stack.wait_ready()
        await asyncio.sleep(0.7)

    unknown = await load(client, books, "valkey", disturb)
    assert unknown, "the kills must have been felt, or the test shows nothing"
    await check_books(stack, client, books, "valkey")


def _limit_files(stack: Devstack, *, pid: int | None, size: int) -> None:
    """Asked for by the server's own user: root may lack the right for another user's process."""
    user = stack.home.user
    become = (
        ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"] if user else []
    )
    # Not through subprocess' `user`: it forks, and gRPC's threads do not survive that.
    subprocess.run([*become, "prlimit", f"--pid={pid}", f"--fsize={size}:{size}"], check=True)


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit of util-linux")
@pytest.mark.timeout(180)
async def test_disk_full_under_the_money_valkey(stack: Devstack, client: MeshClient) -> None:
    """The append-only file cannot grow, in the middle of a write: what was answered is in it.

    Method: the kernel refuses the server files of more than what it has, plus a little: the write
    that crosses it is cut short. The server ends, and comes back on a disk with room.
    """
    books = await open_books(client, "disk")
    valkey = stack.processes["valkey-money"]

    async def disturb() -> None:
        await asyncio.sleep(0.8)
        folder = stack.home.server("valkey-money")
        size = max(path.stat().st_size for path in folder.rglob("*.aof"))
        restarts = valkey.restarts
        _limit_files(stack, pid=valkey.pid, size=size + 5_001)
        async with asyncio.timeout(20):
            while valkey.restarts == restarts:  # noqa: ASYNC110 - the supervisor tells nobody
                await asyncio.sleep(0.05)
        await stack.wait_ready()
        await asyncio.sleep(0.7)

    unknown = await load(client, books, "disk", disturb)
    assert unknown, "the full disk must have been felt, or the test shows nothing"
    await check_books(stack, client, books, "disk")


@pytest.mark.timeout(180)
async def test_settler_killed_again_and_again(stack: Devstack, client: MeshClient) -> None:
    """Kill -9 of the settler between reading, committing and trimming: exactly once."""
    books = await open_books(client, "settler")

    async def disturb() -> None:
        for pause_s in (0.31, 0.53, 0.77):
            await asyncio.sleep(pause_s)
            stack.kill("settler")
            await stack.wait_ready()
        await asyncio.sleep(0.5)

    await load(client, books, "settler", disturb)
    await check_books(stack, client, books, "settler")


@pytest.mark.timeout(180)
async def test_worker_and_postgres_killed(stack: Devstack, client: MeshClient) -> None:
    """Kill -9 of a worker in mid-call and of PostgreSQL: authorizing goes on or is repeated."""
    books = await open_books(client, "worker")

    async def disturb() -> None:
        for instance in ("authz-0", "postgres"):
            await asyncio.sleep(0.6)
            stack.kill(instance)
            await stack.wait_ready()
        await asyncio.sleep(0.7)

    await load(client, books, "worker", disturb)
    await check_books(stack, client, books, "worker")
