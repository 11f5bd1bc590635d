"""CardBulkService: cards by the hundred."""

from __future__ import annotations

import asyncio

from accounts import card_import, card_import_store, convert, user_import
from accounts.card_import import Made, Planned
from accounts.mutation import Context, delivered, outcome_unknown
from accounts.numbers import CardNumbers
from accounts.person_keys import PersonKeys
from accounts.projection_store import PROJECTION_PAGE
from accounts.requests import Answer
from accounts.store import Store
from accounts.transaction import Transaction
from holdfast.accounts.v1 import card_bulk_service_pb2 as pb
from holdfast.accounts.v1.card_bulk_service_pb2_grpc import CardBulkServiceServicer
from runtime.audit.log import REPLAYED_REASON
from runtime.clock import Clock
from runtime.errors import Unavailable
from runtime.outbox import Outbox
from runtime.pages import cut
from runtime.paging import page_of
from runtime.request_id import REPLAYED
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations

#: So many rows are checked before others have their turn.
_AT_ONCE = 32
#: How long an import waits until the outbox has room, and how often it looks: a freeze must not
#: wait behind thousands of new cards.
ROOM_WAIT_S, ROOM_LOOK_S = 5.0, 0.01


class CardBulkService(CardBulkServiceServicer):
    """Issues and lists cards by the hundred."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        numbers: CardNumbers,
        people: PersonKeys,
        clock: Clock,
        *,
        projection_wait_s: float,
    ) -> None:
        self._projection_wait_s = projection_wait_s
        self._store = store
        self._outbox = outbox
        self._numbers = numbers
        self._people = people
        self._clock = clock

    async def ImportCards(
        self, request: pb.ImportCardsRequest, context: Context
    ) -> pb.ImportCardsResponse:
        """Issues many cards, and opens their accounts."""
        key = _import_key(request, context)
        plans = await self._planned(request)
        if request.validate_only:
            async with self._store.transaction(now_ms=self._clock.now_ms()) as transaction:
                found = await self._made(request, plans, transaction)
            return pb.ImportCardsResponse(results=found.results)
        await self._wait_for_room()
        async with self._store.transaction(now_ms=self._clock.now_ms()) as transaction:
            stored = await transaction.claim(key)
            if stored is None:
                await card_import_store.lock_imports(transaction.connection)
                found = await self._made(request, plans, transaction)
                answer = pb.ImportCardsResponse(results=found.results)
                outbox_key = f"import:{key.principal}:{key.request_id}"
                await self._write(transaction, found, outbox_key=outbox_key)
                response = answer.SerializeToString()
                await transaction.answer(key, Answer(response=response, outbox_key=outbox_key))
                for targets in user_import.audited(frozenset(found.cards)):
                    await transaction.record(targets=targets)
            else:
                stored.require(key)
                outbox_key = stored.answer.outbox_key
                answer = pb.ImportCardsResponse.FromString(stored.answer.response)
                await transaction.record(reason=REPLAYED_REASON)
        wait_s = self._projection_wait_s
        if not await delivered(
            self._outbox, outbox_key, transaction.appended, context, wait_s=wait_s
        ):
            raise outcome_unknown("the authorizer")
        if stored is not None:
            await context.send_initial_metadata(REPLAYED)
        return answer

    async def ListAllCards(
        self, request: pb.ListAllCardsRequest, context: Context
    ) -> pb.ListAllCardsResponse:
        """Lists all cards, newest first."""
        del context
        check = Violations()
        page = page_of(
            request.page_size, request.page_token, scope="ListAllCards", violations=check
        )
        check.raise_if_any()
        cards, token = cut(page, await self._store.all_cards(page), lambda card: card.id)
        return pb.ListAllCardsResponse(
            cards=[convert.card(card) for card in cards], next_page_token=token
        )

    async def _planned(self, request: pb.ImportCardsRequest) -> list[Planned]:
        """Every row checked by itself; others have their turn meanwhile."""
        plans: list[Planned] = []
        for number, one in enumerate(request.cards):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            plans.append(card_import.planned(one, self._people.id_of))
        return plans

    async def _made(
        self, request: pb.ImportCardsRequest, plans: list[Planned], transaction: Transaction
    ) -> Made:
        known = await card_import_store.known(
            transaction.connection,
            cards={plan.card_id for plan in plans},
            accounts={plan.account_id for plan in plans},
            owners={plan.owner_id for plan in plans},
            programmes={plan.programme_id for plan in plans},
        )
        return card_import.made(request.cards, plans, known, now_ms=self._clock.now_ms())

    async def _write(self, transaction: Transaction, found: Made, *, outbox_key: str) -> None:
        cards = await self._numbers.issue_all(
            list(found.cards.values()), programme_bins=list(found.bins.values())
        )
        await transaction.insert_all(list(found.accounts.values()), cards, outbox_key=outbox_key)

    async def _wait_for_room(self) -> None:
        for _ in range(int(ROOM_WAIT_S / ROOM_LOOK_S)):
            if await self._outbox.pending() < PROJECTION_PAGE:
                return
            await asyncio.sleep(ROOM_LOOK_S)
        raise Unavailable(
            "the authorizer has not taken what was imported before: repeat the same request",
            reason="IMPORT_BUSY",
        )


def _import_key(request: pb.ImportCardsRequest, context: Context) -> RequestKey:
    check = Violations()
    key = key_of(request, context, check)
    if not 1 <= len(request.cards) <= card_import.IMPORT_MAX:
        check.add("cards", f"must be 1 to {card_import.IMPORT_MAX} cards")
    check.raise_if_any()
    return key
