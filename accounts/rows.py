"""Rows of PostgreSQL to what they stand for."""

from __future__ import annotations

from typing import Any

from accounts.account import Account, AccountState
from accounts.card import Card, CardKind, CardState
from accounts.rules import AccountUser, Rules
from runtime.clock import ms_of


def account(row: Any) -> Account:
    """An account from its row."""
    fields = _with_times(row)
    return Account(**fields | {"state": AccountState(fields["state"])})


def card(row: Any) -> Card:
    """A card from its row."""
    fields = _with_times(row)
    more = {"kind": CardKind(fields["kind"]), "state": CardState(fields["state"])}
    return Card(**fields | more | {"user_id": fields["user_id"] or ""})


def account_user(row: Any) -> AccountUser:
    """A user of an account from its row."""
    fields = dict(row)
    update_time_ms = ms_of(fields.pop("update_time"))
    return AccountUser(update_time_ms=update_time_ms, **fields)


def rules(row: Any) -> Rules:
    """Rules from their row."""
    fields = dict(row)
    update_time_ms = ms_of(fields.pop("update_time"))
    return Rules(update_time_ms=update_time_ms, **fields)


def _with_times(row: Any) -> dict[str, Any]:
    fields = dict(row)
    fields["create_time_ms"] = ms_of(fields.pop("create_time"))
    fields["update_time_ms"] = ms_of(fields.pop("update_time"))
    return fields
