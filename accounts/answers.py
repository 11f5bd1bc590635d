"""What is stored under a request id, whatever was changed, and what of it goes with a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from google.protobuf.message import Message

from accounts import convert, convert_rules
from accounts.account import Account
from accounts.account_user import AccountUser
from accounts.card import Card
from accounts.requests import Answer
from accounts.rules import Rules
from holdfast.accounts.v1 import billing_service_pb2, card_pb2, card_service_pb2, member_pb2

#: Methods that answer with a card, by their names in the request records.
CARD_METHODS = tuple(
    method.name
    for method in card_service_pb2.DESCRIPTOR.services_by_name["CardService"].methods
    if "card" in method.output_type.fields_by_name
)


def message_of(value: Account | Card | AccountUser | Rules) -> Message:
    """The message that shows a resource."""
    match value:
        case Account():
            return convert.account(value)
        case Card():
            return convert.card(value)
        case AccountUser():
            return convert_rules.account_user(value)
        case Rules():
            return convert_rules.rules(value)


def answer(value: Account | Card | AccountUser | Rules | Answer) -> Answer:
    """The message that answers, and the key of the outbox rows that it waits for."""
    if isinstance(value, Answer):
        return value
    return Answer(response=message_of(value).SerializeToString(), outbox_key=_outbox_key(value))


def _outbox_key(value: Account | Card | AccountUser | Rules) -> str:
    match value:
        case Account():
            return value.id
        case Card() | AccountUser():
            return value.account_id
        case Rules():
            return value.scope_id


def without_words(response: bytes, *, now: Mapping[str, Mapping[str, str]]) -> bytes:
    """The answer of one of `CARD_METHODS` without somebody's words that the card has lost. `now`:
    nickname, carrier and tracking number by card.
    """
    card = card_pb2.Card.FromString(response)
    if (left := now.get(card.id)) is None:
        return response
    if card.nickname != left["nickname"]:
        card.nickname = ""
    if card.HasField("shipping"):
        if card.shipping.carrier != left["carrier"]:
            card.shipping.carrier = ""
        if card.shipping.tracking_number != left["tracking_number"]:
            card.shipping.tracking_number = ""
    return card.SerializeToString()


def without_address(response: bytes, *, invited: Collection[str]) -> bytes:
    """The answer of CreateInvitation without the address, if it is one of these invitations."""
    invitation = member_pb2.Invitation.FromString(response)
    if invitation.id not in invited:
        return response
    invitation.email = ""
    return invitation.SerializeToString()


def without_note(response: bytes) -> bytes:
    """The answer of WaiveFee or WaiveInterest without what staff noted."""
    waiver = billing_service_pb2.Waiver.FromString(response)
    waiver.note = ""
    return waiver.SerializeToString()
