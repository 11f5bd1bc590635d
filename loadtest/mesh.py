"""A mesh to measure: its addresses, its accounts, its books."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import asyncpg

from authz.reconcile import Difference
from authz.reconcile_flow import Reconciler, drain
from authz.reconcile_store import open_store
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1.projection_service_pb2_grpc import ProjectionServiceStub
from holdfast.type.v1.money_pb2 import Money
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from loadtest import messages
from loadtest.drive import Run, drive
from loadtest.errors import BenchFailedError
from loadtest.job import Target
from loadtest.messages import Messages
from loadtest.outcome import Outcome
from loadtest.processes import SETTLING, Processes, used_between
from runtime import ids, pki, redis
from runtime.channel import unix_channel
from runtime.clock import SystemClock
from runtime.devstack.supervisor import Devstack
from runtime.devstack.temporary import temporary_mesh
from runtime.mesh_client import TokenSource
from runtime.settings import PARTITIONS

#: Nobody is declined for want of credit, whatever the length of a run.
LIMIT_MINOR = 10**12
#: Room for every hold of the longest run below the gate's 70 %.
MONEY_MEMORY_MB = 4096
SETTLE_TIMEOUT_S = 300.0
#: Accounts that are opened by one call, and calls at the same time.
_OPENING_BATCH = 250
_OPENING_DEPTH = 4
_OPENING_TIMEOUT_S = 30
_EXPIRY_YEAR = 2099


@dataclass(slots=True, kw_only=True)
class Answered:
    """What the mesh has answered so far, warm-up included."""

    approved: int = 0
    declined: int = 0
    #: Calls whose outcome is unknown: they may have been decided.
    unknown: int = 0

    def add(self, run: Run) -> None:
        """One run."""
        self.approved += run.counts[Outcome.APPROVED]
        self.declined += run.counts[Outcome.DECLINED]
        shed = run.counts[Outcome.RESOURCE_EXHAUSTED]
        self.unknown += run.errors - shed


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksFound:
    """Books after a run."""

    approved: int
    entries_approved: int
    declined: int
    entries_declined: int
    unknown: int
    accounts: int
    entries: int
    differences: int
    unsettled: int

    @property
    def balance(self) -> bool:
        """Nothing differs, and each answer is in the ledger once; what is unknown may be."""
        decided = self.approved + self.declined
        found = self.entries_approved + self.entries_declined
        return (
            self.differences == 0
            and self.unsettled == 0
            and self.approved <= self.entries_approved
            and self.declined <= self.entries_declined
            and decided <= found <= decided + self.unknown
        )


class ScriptUse(NamedTuple):
    """Runs of scripts in Valkey, by its own count."""

    calls: int
    usec: int

    def since(self, before: ScriptUse) -> float:
        """Microseconds of one run, on average."""
        return round((self.usec - before.usec) / max(self.calls - before.calls, 1), 1)


class Mesh:
    """A running mesh with what is known of the load on it."""

    def __init__(self, stack: Devstack) -> None:
        self.stack = stack
        self.processes = Processes(stack)
        self.answered = Answered()
        settings = stack.settings
        self.network = Target(
            port=stack.ports["network"],
            identity=str(pki.identity_path(settings, f"network-{pki.DEMO_NETWORK}")),
            ca=str(pki.ca_path(settings)),
        )
        self.edge = Target(port=stack.ports["edge_https"], ca=str(pki.ca_path(settings)))

    async def open_accounts(
        self,
        count: int,
        *,
        limit_minor: int = LIMIT_MINOR,
        controls: SpendControls | None = None,
    ) -> list[str]:
        """Opens accounts with a card each, as the accounts service does it: through Envoy's mesh
        listener into ProjectionService. Returns the cards.
        """
        batch = os.urandom(6).hex()
        rows = [_Names.of(batch, number) for number in range(count)]
        await self._apply(
            rows,
            lambda few: projection.ApplyAllRequest(
                accounts=[row.account(limit_minor, controls) for row in few],
                cards=[row.card() for row in few],
            ),
        )
        return [row.card_id for row in rows]

    async def open_bare_accounts(self, count: int, *, limit_minor: int = LIMIT_MINOR) -> list[str]:
        """The same without cards; returns the accounts."""
        batch = os.urandom(6).hex()
        rows = [_Names.of(batch, number) for number in range(count)]
        await self._apply(
            rows,
            lambda few: projection.ApplyAllRequest(
                accounts=[row.account(limit_minor, None) for row in few]
            ),
        )
        return [row.account_id for row in rows]

    async def _apply(
        self,
        rows: Sequence[_Names],
        request_of: Callable[[Sequence[_Names]], projection.ApplyAllRequest],
    ) -> None:
        room = asyncio.Semaphore(_OPENING_DEPTH)
        socket = self.stack.settings.egress_socket("accounts")
        async with unix_channel(socket) as channel, asyncio.TaskGroup() as group:
            stub = ProjectionServiceStub(channel)

            async def apply(few: Sequence[_Names]) -> None:
                try:
                    await stub.ApplyAll(request_of(few), timeout=_OPENING_TIMEOUT_S)
                finally:
                    room.release()

            for first in range(0, len(rows), _OPENING_BATCH):
                await room.acquire()
                group.create_task(apply(rows[first : first + _OPENING_BATCH]))

    def pid(self, instance: str) -> int | None:
        """Of one process; None of none."""
        if instance and instance not in self.stack.processes:
            names = ", ".join(self.stack.processes)
            raise BenchFailedError(f"there is no process {instance}; there are {names}")
        return self.stack.processes[instance].pid if instance else None

    async def purchase(self, card_ids: Sequence[str], **fields: Any) -> Run:
        """One run of purchases, as a network over mTLS."""
        headers = messages.grpc_headers(messages.AUTHORIZE, tls=True)
        return await self._run(self.network, headers, messages.purchases(card_ids), **fields)

    async def purchase_json(self, card_ids: Sequence[str], **fields: Any) -> Run:
        """The same as JSON at the edge, with an access token."""
        tokens = TokenSource(self.stack.settings, roles=("merchant",))
        headers = messages.json_headers(tokens.token())
        batch = messages.json_purchases(card_ids)
        return await self._run(self.edge, headers, batch, as_json=True, **fields)

    async def _run(
        self,
        target: Target,
        headers: list[tuple[str, str]],
        batch: Messages,
        *,
        settle: bool = True,
        **fields: Any,
    ) -> Run:
        """One run. Its entries are settled when it returns, and what that cost is part of it."""
        job = messages.job(target, headers, batch, **fields)
        before = self.processes.cpu_s()
        run = await drive(job, batch.tails, watched=self.processes)
        self.answered.add(run)
        if not settle:
            return run
        await self.settle()
        whole = used_between(before, self.processes.cpu_s())
        return replace(run, cpu_s=run.cpu_s | {name: whole[name] for name in SETTLING})

    async def valkey_info(self, section: str) -> dict[str, Any]:
        """What the money Valkey says of itself."""
        settings = self.stack.settings
        assert settings.redis_url is not None, "it runs"
        async with redis.client(
            settings, settings.redis_url, server="valkey-money", user="operator"
        ) as valkey:
            found: dict[str, Any] = await valkey.info(section)
        return found

    async def script_use(self) -> ScriptUse:
        """How often scripts ran so far, and for how long in all."""
        found = (await self.valkey_info("commandstats")).get("cmdstat_evalsha", {})
        return ScriptUse(calls=int(found.get("calls", 0)), usec=int(found.get("usec", 0)))

    async def settle(self) -> int:
        """Waits until everything is in the ledger; returns how many entries are not."""
        async with open_store(self.stack.settings) as store:
            return await drain(store, timeout_s=SETTLE_TIMEOUT_S)

    async def books(
        self, *, on_difference: Callable[[Difference], None] = lambda _: None
    ) -> BooksFound:
        """Settles, reconciles, and compares the answers with the entries."""
        unsettled = await self.settle()
        async with open_store(self.stack.settings) as store:
            books = await Reconciler(
                store,
                clock=SystemClock(),
                settle_timeout_s=SETTLE_TIMEOUT_S,
                on_difference=on_difference,
            ).run()
        connection = await asyncpg.connect(self.stack.owner_dsn)
        try:
            rows = await connection.fetch(
                "SELECT decision, count(*) AS entries FROM authz.journal_entry"
                " WHERE decision IS NOT NULL GROUP BY decision"
            )
        finally:
            await connection.close()
        entries = {row["decision"]: row["entries"] for row in rows}
        return BooksFound(
            approved=self.answered.approved,
            entries_approved=entries.get("APPROVED", 0),
            declined=self.answered.declined,
            entries_declined=entries.get("DECLINED", 0),
            unknown=self.answered.unknown,
            accounts=books.accounts,
            entries=books.entries,
            differences=books.differences,
            unsettled=unsettled,
        )


@asynccontextmanager
async def open_mesh(*, workers: int, **fields: Any) -> AsyncIterator[Mesh]:
    """A whole mesh of one's own, removed at the end. `fields` are more settings."""
    async with temporary_mesh(
        authz_workers=workers, money_memory_mb=MONEY_MEMORY_MB, **fields
    ) as stack:
        yield Mesh(stack)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """An owner with an account and a card, spread over the partitions."""

    owner_id: str
    account_id: str
    card_id: str

    @classmethod
    def of(cls, batch: str, number: int) -> _Names:
        rest = f"{number % PARTITIONS:02x}{batch}{number:020x}"
        return cls(
            owner_id=f"{ids.USER}_{rest}",
            account_id=f"{ids.ACCOUNT}_{rest}",
            card_id=f"{ids.CARD}_{rest}",
        )

    def account(
        self, limit_minor: int, controls: SpendControls | None
    ) -> projection.ApplyAccountRequest:
        return projection.ApplyAccountRequest(
            version=1,
            account_id=self.account_id,
            owner_id=self.owner_id,
            programme_id="prog_bench",
            state=projection.ACCOUNT_STATE_OPEN,
            credit_limit=Money(currency_code=messages.CURRENCY, amount_minor=limit_minor),
            controls=controls,
        )

    def card(self) -> projection.ApplyCardRequest:
        return projection.ApplyCardRequest(
            version=1,
            card_id=self.card_id,
            account_id=self.account_id,
            root_card_id=self.card_id,
            state=projection.CARD_STATE_ACTIVE,
            expiry_month=12,
            expiry_year=_EXPIRY_YEAR,
        )
