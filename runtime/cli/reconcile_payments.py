"""`holdfast reconcile --payments`: payments against the ledger, and against who brought the money:
Stripe, and the deposits that the issuer keeps. Reads a page at a time, and writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from payments import reconcile
from payments import reconcile_refunds as refunding
from payments.payment import Payment, Source
from payments.processor import OutcomeUnknown
from payments.reconcile import Charge, Difference
from payments.reconcile_refunds import GivenBack
from payments.reconcile_store import ReconcileStore
from payments.settings import PaymentsSettings
from payments.stripe_words import TYPES
from runtime.cli.differences import difference_writer
from runtime.cli.output import CliError, ExitCode, Output
from runtime.cli.running import run_to_end
from runtime.clock import Clock
from runtime.devstack import state
from runtime.devstack import stripe as emulator
from runtime.moved_clock import clock_of_home
from runtime.secrets import secret_text
from runtime.settings import Settings

if TYPE_CHECKING:
    from payments.stripe_processor import StripeProcessor

#: What is under way arrives within this: something differs only if it does at each look.
LOOKS = 6
PAUSE_S = 0.5
#: Differences that are shown; `--csv` has them all.
SHOWN_MAX = 100


@dataclass(slots=True)
class Compared:
    """How much was compared, and what differs."""

    payments: int = 0
    charges: int = 0
    refunds: int = 0
    #: Sum of what has come and was not returned or paid back, by currency, in minor units.
    kept_minor: dict[str, int] = field(default_factory=dict)
    stripe: bool = False
    differences: list[Difference] = field(default_factory=list)

    def line(self) -> str:
        """The line that says it all."""
        through = "Stripe" if self.stripe else "deposits (Stripe is off)"
        return (
            f"{self.payments:,} payments, {self.refunds:,} refunds, "
            f"{self.charges:,} charges through {through}: {len(self.differences)} differences"
        )


def run(settings: Settings, output: Output, csv_file: Path | None) -> None:
    """Compares, and prints each difference with what to do; exit 1 if there is one."""
    with ExitStack() as stack:
        write = difference_writer(csv_file, stack, Difference)
        try:
            found = run_to_end(reconcile_payments(settings))
        except (OSError, TimeoutError, asyncpg.PostgresError, OutcomeUnknown) as error:
            raise CliError(
                f"cannot read what was paid: {error or type(error).__name__}",
                hint="see `holdfast status`; a server may be restarting, or Stripe away",
                exit_code=ExitCode.ENVIRONMENT,
            ) from None
        for one in found.differences:
            write(one)
    shown = found.differences[:SHOWN_MAX]
    document = {
        "payments": found.payments,
        "charges": found.charges,
        "refunds": found.refunds,
        "kept_minor": found.kept_minor,
        "stripe": found.stripe,
        "differences": len(found.differences),
        "shown": [asdict(one) for one in shown],
    }
    output.result(document, shown=_shown(found, shown))
    if found.differences:
        raise typer.Exit(ExitCode.DIFFERENCES)


def _shown(found: Compared, shown: Sequence[Difference]) -> Group:
    line = Text(found.line(), style="bold red" if found.differences else "bold green")
    if not shown:
        return Group(line)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("what", "field", "found", "expected", "compared", "what to do"):
        table.add_column(heading, overflow="fold")
    for one in shown:
        table.add_row(*asdict(one).values())
    return Group(table, line)


async def reconcile_payments(
    settings: Settings, *, stripe: StripeProcessor | None = None, clock: Clock | None = None
) -> Compared:
    """Compares everything, until nothing differs or the same does at each of several looks.
    `stripe`, `clock`: those of the installation, unless given.
    """
    clock = clock or clock_of_home(settings.home)
    async with AsyncExitStack() as stack:
        books = await stack.enter_async_context(_connection(settings, "authz"))
        mine = await stack.enter_async_context(_connection(settings, "payments"))
        through = stripe or await stack.enter_async_context(_stripe(settings))
        look = _Look(ReconcileStore(mine, books), through, clock)
        found = await look.all()
        for _ in range(LOOKS - 1):
            if not found.differences:
                break
            await asyncio.sleep(PAUSE_S)
            suspects = {(one.subject, one.field) for one in found.differences}
            found = await look.all()
            found.differences = [
                one for one in found.differences if (one.subject, one.field) in suspects
            ]
        return found


class _Look:
    """One look at everything."""

    def __init__(
        self, store: ReconcileStore, through: StripeProcessor | None, clock: Clock
    ) -> None:
        self._store = store
        self._stripe = through
        self._clock = clock

    async def all(self) -> Compared:
        """What differs now."""
        found = Compared(stripe=self._stripe is not None)
        charged = await self._charged(found) if self._stripe else {}
        after = ""
        while page := await self._store.after(after):
            await self._compare(page, charged, found)
            after = page[-1].id
        await self._refunds(found)
        await self._strays(found)
        return found

    async def _refunds(self, found: Compared) -> None:
        """Refunds against the ledger and whoever has given them back."""
        given = await self._given_back(found) if self._stripe else {}
        after = ""
        while page := await self._store.refunds_after(after):
            names = [one.id for one in page]
            booked = await self._store.booked(names)
            deposits = await self._store.deposit_refunds(names)
            for one in page:
                found.differences += refunding.against_ledger(one, booked.get(one.id))
                if one.source is Source.IN_HOUSE:
                    given_back = [deposits[one.id]] if one.id in deposits else []
                    found.differences += refunding.against_processor(one, given_back)
                elif one.source in TYPES and self._stripe:
                    found.differences += refunding.against_processor(one, given.get(one.id, []))
            found.refunds += len(page)
            after = page[-1].id

    async def _given_back(self, found: Compared) -> dict[str, list[GivenBack]]:
        """What Stripe has given back, by refund; what nobody asked for here differs at once."""
        assert self._stripe is not None, "asked before"
        by_refund: dict[str, list[GivenBack]] = {}
        async for page in self._stripe.refunds():
            there = await self._store.refunds_named([one.refund_id for one in page])
            for one in page:
                if one.refund_id in there:
                    by_refund.setdefault(one.refund_id, []).append(one)
                elif one.given:
                    found.differences.append(refunding.nobodys(one))
        return by_refund

    async def _compare(
        self, page: Sequence[Payment], charged: dict[str, list[Charge]], found: Compared
    ) -> None:
        names = [one.id for one in page]
        booked = await self._store.booked(names)
        refunds = await self._store.refunds_of(names)
        taken = await self._store.deposit_charges(names)
        now_ms = self._clock.now_ms()
        for one in page:
            if reconcile.brought_money(one) and not one.returning:
                assert one.amount_minor is not None, "it came"
                kept = found.kept_minor.get(one.currency_code, 0)
                found.kept_minor[one.currency_code] = kept + one.amount_minor - one.refunded_minor
            found.differences += reconcile.against_ledger(one, booked.get(one.id), now_ms=now_ms)
            found.differences += self._against_processor(one, charged, taken)
            found.differences += refunding.against_payment(one, refunds.get(one.id, []))
        found.payments += len(page)
        found.charges += len(taken)

    def _against_processor(
        self, payment: Payment, charged: dict[str, list[Charge]], taken: dict[str, Charge]
    ) -> Iterator[Difference]:
        if payment.source is Source.IN_HOUSE:
            charge = taken.get(payment.id)
            yield from reconcile.against_processor(payment, [charge] if charge else [])
            if charge:
                yield from reconcile.against_deposit(payment, charge)
        elif payment.source in TYPES and self._stripe:
            yield from reconcile.against_processor(payment, charged.get(payment.id, []))

    async def _charged(self, found: Compared) -> dict[str, list[Charge]]:
        """Stripe's charges that brought money, by payment; nobody's are differences at once."""
        assert self._stripe is not None, "asked before"
        by_payment: dict[str, list[Charge]] = {}
        async for page in self._stripe.charges():
            came = [one for one in page if one.came]
            found.charges += len(page)
            known = await self._store.named(
                [one.payment_id for one in came], [one.reference for one in came]
            )
            named = {reference: name for name, reference in known}
            there = {name for name, _ in known}
            for one in came:
                payment_id = named.get(one.reference, one.payment_id)
                if payment_id in there:
                    by_payment.setdefault(payment_id, []).append(one)
                else:
                    found.differences.append(reconcile.nobodys_charge(one))
        return by_payment

    async def _strays(self, found: Compared) -> None:
        """What only the ledger, or only a deposit, knows."""
        after = ""
        while booked := await self._store.booked_after(after):
            there = {name for name, _ in await self._store.named(list(booked))}
            there |= await self._store.refunds_named(list(booked))
            found.differences += [
                reconcile.nobodys_book(name, one)
                for name, one in booked.items()
                if name not in there
            ]
            after = list(booked)[-1]
        strays = await self._store.stray_deposit_charges()
        found.differences += [reconcile.nobodys_charge(one) for one in strays]


@asynccontextmanager
async def _connection(settings: Settings, service: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(
        settings.postgres_dsn,
        user=f"holdfast_{service}",
        password=secret_text(settings, f"postgres-{service}"),
        server_settings={
            "search_path": service,
            "application_name": "reconcile",
            "default_transaction_read_only": "on",
        },
    )
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _stripe(settings: Settings) -> AsyncIterator[StripeProcessor | None]:
    """Stripe, if payments uses it."""
    own = PaymentsSettings(home=settings.home)
    url = own.payments_stripe_url
    if own.payments_stripe == "off":
        url = _emulator_url(settings)
        if not url:
            yield None
            return
    from payments.stripe_processor import StripeProcessor  # noqa: PLC0415  only where it is used

    found = StripeProcessor(secret_text(settings, "stripe-key"), url)
    try:
        yield found
    finally:
        await found.close()


def _emulator_url(settings: Settings) -> str:
    """Where the supervisor has started an emulator of Stripe; empty: it has not."""
    processes = (state.read(settings.home) or {}).get("processes", [])
    found = [one["listens"] for one in processes if one["instance"] == emulator.INSTANCE]
    return found[0] if found else ""
