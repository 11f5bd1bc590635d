"""Tells the authorizer what was decided here: accounts and cards, each with its version."""

from __future__ import annotations

import grpc

from accounts.account import Account
from accounts.card import Card, CardKind
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1.projection_service_pb2_grpc import ProjectionServiceStub
from holdfast.type.v1.money_pb2 import Money
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from runtime.outbox import DELIVERY_TIMEOUT_S, DeliveryFailed, Message, Row

ACCOUNT_TOPIC = "account"
CARD_TOPIC = "card"


def account_message(account: Account) -> Message:
    """The outbox message of an account's version."""
    request = projection.ApplyAccountRequest(
        version=account.version,
        account_id=account.id,
        owner_id=account.owner_id,
        programme_id=account.programme_id,
        state=projection.AccountState.Value(f"ACCOUNT_STATE_{account.state}"),
        credit_limit=Money(
            currency_code=account.currency_code, amount_minor=account.credit_limit_minor
        ),
        parent_account_id=account.parent_account_id or "",
        controls=SpendControls.FromString(account.controls) if account.controls else None,
    )
    return Message(topic=ACCOUNT_TOPIC, key=account.id, payload=request.SerializeToString())


def card_message(card: Card) -> Message:
    """The outbox message of a card's version; ordered behind its account's."""
    request = projection.ApplyCardRequest(
        version=card.version,
        card_id=card.id,
        account_id=card.account_id,
        root_card_id=card.root_card_id,
        state=projection.CardState.Value(f"CARD_STATE_{card.state}"),
        single_use=card.kind is CardKind.SINGLE_USE,
        expiry_month=card.expiry_month,
        expiry_year=card.expiry_year,
        controls=SpendControls.FromString(card.controls) if card.controls else None,
    )
    return Message(topic=CARD_TOPIC, key=card.account_id, payload=request.SerializeToString())


class Projector:
    """Delivers outbox rows to `holdfast.authz.v1.ProjectionService`. Safe to repeat: versions."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ProjectionServiceStub(channel)

    async def deliver(self, row: Row) -> None:
        """Applies one row; raises DeliveryFailed unless the authorizer has at least its version."""
        try:
            asked, applied = await self._apply(row)
        except grpc.aio.AioRpcError as error:
            raise DeliveryFailed(f"{error.code().name}: {error.details()}") from None
        if applied < asked:
            raise DeliveryFailed(f"version {asked} was answered with version {applied}")

    async def _apply(self, row: Row) -> tuple[int, int]:
        """Returns the version asked for and the one that the authorizer has now."""
        if row.topic == ACCOUNT_TOPIC:
            account = projection.ApplyAccountRequest.FromString(row.payload)
            account_answer = await self._stub.ApplyAccount(account, timeout=DELIVERY_TIMEOUT_S)
            return account.version, account_answer.version
        assert row.topic == CARD_TOPIC, f"unknown topic {row.topic}"
        card = projection.ApplyCardRequest.FromString(row.payload)
        card_answer = await self._stub.ApplyCard(card, timeout=DELIVERY_TIMEOUT_S)
        return card.version, card_answer.version
