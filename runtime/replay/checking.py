"""Asks the ledger what it has of each card of a replay, once everything is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import ledger_pb2 as pb
from holdfast.authz.v1 import ledger_service_pb2 as ledger_rpc
from runtime.mesh_client import CALL_TIMEOUT_S, MeshClient
from runtime.paging import PAGE_SIZE_MAX
from runtime.replay.tally import CardResult, CardTally, LedgerSums

#: Accounts that are asked for at the same time.
ACCOUNTS_IN_FLIGHT = 8
#: How long the settler may take to catch up.
SETTLE_TIMEOUT_S = 60.0
_PAUSE_S = 0.1


async def check_cards(
    mesh: MeshClient, cards: Iterable[CardTally], *, on_card: Callable[[], None] = lambda: None
) -> list[CardResult]:
    """Every card of the file against the ledger."""
    room = asyncio.Semaphore(ACCOUNTS_IN_FLIGHT)

    async def check(card: CardTally) -> CardResult:
        async with room:
            sums = await read_ledger(mesh, card.account_id) if card.account_id else LedgerSums()
        on_card()
        return CardResult(tally=card, ledger=sums)

    return list(await asyncio.gather(*(check(card) for card in cards)))


async def read_ledger(mesh: MeshClient, account_id: str) -> LedgerSums:
    """The sums of one account. Waits until the ledger has its last entry; TimeoutError if not."""
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        while True:
            balance = await mesh.authorizations.GetBalance(
                rpc.GetBalanceRequest(account_id=account_id), timeout=CALL_TIMEOUT_S
            )
            page = await _page(mesh, account_id)
            if page.entries and page.entries[0].seq >= balance.seq:
                break
            await asyncio.sleep(_PAUSE_S)
    captured_minor = refunded_minor = owed_minor = 0
    while True:
        for entry in page.entries:
            if entry.type == pb.Entry.TYPE_CAPTURE:
                captured_minor += entry.amount.amount_minor
            elif entry.type == pb.Entry.TYPE_REFUND:
                refunded_minor -= entry.amount.amount_minor
            owed_minor += sum(
                line.amount.amount_minor
                for line in entry.lines
                if line.ledger_account.startswith(("receivable.", "customer_credit"))
            )
        if not page.next_page_token:
            break
        page = await _page(mesh, account_id, page.next_page_token)
    return LedgerSums(
        captured_minor=captured_minor,
        refunded_minor=refunded_minor,
        owed_minor=owed_minor,
        posted_minor=balance.posted.amount_minor,
        held_minor=balance.held.amount_minor,
    )


async def _page(
    mesh: MeshClient, account_id: str, token: str = ""
) -> ledger_rpc.ListEntriesResponse:
    return await mesh.ledger.ListEntries(
        ledger_rpc.ListEntriesRequest(
            account_id=account_id, page_size=PAGE_SIZE_MAX, page_token=token
        ),
        timeout=CALL_TIMEOUT_S,
    )
