"""CardService: convert, load, decide, commit, convert."""

from __future__ import annotations

from accounts import convert, convert_controls
from accounts.account import require_open
from accounts.account_user import require_user
from accounts.card import Card, Transition, issue_card, move, set_controls, with_number
from accounts.mutation import Context, Mutations
from accounts.store import Store, Transaction
from accounts.vault.vault import Vault
from holdfast.accounts.v1 import card_pb2
from holdfast.accounts.v1 import card_service_pb2 as pb
from holdfast.accounts.v1.card_service_pb2_grpc import CardServiceServicer
from runtime import ids
from runtime.clock import Clock
from runtime.paging import Position


class CardService(CardServiceServicer):
    """Issues and manages cards. The vault makes their numbers, from `bin_digits`."""

    def __init__(
        self,
        store: Store,
        mutations: Mutations,
        new_ids: ids.IdSource,
        clock: Clock,
        vault: Vault,
        *,
        bin_digits: str,
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._ids = new_ids
        self._clock = clock
        self._vault = vault
        self._bin_digits = bin_digits

    async def IssueCard(
        self, request: pb.IssueCardRequest, context: Context
    ) -> pb.IssueCardResponse:
        """Issues a card on an open account."""
        key, command = convert.issue_card(request, context)
        card = issue_card(
            command,
            card_id=self._ids.new(ids.CARD, ids.partition_of(command.account_id)),
            now_ms=self._clock.now_ms(),
        )

        async def effect(transaction: Transaction) -> Card:
            account = await transaction.steady_account(command.account_id)
            if account is None:
                raise convert.account_not_found(command.account_id)
            if refusal := require_open(account):
                raise convert.refusal(refusal)
            if card.user_id:
                user = await transaction.steady_account_user(account.id, card.user_id)
                if unknown := require_user(user, owner_id=account.owner_id):
                    raise convert.refusal(unknown)
            number = await self._vault.issue(
                card.id,
                bin_digits=self._bin_digits,
                expiry_month=card.expiry_month,
                expiry_year=card.expiry_year,
            )
            numbered = with_number(card, bin_digits=number.bin, last4=number.last4)
            await transaction.insert_card(numbered)
            return numbered

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
        return pb.FreezeCardResponse(card=await self._move(request, Transition.FREEZE, context))

    async def UnfreezeCard(
        self, request: pb.UnfreezeCardRequest, context: Context
    ) -> pb.UnfreezeCardResponse:
        """Makes a frozen card usable again."""
        return pb.UnfreezeCardResponse(card=await self._move(request, Transition.UNFREEZE, context))

    async def CloseCard(
        self, request: pb.CloseCardRequest, context: Context
    ) -> pb.CloseCardResponse:
        """Closes a card for good."""
        return pb.CloseCardResponse(card=await self._move(request, Transition.CLOSE, context))

    async def SetCardControls(
        self, request: pb.SetCardControlsRequest, context: Context
    ) -> pb.SetCardControlsResponse:
        """Replaces the card's spend controls."""
        key, card_id = convert_controls.set_card_controls(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Card:
            found = await transaction.card_of_steady_account(card_id)
            if found is None:
                raise convert.card_not_found(card_id)
            card, account = found
            convert_controls.check_currency(request.controls, account.currency_code)
            controls = convert_controls.counting(
                request.controls, before=card.controls, now_ms=now_ms
            )
            changed = set_controls(card, controls, now_ms=now_ms)
            if changed is not card:
                await transaction.update_card(changed)
            return changed

        answer = await self._mutations.run(key, effect, context)
        return pb.SetCardControlsResponse(card=card_pb2.Card.FromString(answer))

    async def _move(
        self, request: convert.CardTransitionRequest, transition: Transition, context: Context
    ) -> card_pb2.Card:
        """The same five steps for every transition."""
        key, card_id = convert.card_transition(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Card:
            card = await transaction.card(card_id)
            if card is None:
                raise convert.card_not_found(card_id)
            moved = move(card, transition, now_ms=now_ms)
            if not isinstance(moved, Card):
                raise convert.refusal(moved)
            if moved is not card:
                await transaction.update_card(moved)
            return moved

        return card_pb2.Card.FromString(await self._mutations.run(key, effect, context))
