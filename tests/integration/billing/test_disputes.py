"""Disputes on a real ledger: what is posted, once, and what statements say of it."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from accounts.billing.store import Billing
from accounts.billing.waiver import Kind, Waive
from accounts.billing.waivers import Waivers
from accounts.disputes.poster import LEASE_MS
from accounts.disputes.wiring import DisputeParts, dispute_parts
from accounts.mutation import Mutations
from accounts.ownership_store import OwnershipStore
from accounts.person_keys import person_keys
from holdfast.accounts.v1 import dispute_pb2, terms_pb2
from holdfast.accounts.v1 import dispute_service_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime.identity import Identity, set_identity
from runtime.objects import LocalFolder
from runtime.outbox import Outbox, Row
from runtime.secrets import FileSecrets
from tests.accounts_disputing import liability
from tests.authz_checks import approved
from tests.authz_mesh import NETWORK, capture_of
from tests.billing_mesh import BillingMesh, credit_terms
from tests.integration.billing.test_cycles import _statements as statements_of

State, Reason = dispute_pb2.Dispute.State, dispute_pb2.Dispute.Reason


class _Call:
    """What a servicer asks of its call."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def time_remaining(self) -> float | None:
        return None

    async def send_initial_metadata(self, metadata: Any) -> None:
        del metadata


async def _deliver(row: Row) -> None:
    raise AssertionError(f"disputes project nothing: {row}")


@pytest.fixture
def parts(billing: BillingMesh, tmp_path: Path) -> DisputeParts:
    """Disputes on the same ledger; the caller is of the bank's staff."""
    set_identity(Identity(principal="staff", roles=frozenset({"admin"})), "test")
    outbox = Outbox(billing.pool, _deliver)
    return dispute_parts(
        billing.pool,
        billing.channel,
        Mutations(billing.store, outbox, billing.clock, projection_wait_s=5),
        people=person_keys(FileSecrets(tmp_path / "secrets"), billing.clock),
        owners=OwnershipStore(billing.pool),
        objects=LocalFolder(tmp_path / "documents"),
        clock=billing.clock,
        delay_ms=0,
    )


async def _ask(parts: DisputeParts, name: str, request: Any) -> dispute_pb2.Dispute:
    answer = await getattr(parts.service, name)(request, _Call())
    found: dispute_pb2.Dispute = answer.dispute
    return found


async def _open_account(billing: BillingMesh) -> tuple[str, str]:
    """An account, and a card that accounts knows, too."""
    account, card = await billing.open_account()
    await billing.pool.execute(
        "INSERT INTO card (id, account_id, root_card_id, kind, state, last4, expiry_month,"
        " expiry_year, version, create_time, update_time)"
        " VALUES ($1, $2, $1, 'VIRTUAL', 'ACTIVE', '0000', 1, 2030, 1, now(), now())",
        card,
        account,
    )
    # Nobody delivers here what is for the authorizer, which has it already.
    await billing.pool.execute("DELETE FROM outbox")
    return account, card


async def _disputed(billing: BillingMesh, parts: DisputeParts, account: str) -> str:
    """The account's only purchase, disputed."""
    await billing.work()
    entries = await billing.pool.fetch(
        "SELECT authorization_id FROM billing_entry WHERE account_id = $1 AND type = 'CAPTURE'",
        account,
    )
    request = pb.DisputeAuthorizationRequest(
        request_id=billing.request_id(),
        authorization_id=entries[-1]["authorization_id"],
        reason=Reason.REASON_NOT_RECEIVED,
    )
    return (await _ask(parts, "DisputeAuthorization", request)).id


async def _ended(billing: BillingMesh, parts: DisputeParts, name: str, **shares: int) -> None:
    advance = pb.AdvanceDisputeRequest(
        request_id=billing.request_id(), dispute_id=name, state=State.STATE_INVESTIGATING
    )
    await _ask(parts, "AdvanceDispute", advance)
    resolve = pb.ResolveDisputeRequest(
        request_id=billing.request_id(), dispute_id=name, liability=liability(**shares)
    )
    await _ask(parts, "ResolveDispute", resolve)


async def _lines(billing: BillingMesh, code: str) -> int:
    """Balance of a ledger account."""
    await billing.look()
    found: int = await billing.authz.ledger.fetchval(
        "SELECT coalesce(sum(debit_minor - credit_minor), 0)::bigint FROM ledger_total"
        " WHERE ledger_account = $1",
        code,
    )
    return found


async def test_a_charge_that_was_billed_is_disputed_and_won(
    billing: BillingMesh, parts: DisputeParts
) -> None:
    """Billed on 15 February, disputed on the 20th: nothing is asked for any more, nobody is late,
    no interest; credited on 1 March, won on the 20th: nothing was ever owed.
    """
    await billing.programme(credit_terms())
    account, card = await _open_account(billing)
    await billing.until("2027-02-01")
    await billing.buy(card, 100_000)
    await billing.until("2027-02-20")
    name = await _disputed(billing, parts, account)
    grant = pb.GrantProvisionalCreditRequest(request_id="grant", dispute_id=name)
    await billing.until("2027-03-01")
    await _ask(parts, "GrantProvisionalCredit", grant)
    await billing.work()
    assert await billing.posted_minor(account) == 0
    assert await _lines(billing, "provisional_credit") == 100_000
    await billing.until("2027-03-20")
    first, second = await statements_of(billing, account)
    assert first.minimum_payment.amount_minor == 3_500
    assert (second.closing_balance.amount_minor, second.totals.fees.amount_minor) == (0, 0)
    await _ended(billing, parts, name, merchant=90_000, issuer=10_000)
    await billing.until("2027-05-20")
    assert await billing.posted_minor(account) == 0
    assert await _lines(billing, "provisional_credit") == 0
    assert await _lines(billing, "dispute") == 90_000
    assert await _lines(billing, "write_off") == 10_000
    found = await Billing(billing.pool).account(account)
    assert found is not None
    assert (found.disputes, found.bucket) == ((), "CURRENT")


async def test_a_disputed_amount_is_named_and_not_asked_for_until_it_is_lost(
    billing: BillingMesh, parts: DisputeParts
) -> None:
    await billing.programme(credit_terms())
    account, card = await _open_account(billing)
    await billing.until("2027-02-01")
    await billing.buy(card, 100_000)
    name = await _disputed(billing, parts, account)
    await billing.until("2027-02-16")
    (first,) = await statements_of(billing, account)
    assert first.closing_balance.amount_minor == 100_000
    assert first.disputed.amount_minor == 100_000
    assert first.minimum_payment.amount_minor == 0
    await billing.until("2027-03-20")
    _, second = await statements_of(billing, account)
    assert second.closing_balance.amount_minor == 100_000
    assert (second.totals.interest.amount_minor, second.totals.fees.amount_minor) == (0, 0)
    await _ended(billing, parts, name, cardholder=100_000)
    await billing.until("2027-04-16")
    *_, third = await statements_of(billing, account)
    assert third.disputed.amount_minor == 0
    assert third.closing_balance.amount_minor == 100_000
    assert third.minimum_payment.amount_minor == 3_500


async def test_what_was_won_gives_back_what_it_has_cost(
    billing: BillingMesh, parts: DisputeParts
) -> None:
    """A foreign purchase is billed on 15 February with a fee of 30.00, of which staff gives 10.00
    back; nobody pays: late fees and interest. Won on 20 March: in the end nothing was ever owed,
    each fee is given back once.
    """
    await billing.programme(credit_terms(fees=terms_pb2.Fees(foreign_percent="3")))
    account, card = await _open_account(billing)
    await billing.until("2027-02-01")
    held = await approved(billing.authz, card, 100_000)
    clearing = capture_of(held, 100_000, final=True)
    clearing.merchant_amount.CopyFrom(Money(currency_code="EUR", amount_minor=90_000))
    await billing.authz.authorization.CaptureAuthorization(clearing, metadata=NETWORK)
    await billing.until("2027-02-20")
    await _waived(billing, account, 1_000)
    await billing.until("2027-03-14")
    name = await _disputed(billing, parts, account)
    await _ask(
        parts,
        "GrantProvisionalCredit",
        pb.GrantProvisionalCreditRequest(request_id="grant", dispute_id=name),
    )
    await billing.until("2027-03-20")
    await _ended(billing, parts, name, merchant=100_000)
    await billing.until("2027-05-20")
    assert await billing.posted_minor(account) == 0
    rows = await billing.pool.fetch(
        "SELECT charge, sum(amount_minor)::bigint AS minor FROM billing_posting"
        " WHERE account_id = $1 GROUP BY 1",
        account,
    )
    found = {row["charge"]: row["minor"] for row in rows}
    assert (found["FOREIGN_FEE"], found["FEE_WAIVER"], found["FEE_CORRECTION"]) == (
        3_000,
        1_000,
        2_000,
    )
    assert found["LATE_FEE"] == found["LATE_FEE_WAIVER"] > 0
    assert found["INTEREST"] == found["INTEREST_CORRECTION"] > 0


async def _waived(billing: BillingMesh, account: str, amount_minor: int) -> None:
    """Staff gives some of the only fee back."""
    command = Waive(
        account_id=account,
        entry_id=await billing.pool.fetchval(
            "SELECT entry_id FROM billing_entry WHERE account_id = $1 AND type = 'FEE'", account
        ),
        kind=Kind.FEE,
        amount_minor=amount_minor,
        currency_code="USD",
        reason="GOODWILL",
        note="asked nicely",
    )
    now_ms = billing.clock.now_ms()
    async with billing.store.transaction(now_ms=now_ms) as transaction:
        waivers = Waivers(transaction.connection)
        found = await waivers.found(command)
        assert found is not None
        assert found.entry is not None
        await waivers.waive(command, found.account, found.entry, principal="tester", now_ms=now_ms)


async def test_whoever_dies_posts_nothing_twice(billing: BillingMesh, parts: DisputeParts) -> None:
    """Dozens of tries to post are ended at any moment, some after the ledger had it: each amount is
    in the ledger once.
    """
    await billing.programme(credit_terms())
    account, card = await _open_account(billing)
    chance = random.Random(7)
    names = list[str]()
    for _ in range(12):
        await billing.buy(card, 1_000)
        names.append(await _disputed(billing, parts, account))
        grant = pb.GrantProvisionalCreditRequest(
            request_id=billing.request_id(), dispute_id=names[-1]
        )
        running = asyncio.create_task(_ask(parts, "GrantProvisionalCredit", grant))
        await asyncio.sleep(chance.random() * 0.03)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await _ask(parts, "GrantProvisionalCredit", grant)
    for name in names:
        resolve = asyncio.create_task(_ended(billing, parts, name, merchant=600, issuer=400))
        await asyncio.sleep(chance.random() * 0.06)
        resolve.cancel()
        await asyncio.gather(resolve, return_exceptions=True)
    billing.clock.advance(LEASE_MS + 1)
    while await parts.poster.work_due():
        pass
    ended = await billing.pool.fetchval("SELECT count(*) FROM dispute WHERE state = 'WON'")
    waiting = await billing.pool.fetchval(
        "SELECT count(*) FROM dispute_posting WHERE entry_id IS NULL"
    )
    assert (await _lines(billing, "provisional_credit"), waiting) == (1_000 * (12 - ended), 0)
    assert await _lines(billing, "dispute") == 600 * ended
    assert await _lines(billing, "write_off") == 400 * ended
    assert await billing.posted_minor(account) == 0
