"""What a change changed, by the contract's names of the fields."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from google.protobuf.json_format import MessageToJson

from accounts.account import Account
from accounts.account_user import AccountUser
from accounts.card import Card
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from runtime.clock import datetime_of

Recorded: TypeAlias = Account | Card | AccountUser

#: What every change changes, or what never changes.
_LEFT_OUT = frozenset({"id", "account_id", "version", "create_time_ms", "update_time_ms"})
#: Of an account's user, who is named beside its fields.
_LEFT_OUT_OF_USERS = _LEFT_OUT | {"user_id"}
#: Fields that the contract calls otherwise.
_NAMES = {
    "credit_limit_minor": "credit_limit.amount_minor",
    "currency_code": "credit_limit.currency_code",
}


#: The fields of which changes are told.
_NAMES_OF: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind) if field.name not in left_out)
    for kind, left_out in (
        (Account, _LEFT_OUT),
        (Card, _LEFT_OUT),
        (AccountUser, _LEFT_OUT_OF_USERS),
    )
}


class FieldChange(NamedTuple):
    """One field before and after, as text; '' if there was, or is, nothing."""

    field: str
    before: str
    after: str


def changes_of(before: Recorded | None, after: Recorded) -> list[FieldChange]:
    """The fields that differ; of something new, those that are set."""
    pairs = [
        (name, _text(name, getattr(before, name, None)), _text(name, getattr(after, name)))
        for name in _NAMES_OF[type(after)]
    ]
    return [FieldChange(_name(name), one, other) for name, one, other in pairs if one != other]


def line_of(value: Recorded) -> str:
    """Whose history it belongs to: an account's, or that of a card's line of replacements."""
    return value.root_card_id if isinstance(value, Card) else account_of(value)


def subject_of(value: Recorded) -> str:
    """What changed."""
    return value.id if isinstance(value, Account | Card) else value.account_id


def user_of(value: Recorded) -> str:
    """The user of the account that it is about; '' if it is about more."""
    return value.user_id if isinstance(value, AccountUser) else ""


def account_of(value: Recorded) -> str:
    """The account that it belongs to."""
    return value.id if isinstance(value, Account) else value.account_id


def _name(field: str) -> str:
    return _NAMES.get(field, field.removesuffix("_ms"))


def _text(field: str, value: object) -> str:
    match value:
        case None | b"" | 0:
            return "false" if value is False else ""
        case bytes():
            return MessageToJson(
                SpendControls.FromString(value), preserving_proto_field_name=True, indent=None
            )
        case bool():
            return "true"
        case int() if field.endswith("_time_ms"):
            return datetime_of(value).isoformat()
        case StrEnum():
            return value.value
    return str(value)
