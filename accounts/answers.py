"""What is stored under a request id, whatever was changed."""

from __future__ import annotations

from accounts import convert, convert_rules
from accounts.account import Account
from accounts.account_user import AccountUser
from accounts.card import Card
from accounts.rules import Rules
from accounts.store import Answer


def answer(value: Account | Card | AccountUser | Rules | Answer) -> Answer:
    """The message that answers, and the key of the outbox rows that it waits for."""
    match value:
        case Answer():
            return value
        case Account():
            return Answer(response=convert.account(value).SerializeToString(), outbox_key=value.id)
        case Card():
            message = convert.card(value).SerializeToString()
            return Answer(response=message, outbox_key=value.account_id)
        case AccountUser():
            message = convert_rules.account_user(value).SerializeToString()
            return Answer(response=message, outbox_key=value.account_id)
        case Rules():
            message = convert_rules.rules(value).SerializeToString()
            return Answer(response=message, outbox_key=value.scope_id)
