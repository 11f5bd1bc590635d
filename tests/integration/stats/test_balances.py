"""What statistics have of an account comes to what is owed on it and reserved on it.

Goal: nothing that the authorizer books is counted with a wrong sign, twice, or nowhere. Method:
random movements of every kind, in the order in which messages happen to come; then the sum of all
days is compared with the authorizer's own balance. Whoever adds a kind of entry that changes what
is owed has to have it counted.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import grpc
import pytest
from redis.asyncio import Redis

from holdfast.authz.v1 import posting_service_pb2 as postings
from stats.measures import Measures, total
from stats.store import StatsStore
from tests import authz_messages as messages
from tests.authz_checks import balance, by_network, network_purchase
from tests.authz_mesh import ACCOUNTS, ADMIN, NETWORK, AuthzMesh, capture_of, reversal_of
from tests.databases import Database
from tests.payments_mesh import PAYMENTS
from tests.stats_mesh import LedgerStats, ledger_stats

MOVEMENTS = 80
REFUSED = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)
POSTINGS = (
    postings.POSTING_KIND_FEE,
    postings.POSTING_KIND_INTEREST,
    postings.POSTING_KIND_ADJUSTMENT_DEBIT,
    postings.POSTING_KIND_ADJUSTMENT_CREDIT,
    postings.POSTING_KIND_CHARGE_OFF,
    postings.POSTING_KIND_RECOVERY,
    postings.POSTING_KIND_PROVISIONAL_CREDIT,
    postings.POSTING_KIND_PROVISIONAL_CREDIT_REVERSAL,
)


@pytest.fixture
async def running(database: Database, money: Redis) -> AsyncIterator[LedgerStats]:
    async with ledger_stats(database, money) as found:
        yield found


async def counted(running: LedgerStats, account: str) -> Measures:
    """All days of an account."""
    await running.count()
    store: StatsStore = running.store
    days = await store.days(account, date(2000, 1, 1), date(2099, 12, 31), currency="")
    return total(one.measures for one in days)


async def attempt(method: Any, request: Any, caller: Any) -> bool:
    """False if it is refused: so are some of the random ones."""
    try:
        await method(request, metadata=caller)
    except grpc.aio.AioRpcError as error:
        if error.code() not in REFUSED:
            raise
        return False
    return True


class Play:
    """One account, one card, and what happens to them."""

    def __init__(self, mesh: AuthzMesh, chance: random.Random, account: str, card: str) -> None:
        self.mesh, self.chance = mesh, chance
        self.account, self.card = account, card
        self.payments: list[str] = []
        self.refunds: list[tuple[str, str]] = []

    async def purchase(self, amount: int, name: str) -> bool:
        """A message about a purchase, in any order."""
        stub, card = self.mesh.authorization, self.card
        match self.chance.randrange(7):
            case 0:
                request: Any = network_purchase(card, amount, name)
                return await attempt(stub.Authorize, request, NETWORK)
            case 1:
                request = by_network(capture_of("", amount), card, name)
                return await attempt(stub.CaptureAuthorization, request, NETWORK)
            case 2:
                request = by_network(reversal_of("", amount), card, name)
                return await attempt(stub.ReverseAuthorization, request, NETWORK)
            case 3:
                return await attempt(stub.ForcePost, messages.forced(card, amount, name), NETWORK)
            case 4:
                return await attempt(stub.Authorize, messages.withdrawal(card, amount), NETWORK)
            case _:
                reversal = self.chance.random() < 0.4
                request = by_network(messages.refund_of("", amount, reversal=reversal), card, name)
                return await attempt(stub.Refund, request, NETWORK)

    async def payment(self, amount: int) -> bool:
        """A payment, its release or return; or credit that is paid back, or is not."""
        stub, account, chance = self.mesh.posting, self.account, self.chance
        step = chance.randrange(5)
        if step == 0 or not self.payments:
            self.payments.append(self.mesh.ids.new("pay", 10))
            request: Any = messages.credit(account, self.payments[-1], amount)
            return await attempt(stub.CreditPayment, request, PAYMENTS)
        payment = chance.choice(self.payments)
        if step == 1:
            return await attempt(stub.ReleasePayment, messages.release(account, payment), PAYMENTS)
        if step == 2:
            return await attempt(stub.ReturnPayment, messages.returned(account, payment), PAYMENTS)
        if step == 3 or not self.refunds:
            refund = self.mesh.ids.new("rfd", 10)
            request = messages.refund_debit(account, refund, payment, amount)
            if done := await attempt(stub.DebitRefund, request, PAYMENTS):
                self.refunds.append((refund, payment))
            return done
        request = messages.refund_put_back(account, *chance.choice(self.refunds))
        return await attempt(stub.ReverseRefund, request, PAYMENTS)

    async def post(self, amount: int) -> bool:
        """What the issuer books."""
        request = messages.posting(self.account, self.chance.choice(POSTINGS), amount)
        return await attempt(self.mesh.posting.PostEntry, request, ACCOUNTS)


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_owed_is_what_was_counted(running: LedgerStats, seed: int) -> None:
    chance, mesh = random.Random(seed), running.authz
    account = await mesh.open_account(1_000_000)
    play = Play(mesh, chance, account, await mesh.issue_card(account))
    for _ in range(MOVEMENTS):
        amount = chance.choice([100, 200, chance.randint(1, 500)])
        step = chance.random()
        if step < 0.6:
            await play.purchase(amount, f"t{chance.randrange(8)}")
        elif step < 0.8:
            await play.payment(amount)
        else:
            await play.post(amount)
        if chance.random() < 0.2:
            await running.count()
    found = await counted(running, account)
    assert (
        found.net_spend_minor
        - found.payment_minor
        + found.fee_minor
        + (found.interest_minor + found.adjustment_minor - found.charge_off_minor)
        + found.recovery_minor
        == (await balance(mesh, account))[0]
    )
    assert not (await running.rebuild().run(repair=False)).differences


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_reserved_is_what_was_not_given_back(running: LedgerStats, seed: int) -> None:
    """Reversals in part and in full, before and after, more than there is; advices and increments
    of what was reversed; and expiries.
    """
    chance, mesh = random.Random(seed), running.authz
    account = await mesh.open_account(1_000_000)
    card, stub = await mesh.issue_card(account), mesh.authorization
    known: list[str] = []
    for number in range(MOVEMENTS):
        name = f"t{chance.randrange(12)}"
        match chance.randrange(7):
            case 0 | 1:
                request: Any = network_purchase(card, chance.randint(100, 900), name)
                await attempt(stub.Authorize, request, NETWORK)
            case 2 | 3:
                amount = chance.choice([None, chance.randint(1, 500), chance.randint(1, 80)])
                request = by_network(reversal_of("", amount), card, name)
                await attempt(stub.ReverseAuthorization, request, NETWORK)
            case 4:
                answer = await stub.Authorize(
                    messages.advice(card, chance.randint(1, 900), name), metadata=NETWORK
                )
                known.append(answer.authorization_id)
            case 5:
                for one in known[-1:]:
                    increment = messages.increment_of(one, chance.randint(1, 300))
                    await attempt(stub.IncrementAuthorization, increment, ADMIN)
            case _:
                answer = await stub.Authorize(
                    network_purchase(card, 70, f"e{number}"), metadata=NETWORK
                )
                expiry = messages.expiry_of(answer.authorization_id)
                await attempt(stub.ExpireAuthorization, expiry, ADMIN)
    found = await counted(running, account)
    open_minor = found.authorized_minor - found.reversed_minor - found.expired_minor
    assert found.reversed_minor > 0
    assert found.expired_minor > 0
    assert open_minor == (await balance(mesh, account))[1]
    assert not (await running.rebuild().run(repair=False)).differences
