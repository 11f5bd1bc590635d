"""Rows of PostgreSQL to what they stand for, and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.account import Account, AccountState
from accounts.account_user import AccountUser, UserState
from accounts.card import Card, CardKind, CardState, ShippingState
from accounts.history import FieldChange
from accounts.rules import Rules
from accounts.suspension import Cause
from runtime.clock import datetime_of, ms_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of an account, of a user of it, or of a card."""

    id: int
    subject_id: str
    user_id: str
    version: int
    change_time_ms: int
    principal: str
    request_id: str
    method: str
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """One cause for which an account is suspended, and while it lasted."""

    id: int
    cause: Cause
    by_billing: bool
    principal: str
    begin_time_ms: int
    #: None: it lasts.
    end_time_ms: int | None
    end_principal: str


def account(row: Any) -> Account:
    """An account from its row."""
    fields = _with_times(row)
    return Account(**fields | {"state": AccountState(fields["state"])})


def card(row: Any) -> Card:
    """A card from its row."""
    fields = _with_times(row)
    cleared = fields.pop("suspicion_clear_time")
    more = {
        "kind": CardKind(fields["kind"]),
        "state": CardState(fields["state"]),
        "shipping": ShippingState(fields["shipping"]),
        "suspicion_clear_time_ms": ms_of(cleared) if cleared else 0,
    }
    names = ("user_id", "replaces_card_id", "replaced_by_card_id")
    return Card(**fields | more | {name: fields[name] or "" for name in names})


def account_user(row: Any) -> AccountUser:
    """A user of an account from its row."""
    fields = _with_times(row)
    return AccountUser(**fields | {"state": UserState(fields["state"])})


def rules(row: Any) -> Rules:
    """Rules from their row."""
    fields = dict(row)
    update_time_ms = ms_of(fields.pop("update_time"))
    return Rules(update_time_ms=update_time_ms, **fields)


def change(row: Any) -> Change:
    """A change from its row."""
    fields = dict(row)
    fields["change_time_ms"] = ms_of(fields.pop("change_time"))
    found = tuple(FieldChange(*one) for one in json.loads(fields.pop("fields")))
    return Change(**fields, fields=found)


def suspension(row: Any) -> Suspension:
    """A suspension from its row."""
    fields = dict(row)
    begin, end = fields.pop("begin_time"), fields.pop("end_time")
    return Suspension(
        **fields | {"cause": Cause(fields["cause"])},
        begin_time_ms=ms_of(begin),
        end_time_ms=ms_of(end) if end else None,
    )


def _with_times(row: Any) -> dict[str, Any]:
    fields = dict(row)
    fields["create_time_ms"] = ms_of(fields.pop("create_time"))
    fields["update_time_ms"] = ms_of(fields.pop("update_time"))
    return fields


def account_user_of(row: Any, account_id: str, user_id: str) -> AccountUser:
    """The same of a row that may not be there: then nothing was ever set."""
    return account_user(row) if row else AccountUser(account_id=account_id, user_id=user_id)


def account_values(account: Account) -> tuple[Any, ...]:
    """The parameters of `insert_account`."""
    return (
        account.id,
        account.owner_id,
        account.programme_id,
        account.parent_account_id,
        account.state,
        account.currency_code,
        account.credit_limit_minor,
        account.version,
        datetime_of(account.create_time_ms),
        datetime_of(account.update_time_ms),
    )


def card_values(card: Card) -> tuple[Any, ...]:
    """The parameters of `insert_card`."""
    return (
        card.id,
        card.account_id,
        card.root_card_id,
        card.kind,
        card.state,
        card.last4,
        card.expiry_month,
        card.expiry_year,
        card.version,
        datetime_of(card.create_time_ms),
        datetime_of(card.update_time_ms),
        card.user_id or None,
        card.controls,
        card.nickname,
        card.shipping,
        card.replaces_card_id or None,
        time_of(card.suspicion_clear_time_ms),
        card.bin,
        card.holder_suspended,
    )


def time_of(ms: int) -> datetime | None:
    """A time that may not be set."""
    return datetime_of(ms) if ms else None
