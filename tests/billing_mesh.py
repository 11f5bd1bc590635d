"""Billing on a real ledger: PostgreSQL, Valkey, a worker, a settler, and a clock that is moved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
from redis.asyncio import Redis

from accounts.account import OpenAccount, open_account
from accounts.billing.store import Billing
from accounts.billing.wiring import BillingParts, billing_parts
from accounts.mutation import Mutations
from accounts.programme import Programme, ProgrammeKind, ProgrammeState, ProgrammeTerms
from accounts.programme_store import Programmes
from accounts.projector import Projector
from accounts.store import Store
from holdfast.accounts.v1 import terms_pb2
from holdfast.authz.v1 import posting_service_pb2 as posting
from holdfast.type.v1.money_pb2 import Money
from runtime.clock import ManualClock, datetime_of
from runtime.outbox import Outbox
from runtime.postgres import connect_pool
from runtime.validate import timestamp
from tests.authz_checks import approved
from tests.authz_mesh import ACCOUNTS, NETWORK, AuthzMesh, authz_mesh, capture_of
from tests.databases import Database

PROGRAMME = "prog_credit"
OWNER = "usr_0a" + "5" * 32
#: What is posted on a day has come in so long after its end.
DELAY_MS = 60_000
ZONE = "America/New_York"
#: The day on which statements are issued: cycles close on the 15th.
_STATEMENTS = 16


class _AsAccounts(grpc.aio.UnaryUnaryClientInterceptor):
    """Says who calls, as Envoy does."""

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        details = grpc.aio.ClientCallDetails(
            method=client_call_details.method,
            timeout=client_call_details.timeout,
            metadata=grpc.aio.Metadata(*ACCOUNTS),
            credentials=None,
            wait_for_ready=None,
        )
        return await continuation(details, request)


def usd(amount_minor: int) -> Money:
    """Dollars."""
    return Money(currency_code="USD", amount_minor=amount_minor)


def credit_terms(**changes: Any) -> terms_pb2.Terms:
    """18.25 % on purchases (0.05 % a day), 36.50 % on cash (0.1 % a day); closing on the 15th."""
    terms = terms_pb2.Terms(
        effective_date="2027-01-01",
        annual_rates=[
            terms_pb2.AnnualRate(category=terms_pb2.BALANCE_CATEGORY_PURCHASE, percent="18.25"),
            terms_pb2.AnnualRate(category=terms_pb2.BALANCE_CATEGORY_CASH_ADVANCE, percent="36.5"),
        ],
        interest_method=terms_pb2.INTEREST_METHOD_DAILY,
        cycle=terms_pb2.Cycle(closing_day=15, due_days=25, grace=True, time_zone=ZONE),
        minimum_payment=terms_pb2.MinimumPayment(
            floor=usd(3_500), percent="1", plus_interest_and_fees=True, plus_past_due=True
        ),
        fees=terms_pb2.Fees(
            late=usd(2_500),
            late_again=usd(3_500),
            cash_advance_percent="5",
            cash_advance_min=usd(1_000),
            returned_payment=usd(2_500),
        ),
    )
    terms.MergeFrom(terms_pb2.Terms(**changes))
    return terms


@dataclass(kw_only=True)
class BillingMesh:
    """Billing, what it works with, and shortcuts."""

    authz: AuthzMesh
    clock: ManualClock
    pool: asyncpg.Pool
    store: Store
    parts: BillingParts
    channel: grpc.aio.Channel
    programmes: Programmes
    _numbers: list[int] = field(default_factory=lambda: [0])

    def request_id(self) -> str:
        """A fresh one."""
        self._numbers[0] += 1
        return f"billing-{self._numbers[0]}"

    async def programme(self, terms: terms_pb2.Terms) -> None:
        """A programme with these terms."""
        now_ms = self.clock.now_ms()
        await self.programmes.insert(
            Programme(
                id=PROGRAMME,
                display_name="Credit",
                kind=ProgrammeKind.CONSUMER,
                network="VISA",
                currency_code="USD",
                bin="400000",
                state=ProgrammeState.ACTIVE,
                underwriting=b"",
                first_card_kind="VIRTUAL",
                open_cards_max=100,
                version=1,
                create_time_ms=now_ms,
                update_time_ms=now_ms,
            )
        )
        await self.programmes.insert_terms(
            ProgrammeTerms(
                programme_id=PROGRAMME,
                version=1,
                effective_date=datetime.fromisoformat(terms.effective_date).date(),
                terms=terms.SerializeToString(),
                create_time_ms=now_ms,
            )
        )

    async def open_account(self, limit_minor: int = 1_000_000) -> tuple[str, str]:
        """An account of the programme and a card, here and in the authorizer."""
        account_id = self.authz.ids.new("acct", 10)
        command = OpenAccount(
            owner_id=OWNER,
            programme_id=PROGRAMME,
            parent_account_id=None,
            currency_code="USD",
            credit_limit_minor=limit_minor,
        )
        now_ms = self.clock.now_ms()
        async with self.store.transaction(now_ms=now_ms) as transaction:
            await transaction.insert_account(
                open_account(command, account_id=account_id, now_ms=now_ms)
            )
        await self.authz.apply_account(
            account_id, limit_minor=limit_minor, owner_id=OWNER, programme_id=PROGRAMME
        )
        return account_id, await self.authz.issue_card(account_id)

    async def buy(self, card_id: str, amount_minor: int) -> None:
        """A purchase that is cleared at once."""
        held = await approved(self.authz, card_id, amount_minor)
        await self.authz.authorization.CaptureAuthorization(
            capture_of(held, amount_minor, self.request_id(), final=True), metadata=NETWORK
        )

    async def pay(self, account_id: str, amount_minor: int, *, on: int | None = None) -> str:
        """A payment, received now or earlier (milliseconds); returns its id."""
        payment_id = self.authz.ids.new("pay", int(account_id[5:7], 16))
        await self.authz.posting.CreditPayment(
            posting.CreditPaymentRequest(
                request_id=self.request_id(),
                account_id=account_id,
                payment_id=payment_id,
                amount=usd(amount_minor),
                effective_time=timestamp(self.clock.now_ms() if on is None else on),
            ),
            metadata=ACCOUNTS,
        )
        return payment_id

    async def give_back(self, account_id: str, payment_id: str) -> None:
        """A payment comes back."""
        await self.authz.posting.ReturnPayment(
            posting.ReturnPaymentRequest(
                request_id=self.request_id(), account_id=account_id, payment_id=payment_id
            ),
            metadata=ACCOUNTS,
        )

    async def adjust(self, account_id: str, amount_minor: int) -> None:
        """A credit that is no payment."""
        await self.authz.posting.PostEntry(
            posting.PostEntryRequest(
                request_id=self.request_id(),
                account_id=account_id,
                kind=posting.POSTING_KIND_ADJUSTMENT_CREDIT,
                amount=usd(amount_minor),
            ),
            metadata=ACCOUNTS,
        )

    async def until(self, day: str, hour: int = 12) -> None:
        """Does what is due, then moves the clock to an hour (UTC) of a day; on its way it stops on
        the 16th of each month, so that statements are issued in time.
        """
        await self.work()
        moment = datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC)
        assert moment >= datetime_of(self.clock.now_ms()), "time does not go back"
        while (now := datetime_of(self.clock.now_ms())) < moment:
            later = now if now.day < _STATEMENTS else now + timedelta(days=32 - now.day)
            stop = later.replace(day=_STATEMENTS, hour=12, minute=0, second=0, microsecond=0)
            self.clock.advance(int((min(stop, moment) - now).total_seconds() * 1000))
            await self.work()

    async def work(self) -> None:
        """Everything that is due: settles, follows, bills and posts until nothing is left."""
        for _ in range(50):
            await self.look()
            async with self.pool.acquire() as connection:
                await Billing(connection).enrol()
            worked = await self.parts.biller.work_due()
            await self.parts.poster.post_due()
            if not worked and not await self.authz.settle():
                return
        raise AssertionError("billing does not come to rest")

    async def look(self) -> None:
        """Takes in what is settled, and knows until when that is everything."""
        await self.authz.settle()
        await self.authz.worker.watch.look()
        await self.parts.follower.caught_up()

    async def posted_minor(self, account_id: str) -> int:
        """Owed, as the ledger has it."""
        found: int = await self.authz.ledger.fetchval(
            "SELECT posted_minor FROM account_balance WHERE account_id = $1", account_id
        )
        return found


@asynccontextmanager
async def billing_mesh(
    database: Database, money: Redis, *, begins: str = "2027-01-20"
) -> AsyncIterator[BillingMesh]:
    """Starts at noon (UTC) of a day."""
    start = datetime.fromisoformat(begins).replace(hour=12, tzinfo=UTC)
    clock = ManualClock(int(start.timestamp() * 1000))
    async with (
        authz_mesh(database, money, clock=clock) as authz,
        await connect_pool(database.settings, "accounts", max_size=4) as pool,
        grpc.aio.insecure_channel(
            f"unix:{authz.settings.socket}", interceptors=[_AsAccounts()]
        ) as channel,
    ):
        store = Store(pool)
        mutations = Mutations(
            store, Outbox(pool, Projector(channel).deliver), clock, projection_wait_s=0
        )
        parts = billing_parts(
            pool, channel, store, mutations, clock, creditor="Test Bank", delay_ms=DELAY_MS
        )
        yield BillingMesh(
            authz=authz,
            clock=clock,
            pool=pool,
            store=store,
            parts=parts,
            channel=channel,
            programmes=Programmes(pool),
        )
