"""What is stored under a request id, whatever was changed."""

from __future__ import annotations

from google.protobuf.message import Message

from accounts import convert, convert_rules
from accounts.account import Account
from accounts.account_user import AccountUser
from accounts.card import Card
from accounts.requests import Answer
from accounts.rules import Rules


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
