"""Accounts: what they are and how they change. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from runtime.money import AMOUNT_MINOR_LIMIT

#: Programme of accounts that are opened without one.
PROGRAMME_DEFAULT = "prog_standard"


class AccountState(StrEnum):
    """State of an account; the names are the contract's."""

    OPEN = "OPEN"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A credit account at one version."""

    id: str
    owner_id: str
    programme_id: str
    parent_account_id: str | None
    state: AccountState
    currency_code: str
    credit_limit_minor: int
    version: int
    create_time_ms: int
    update_time_ms: int
    #: Spend controls, as the contract serializes them; empty: nothing is restricted.
    controls: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAccount:
    """Opens an account."""

    owner_id: str
    programme_id: str
    parent_account_id: str | None
    currency_code: str
    credit_limit_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCreditLimit:
    """Raises or lowers a credit limit."""

    account_id: str
    currency_code: str
    credit_limit_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountNotOpen:
    """Refusal: only open accounts take this change."""

    account_id: str
    state: AccountState


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherCurrency:
    """Refusal: the limit is in another currency than the account."""

    currency_code: str


def open_account(command: OpenAccount, *, account_id: str, now_ms: int) -> Account:
    """A new account at version 1."""
    assert 0 <= command.credit_limit_minor < AMOUNT_MINOR_LIMIT, "convert.py checks the range"
    return Account(
        id=account_id,
        owner_id=command.owner_id,
        programme_id=command.programme_id,
        parent_account_id=command.parent_account_id,
        state=AccountState.OPEN,
        currency_code=command.currency_code,
        credit_limit_minor=command.credit_limit_minor,
        version=1,
        create_time_ms=now_ms,
        update_time_ms=now_ms,
    )


def require_open(account: Account) -> AccountNotOpen | None:
    """Refuses accounts that are closing or closed."""
    if account.state is not AccountState.OPEN:
        return AccountNotOpen(account_id=account.id, state=account.state)
    return None


def update_credit_limit(
    account: Account, command: UpdateCreditLimit, *, now_ms: int
) -> Account | OtherCurrency | AccountNotOpen:
    """The account with its new limit; the same object if that is the limit it has."""
    assert 0 <= command.credit_limit_minor < AMOUNT_MINOR_LIMIT, "convert.py checks the range"
    if command.currency_code != account.currency_code:
        return OtherCurrency(currency_code=account.currency_code)
    if refusal := require_open(account):
        return refusal
    if command.credit_limit_minor == account.credit_limit_minor:
        return account
    return replace(
        account,
        credit_limit_minor=command.credit_limit_minor,
        version=account.version + 1,
        update_time_ms=now_ms,
    )


def set_controls(account: Account, controls: bytes, *, now_ms: int) -> Account:
    """The account with these controls; the same object if it has them."""
    if controls == account.controls:
        return account
    return replace(account, controls=controls, version=account.version + 1, update_time_ms=now_ms)
