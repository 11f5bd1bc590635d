"""One load test against a running mesh: opens accounts, lets Locust's users loose, settles, judges.

Locust runs in a process of its own, because it patches the standard library.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from authz.reconcile_flow import Books
from holdfast.accounts.v1 import account_service_pb2, card_pb2, card_service_pb2
from loadtest import load_books
from loadtest.load_results import Results
from loadtest.load_samples import AUTHORIZE, Summary
from loadtest.load_scenario import Holder, Scenario
from loadtest.load_town import money
from loadtest.load_verdict import P95_MS_LIMIT, Check, Found, checks
from runtime import ids
from runtime.clock import SystemClock
from runtime.devstack import environment
from runtime.devstack.child import Child
from runtime.mesh_client import CALL_TIMEOUT_S, MeshClient

_CHECKOUT = Path(__file__).resolve().parents[1]
_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
#: Cardholders for each user, so that few purchases meet on one account.
_HOLDERS_PER_USER = 2
#: One account in so many is short of credit: declines and partial approvals.
_SHORT_EVERY = 10
_SHORT_LIMIT_MINOR = 20_000
_LIMIT_MINOR = 1_000_000_000
_OPENING_MAX = 8
#: How long Locust waits for users that act, and how long it may take to end: its users finish what
#: they have begun.
_STOP_TIMEOUT_S = 30
_END_TIMEOUT_S = 240
_TERM_TIMEOUT_S = 10.0
_REFRESH_S = 1.0
#: Lines of Locust's log that a failure shows.
_TAIL_LINES = 15
#: Of requests that nobody has sent.
_NOTHING = Summary(requests=0, failures=0, measured=0, p50_ms=0, p95_ms=0, p99_ms=0)


class LocustFailedError(Exception):
    """Locust ended without results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for."""

    seconds: int
    users: int
    html: Path | None = None
    p95_ms_limit: float = P95_MS_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """How the books of the mesh are closed; the caller knows its stores."""

    #: Waits until everything is settled; returns the entries that are not.
    drain: Callable[[], Awaitable[int]]
    reconcile: Callable[[], Awaitable[Books]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole load test."""

    order: Order
    results: Results
    accounts: int
    #: Where answers and ledger differ, one text each.
    differing: list[str]
    books: Books
    checks: list[Check]

    @property
    def holds(self) -> bool:
        """True if every promise was kept."""
        return all(check.holds for check in self.checks)


async def run_load(
    mesh: MeshClient,
    order: Order,
    accounting: Accounting,
    *,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Runs one load test. `tell` is told what is going on."""
    tell("opening accounts")
    run_id = f"load-{uuid.uuid4().hex[:12]}"
    holders = await _open_holders(mesh, run_id, count=order.users * _HOLDERS_PER_USER)
    results = await _locust(mesh, order, holders, run_id=run_id, tell=tell)
    tell("settling, and holding every answer against the ledger")
    unsettled = await accounting.drain()
    accounts = [holder.account_id for holder in holders]
    differing = await load_books.differences(mesh, results.answers, accounts)
    books = await accounting.reconcile()
    found = Found(
        authorize=results.by_name.get(AUTHORIZE, _NOTHING),
        overall=results.overall,
        approved=sum(one.approved for one in results.answers.authorizations.values()),
        unanswered=len(results.answers.unanswered),
        errors=len(results.errors),
        answers_differing=len(differing),
        unsettled=unsettled,
        books_differing=books.differences,
    )
    return Report(
        order=order,
        results=results,
        accounts=len(accounts),
        differing=differing,
        books=books,
        checks=checks(found, p95_ms_limit=order.p95_ms_limit),
    )


async def _open_holders(mesh: MeshClient, run_id: str, *, count: int) -> tuple[Holder, ...]:
    """So many accounts of made-up owners, each with a card."""
    room = asyncio.Semaphore(_OPENING_MAX)
    source = ids.IdSource(SystemClock())

    async def open_one(number: int) -> Holder:
        limit_minor = _SHORT_LIMIT_MINOR if number % _SHORT_EVERY == 0 else _LIMIT_MINOR
        name = f"{run_id}-holder-{number}"
        async with room:
            opened = await mesh.accounts.OpenAccount(
                account_service_pb2.OpenAccountRequest(
                    request_id=f"{name}-account",
                    owner_id=source.new(ids.USER, ids.partition_for_owner(name)),
                    credit_limit=money(limit_minor),
                ),
                timeout=CALL_TIMEOUT_S,
            )
            issued = await mesh.cards.IssueCard(
                card_service_pb2.IssueCardRequest(
                    request_id=f"{name}-card",
                    account_id=opened.account.id,
                    kind=card_pb2.Card.KIND_VIRTUAL,
                ),
                timeout=CALL_TIMEOUT_S,
            )
        return Holder(opened.account.id, issued.card.id)

    return tuple(await asyncio.gather(*(open_one(number) for number in range(count))))


async def _locust(
    mesh: MeshClient,
    order: Order,
    holders: tuple[Holder, ...],
    *,
    run_id: str,
    tell: Callable[[str], None],
) -> Results:
    """Locust from start to end."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-load-"))
    scenario = Scenario(
        run_id=run_id,
        network_port=mesh.ports["network"],
        edge_port=mesh.ports["edge_https"],
        results=folder / "results.json",
        seconds=order.seconds,
        users=order.users,
        holders=holders,
    )
    scenario.write(folder / "scenario.json")
    log = folder / "locust.log"
    try:
        child = Child(
            _command(order, scenario, folder / "scenario.json"),
            env=environment.of_service(mesh.settings, "load"),
            cwd=_CHECKOUT,
            log=log,
        )
        try:
            async with asyncio.timeout(order.seconds + _END_TIMEOUT_S):
                await _watched(child, scenario, tell)
        except TimeoutError:
            raise LocustFailedError(f"Locust does not end:\n{_tail(log)}") from None
        finally:
            await child.stop(signal.SIGTERM, timeout_s=_TERM_TIMEOUT_S)
        if not scenario.results.exists():
            raise LocustFailedError(f"Locust ended without results:\n{_tail(log)}")
        return Results.read(scenario.results)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _watched(child: Child, scenario: Scenario, tell: Callable[[str], None]) -> None:
    began = time.monotonic()
    ended = asyncio.ensure_future(child.wait())
    while not ended.done():
        elapsed_s = time.monotonic() - began
        phase = scenario.phase(elapsed_s) or "the last users finish"
        tell(f"{elapsed_s:.0f} of {scenario.seconds} s: {phase}")
        await asyncio.wait([ended], timeout=_REFRESH_S)


def _command(order: Order, scenario: Scenario, file: Path) -> list[str]:
    html = ["--html", str(order.html.resolve())] if order.html else []
    return [
        *(sys.executable, "-m", "locust", "--locustfile", str(_LOCUSTFILE), "--headless"),
        *("--host", f"https://localhost:{scenario.edge_port}"),
        # What fails is judged by us, with the rest.
        *("--only-summary", "--exit-code-on-error", "0"),
        *("--stop-timeout", str(_STOP_TIMEOUT_S), "--scenario", str(file), *html),
    ]


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
