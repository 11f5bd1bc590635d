"""kill -9 of accounts amid disputes: what they come to is in the ledger once.

Goal: whatever was granted is credited once, whatever was not won is taken back once, merchant and
issuer bear what was won, once; each step is told once; the books reconcile. Method: a whole mesh;
cleared purchases are disputed, credited, and won, lost, won in part or withdrawn, all at once
through Envoy, repeating each request until it is answered, while accounts is killed again and
again. Then the ledger's entries of every dispute are compared with what it should have come to.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from authz.outcome import EntryType
from holdfast.accounts.v1 import account_service_pb2 as accounts
from holdfast.accounts.v1 import card_pb2, dispute_pb2, programme_pb2
from holdfast.accounts.v1 import card_service_pb2 as cards
from holdfast.accounts.v1 import dispute_service_pb2 as pb
from holdfast.accounts.v1 import programme_service_pb2 as programmes
from holdfast.authz.v1 import authorization_service_pb2 as authz
from runtime.cli.reconcile import reconcile
from runtime.clock import SystemClock, datetime_of
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.accounts_disputing import liability
from tests.authz_mesh import capture_of, purchase
from tests.billing_mesh import PROGRAMME, credit_terms, usd
from tests.crash.test_kill_approvals import answered, client, stack
from tests.databases import connected

__all__ = ["client", "stack"]

DISPUTES = int(os.environ.get("DISPUTES", "60"))
ACCOUNTS, AT_ONCE, AMOUNT = 6, 32, 1_000
PATIENCE_S = 60.0
State = dispute_pb2.Dispute.State
_WON_IN_PART = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a dispute ends, and what the ledger has of it then, by type of entry."""

    request: Callable[[str], Any]
    state: dispute_pb2.Dispute.State.ValueType
    posted: dict[str, int]
    told: str


def _resolve(**shares: int) -> Callable[[str], Any]:
    return lambda name: pb.ResolveDisputeRequest(dispute_id=name, liability=liability(**shares))


ENDINGS = (
    Ending(
        request=_resolve(merchant=900, issuer=100),
        state=State.STATE_WON,
        posted={"PROVISIONAL_CREDIT": AMOUNT, "DISPUTE_CLAIM": 900, "DISPUTE_LOSS": 100},
        told="dispute.won",
    ),
    Ending(
        request=_resolve(cardholder=AMOUNT),
        state=State.STATE_LOST,
        posted={"PROVISIONAL_CREDIT": AMOUNT, "PROVISIONAL_CREDIT_REVERSAL": AMOUNT},
        told="dispute.lost",
    ),
    Ending(
        request=_resolve(merchant=_WON_IN_PART, cardholder=AMOUNT - _WON_IN_PART),
        state=State.STATE_PARTIALLY_WON,
        posted={
            "PROVISIONAL_CREDIT": AMOUNT,
            "PROVISIONAL_CREDIT_REVERSAL": AMOUNT - _WON_IN_PART,
            "DISPUTE_CLAIM": _WON_IN_PART,
        },
        told="dispute.partially_won",
    ),
    Ending(
        request=lambda name: pb.WithdrawDisputeRequest(dispute_id=name),
        state=State.STATE_WITHDRAWN,
        posted={"PROVISIONAL_CREDIT": AMOUNT, "PROVISIONAL_CREDIT_REVERSAL": AMOUNT},
        told="dispute.withdrawn",
    ),
)


class Disputers:
    """Those who dispute, and repeat what was not answered."""

    def __init__(self, client: MeshClient) -> None:
        self.client = client
        self.repeated = 0
        self._room = asyncio.Semaphore(AT_ONCE)

    async def ask(self, method: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
        """One request, until it is answered."""
        found, repeated = await answered(lambda: method(request), self._room)
        self.repeated += repeated
        return found

    async def purchases(self) -> list[str]:
        """Cleared purchases on a few accounts that are billed."""
        await self._offer()
        card_ids = await asyncio.gather(*map(self._card, range(ACCOUNTS)))
        return await asyncio.gather(
            *(self._buy(card_ids[number % ACCOUNTS], number) for number in range(DISPUTES))
        )

    async def dispute(self, purchase_id: str, number: int) -> dispute_pb2.Dispute:
        """A dispute from its receipt to its end."""
        stub, ending = self.client.disputes, ENDINGS[number % len(ENDINGS)]
        disputing = pb.DisputeAuthorizationRequest(
            request_id=f"open-{number}",
            authorization_id=purchase_id,
            reason=dispute_pb2.Dispute.REASON_NOT_RECEIVED,
        )
        name = (await self.ask(stub.DisputeAuthorization, disputing)).dispute.id
        for step, method, request in (
            (
                "look",
                stub.AdvanceDispute,
                pb.AdvanceDisputeRequest(state=State.STATE_INVESTIGATING),
            ),
            ("grant", stub.GrantProvisionalCredit, pb.GrantProvisionalCreditRequest()),
        ):
            asked: Any = request
            asked.request_id, asked.dispute_id = f"{step}-{number}", name
            await self.ask(method, asked)
        last = ending.request(name)
        last.request_id = f"end-{number}"
        withdraws = isinstance(last, pb.WithdrawDisputeRequest)
        answer = await self.ask(stub.WithdrawDispute if withdraws else stub.ResolveDispute, last)
        found: dispute_pb2.Dispute = answer.dispute
        assert found.state == ending.state
        return found

    async def _offer(self) -> None:
        today = str(datetime_of(SystemClock().now_ms()).date())
        terms = credit_terms(effective_date=today)
        terms.cycle.time_zone = "UTC"
        await self.client.programmes.CreateProgramme(
            programmes.CreateProgrammeRequest(
                request_id="programme",
                programme_id=PROGRAMME,
                display_name="Credit",
                kind=programme_pb2.Programme.KIND_CONSUMER,
                network=programme_pb2.Programme.NETWORK_VISA,
                currency_code="USD",
                bin="400000",
                underwriting=programme_pb2.Underwriting(
                    credit_limit_min=usd(50_000), credit_limit_max=usd(1_000_000)
                ),
                first_card_kind=card_pb2.Card.KIND_VIRTUAL,
            )
        )
        await self.client.programmes.AddProgrammeTerms(
            programmes.AddProgrammeTermsRequest(
                request_id="terms", programme_id=PROGRAMME, terms=terms
            )
        )

    async def _card(self, number: int) -> str:
        account = await self.client.accounts.OpenAccount(
            accounts.OpenAccountRequest(
                request_id=f"account-{number}",
                owner_id=f"usr_{number * 7:02x}{number:032x}",
                programme_id=PROGRAMME,
                credit_limit=usd(1_000_000),
            )
        )
        card = await self.client.cards.IssueCard(
            cards.IssueCardRequest(
                request_id=f"card-{number}",
                account_id=account.account.id,
                kind=card_pb2.Card.KIND_VIRTUAL,
            )
        )
        found: str = card.card.id
        return found

    async def _buy(self, card_id: str, number: int) -> str:
        network = self.client.network
        held = await self.ask(network.Authorize, purchase(card_id, AMOUNT, f"buy-{number}"))
        clearing = capture_of(held.authorization_id, AMOUNT, f"clear-{number}", final=True)
        await self.ask(network.CaptureAuthorization, clearing)
        found: str = held.authorization_id
        return found


async def _until(database: asyncpg.Connection, query: str, expected: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await database.fetchval(query) != expected:  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.1)


@pytest.fixture
async def looking(stack: Devstack) -> AsyncIterator[asyncpg.Connection]:
    """Sees every schema."""
    async with connected(stack.owner_dsn) as connection:
        yield connection


@pytest.mark.timeout(300)
async def test_accounts_killed_amid_disputes(
    stack: Devstack, client: MeshClient, looking: asyncpg.Connection
) -> None:
    disputers = Disputers(client)
    bought = await disputers.purchases()
    await _until(
        looking,
        "SELECT count(*) FROM accounts.billing_entry WHERE type = 'CAPTURE'",
        DISPUTES,
    )
    disputers.repeated = 0
    tasks = [
        asyncio.create_task(disputers.dispute(purchase_id, number))
        for number, purchase_id in enumerate(bought)
    ]
    for pause_s in (0.3, 0.5, 0.4, 0.7):
        await asyncio.sleep(pause_s)
        stack.kill("accounts")
        await stack.wait_ready()
    disputes = await asyncio.gather(*tasks)
    assert disputers.repeated, "the kills must have been felt"
    assert {one.authorization_id for one in disputes} == set(bought), "one dispute of each"
    await _until(looking, "SELECT count(*) FROM accounts.dispute_posting WHERE entry_id IS NULL", 0)
    found = list[str]()
    books = await reconcile(
        stack.settings, settle_timeout_s=30, on_difference=lambda one: found.append(str(one))
    )
    assert (books.differences, found) == (0, [])
    await _check(looking, disputes)
    won_minor = sum(one.liability.merchant.amount_minor for one in disputes)
    won_minor += sum(one.liability.issuer.amount_minor for one in disputes)
    owed_minor = 0
    for account_id in {one.account_id for one in disputes}:
        balance = authz.GetBalanceRequest(account_id=account_id)
        owed_minor += (await client.authorizations.GetBalance(balance)).posted.amount_minor
    assert owed_minor == DISPUTES * AMOUNT - won_minor


async def _check(database: asyncpg.Connection, disputes: list[dispute_pb2.Dispute]) -> None:
    """Every dispute has in the ledger, and has told, exactly what it came to."""
    posted = defaultdict[str, dict[str, int]](dict)
    rows = await database.fetch(
        "SELECT split_part(request_id, ':', 1) AS name, type, count(*) AS times,"
        " sum(amount_minor)::bigint AS minor, min(related_entry_id) AS charge"
        " FROM authz.journal_entry WHERE request_id LIKE 'disp\\_%' GROUP BY 1, 2"
    )
    charges = {one.id: one.entry_id for one in disputes}
    for row in rows:
        assert (row["times"], row["charge"]) == (1, charges[row["name"]]), dict(row)
        posted[row["name"]][EntryType(row["type"]).name] = row["minor"]
    told = defaultdict[str, Counter[str]](Counter)
    for row in await database.fetch(
        "SELECT type, data ->> 'dispute_id' AS name FROM accounts.event WHERE type LIKE 'dispute.%'"
    ):
        told[row["name"]][row["type"]] += 1
    for one in disputes:
        ending = next(found for found in ENDINGS if found.state == one.state)
        assert posted[one.id] == ending.posted
        names = ["dispute.submitted", "dispute.investigating", "dispute.credit_granted"]
        if "PROVISIONAL_CREDIT_REVERSAL" in ending.posted:
            names.append("dispute.credit_reversed")
        assert told[one.id] == Counter([*names, ending.told])
    totals = await database.fetch(
        "SELECT ledger_account, sum(debit_minor - credit_minor)::bigint AS minor"
        " FROM authz.ledger_total WHERE ledger_account = ANY($1) GROUP BY 1",
        ["provisional_credit", "dispute", "write_off"],
    )
    assert {row["ledger_account"]: row["minor"] for row in totals if row["minor"]} == {
        "dispute": sum(one.liability.merchant.amount_minor for one in disputes),
        "write_off": sum(one.liability.issuer.amount_minor for one in disputes),
    }
