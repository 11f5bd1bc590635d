"""CardService: convert, load, decide, commit, convert."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from accounts import card_flow, convert, convert_card, convert_controls, convert_lifecycle, freezing
from accounts.account import Account
from accounts.card import Card, CardKind, Transition, move, set_controls
from accounts.card_life import clear_suspicion, update, update_shipping
from accounts.machine import IllegalTransition
from accounts.mutation import Context, Mutations
from accounts.numbers import CardNumbers
from accounts.store import Store
from accounts.transaction import Transaction
from accounts.user_store import check_person
from holdfast.accounts.v1 import card_lifecycle_pb2 as life
from holdfast.accounts.v1 import card_pb2
from holdfast.accounts.v1 import card_service_pb2 as pb
from holdfast.accounts.v1.card_service_pb2_grpc import CardServiceServicer
from runtime import ids
from runtime.clock import Clock
from runtime.paging import Position
from runtime.request_records import RequestKey

#: From a locked card and its account, which stands still, to the next version. It writes by itself.
Change: TypeAlias = Callable[[Transaction, tuple[Card, Account]], Awaitable[Card]]
#: The same of a card alone, decided purely.
Decide: TypeAlias = Callable[[Card], Card | IllegalTransition | convert_card.CardRefusal]


class CardService(CardServiceServicer):
    """Issues and manages cards; the vault gives them their numbers."""

    def __init__(
        self,
        store: Store,
        mutations: Mutations,
        new_ids: ids.IdSource,
        clock: Clock,
        *,
        numbers: CardNumbers,
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._ids = new_ids
        self._clock = clock
        self._numbers = numbers

    async def IssueCard(
        self, request: pb.IssueCardRequest, context: Context
    ) -> pb.IssueCardResponse:
        """Issues a card on an open account."""
        key, command = convert.issue_card(request, context)
        card_id = self._ids.new(ids.CARD, ids.partition_of(command.account_id))
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Card:
            return await card_flow.issue(
                transaction,
                self._numbers,
                command,
                request.controls,
                card_id=card_id,
                now_ms=now_ms,
            )

        answer = await self._mutations.run(key, effect, context)
        return pb.IssueCardResponse(card=card_pb2.Card.FromString(answer))

    async def GetCard(self, request: pb.GetCardRequest, context: Context) -> pb.GetCardResponse:
        """Returns one card."""
        del context
        card_id = convert.card_id(request)
        card = await self._store.card(card_id)
        if card is None:
            raise convert.card_not_found(card_id)
        return pb.GetCardResponse(card=convert.card(card))

    async def ListCards(
        self, request: pb.ListCardsRequest, context: Context
    ) -> pb.ListCardsResponse:
        """Lists the cards of an account, newest first."""
        del context
        page = convert.cards_page(request)
        found = await self._store.cards(page, account_id=request.account_id)
        if not found and await self._store.account(request.account_id) is None:
            raise convert.account_not_found(request.account_id)
        cards, more = page.cut(found)
        last = Position(cards[-1].create_time_ms, cards[-1].id) if more else None
        return pb.ListCardsResponse(
            cards=[convert.card(card) for card in cards],
            next_page_token=page.token_after(last) if last else "",
        )

    async def FreezeCard(
        self, request: pb.FreezeCardRequest, context: Context
    ) -> pb.FreezeCardResponse:
        """Blocks an active card."""
        key, card_id = convert.card_transition(request, context)
        step = partial(freezing.freeze, now_ms=self._clock.now_ms())
        return pb.FreezeCardResponse(card=await self._change(key, card_id, step, context))

    async def UnfreezeCard(
        self, request: pb.UnfreezeCardRequest, context: Context
    ) -> pb.UnfreezeCardResponse:
        """Makes a frozen card usable again."""
        key, card_id = convert.card_transition(request, context)
        step = partial(freezing.unfreeze, now_ms=self._clock.now_ms())
        return pb.UnfreezeCardResponse(card=await self._change(key, card_id, step, context))

    async def CloseCard(
        self, request: pb.CloseCardRequest, context: Context
    ) -> pb.CloseCardResponse:
        """Closes a card for good."""
        return pb.CloseCardResponse(card=await self._move(request, Transition.CLOSE, context))

    async def ReportCardLost(
        self, request: life.ReportCardLostRequest, context: Context
    ) -> life.ReportCardLostResponse:
        """Closes a lost card."""
        return life.ReportCardLostResponse(
            card=await self._move(request, Transition.REPORT_LOST, context)
        )

    async def ReportCardStolen(
        self, request: life.ReportCardStolenRequest, context: Context
    ) -> life.ReportCardStolenResponse:
        """Closes a stolen card."""
        return life.ReportCardStolenResponse(
            card=await self._move(request, Transition.REPORT_STOLEN, context)
        )

    async def ActivateCard(
        self, request: life.ActivateCardRequest, context: Context
    ) -> life.ActivateCardResponse:
        """Activates plastic that its holder has."""
        key, details = convert_card.activate_card(request, context)
        now_ms = self._clock.now_ms()
        if details is not None:
            # Committed by itself: a wrong guess counts, though it changes nothing.
            async with self._store.transaction(now_ms=now_ms) as transaction:
                may = await card_flow.may_activate(
                    transaction, request.card_id, details, now_ms=now_ms
                )
            if not may:
                raise convert_card.activation_locked()

        async def change(transaction: Transaction, found: tuple[Card, Account]) -> Card:
            return await card_flow.activated(transaction, found[0], details, now_ms=now_ms)

        card = await self._change(key, request.card_id, change, context)
        return life.ActivateCardResponse(card=card)

    async def ReplaceCard(
        self, request: life.ReplaceCardRequest, context: Context
    ) -> life.ReplaceCardResponse:
        """Issues a card with a new number in place of another one."""
        key, reason = convert_card.replace_card(request, context)
        card_id = self._ids.new(ids.CARD, ids.partition_of(request.card_id))
        now_ms = self._clock.now_ms()

        async def change(transaction: Transaction, found: tuple[Card, Account]) -> Card:
            return await card_flow.replaced(
                transaction, self._numbers, found, reason, card_id=card_id, now_ms=now_ms
            )

        card = await self._change(key, request.card_id, change, context)
        return life.ReplaceCardResponse(card=card)

    async def ReissueCard(
        self, request: life.ReissueCardRequest, context: Context
    ) -> life.ReissueCardResponse:
        """Makes a card anew with the same number."""
        return life.ReissueCardResponse(card=await self._make_anew(request, context))

    async def RenewCard(
        self, request: life.RenewCardRequest, context: Context
    ) -> life.RenewCardResponse:
        """Renews a card that expires soon."""
        return life.RenewCardResponse(card=await self._make_anew(request, context))

    async def UpdateCard(
        self, request: life.UpdateCardRequest, context: Context
    ) -> life.UpdateCardResponse:
        """Changes a card's nickname or user."""
        key, command = convert_card.update_card(request, context)
        now_ms = self._clock.now_ms()

        async def change(transaction: Transaction, found: tuple[Card, Account]) -> Card:
            card, account = found
            changed = update(
                card, nickname=command.nickname, user_id=command.user_id, now_ms=now_ms
            )
            if not isinstance(changed, Card):
                raise convert_card.refusal(changed)
            if changed.user_id != card.user_id:
                await card_flow.check_user(transaction, account, changed.user_id)
                await check_person(transaction.connection, changed.user_id or account.owner_id)
            if changed is not card:
                await transaction.update_card(changed)
            return changed

        card = await self._change(key, command.card_id, change, context)
        return life.UpdateCardResponse(card=card)

    async def UpdateCardShipping(
        self, request: life.UpdateCardShippingRequest, context: Context
    ) -> life.UpdateCardShippingResponse:
        """Says where plastic is."""
        key, command = convert_card.update_shipping(request, context)
        now_ms = self._clock.now_ms()
        card = await self._decide(
            key,
            request.card_id,
            lambda card: update_shipping(card, command, now_ms=now_ms),
            context,
        )
        return life.UpdateCardShippingResponse(card=card)

    async def ClearCardSuspicion(
        self, request: life.ClearCardSuspicionRequest, context: Context
    ) -> life.ClearCardSuspicionResponse:
        """Forgets what checks against fraud suspect of a card."""
        key, card_id = convert.card_transition(request, context)
        now_ms = self._clock.now_ms()
        card = await self._decide(
            key, card_id, lambda card: clear_suspicion(card, now_ms=now_ms), context
        )
        return life.ClearCardSuspicionResponse(card=card)

    async def SetCardControls(
        self, request: pb.SetCardControlsRequest, context: Context
    ) -> pb.SetCardControlsResponse:
        """Replaces the card's spend controls."""
        key, card_id = convert_controls.set_card_controls(request, context)
        now_ms = self._clock.now_ms()

        async def change(transaction: Transaction, found: tuple[Card, Account]) -> Card:
            card, account = found
            convert_controls.check_currency(request.controls, account.currency_code)
            if card.kind is CardKind.MERCHANT_LOCKED:
                convert_card.check_merchant_lock(request.controls)
            controls = convert_controls.counting(
                request.controls, before=card.controls, now_ms=now_ms
            )
            changed = set_controls(card, controls, now_ms=now_ms)
            if changed is not card:
                await transaction.update_card(changed)
            return changed

        card = await self._change(key, card_id, change, context)
        return pb.SetCardControlsResponse(card=card)

    async def ListCardChanges(
        self, request: life.ListCardChangesRequest, context: Context
    ) -> life.ListCardChangesResponse:
        """Lists every change of a card and of its line, newest first."""
        del context
        page = convert_card.changes_page(request)
        card = await self._store.card(request.card_id)
        if card is None:
            raise convert.card_not_found(request.card_id)
        found = await self._store.changes(page, line_id=card.root_card_id)
        changes, token = convert_lifecycle.changes_page(page, found)
        return life.ListCardChangesResponse(changes=changes, next_page_token=token)

    async def _move(
        self, request: convert.CardTransitionRequest, transition: Transition, context: Context
    ) -> card_pb2.Card:
        """The same five steps for every transition."""
        key, card_id = convert.card_transition(request, context)
        now_ms = self._clock.now_ms()
        return await self._decide(
            key, card_id, lambda card: move(card, transition, now_ms=now_ms), context
        )

    async def _make_anew(
        self, request: life.ReissueCardRequest | life.RenewCardRequest, context: Context
    ) -> card_pb2.Card:
        key, card_id = convert.card_transition(request, context)
        renewal = isinstance(request, life.RenewCardRequest)
        now_ms = self._clock.now_ms()

        async def change(transaction: Transaction, found: tuple[Card, Account]) -> Card:
            return await card_flow.made_anew(
                transaction, self._numbers, found, renewal=renewal, now_ms=now_ms
            )

        return await self._change(key, card_id, change, context)

    async def _decide(
        self, key: RequestKey, card_id: str, decide: Decide, context: Context
    ) -> card_pb2.Card:
        """A change that depends on the card alone, whatever becomes of its account."""

        async def effect(transaction: Transaction) -> Card:
            card = await transaction.card(card_id)
            if card is None:
                raise convert.card_not_found(card_id)
            return await card_flow.changed_to(transaction, card, decide(card))

        return card_pb2.Card.FromString(await self._mutations.run(key, effect, context))

    async def _change(
        self, key: RequestKey, card_id: str, change: Change, context: Context
    ) -> card_pb2.Card:
        """A change that depends on the card's account, too."""

        async def effect(transaction: Transaction) -> Card:
            found = await transaction.card_of_steady_account(card_id)
            if found is None:
                raise convert.card_not_found(card_id)
            return await change(transaction, found)

        return card_pb2.Card.FromString(await self._mutations.run(key, effect, context))
