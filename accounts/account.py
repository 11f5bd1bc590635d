"""Accounts: what they are and how they change. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from accounts.machine import IllegalTransition, Machine, Step
from runtime import ids
from runtime.money import AMOUNT_MINOR_LIMIT

#: Programme of accounts that are opened without one.
PROGRAMME_DEFAULT = "prog_standard"


class AccountState(StrEnum):
    """State of an account; the names are the contract's."""

    OPEN = "OPEN"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"
    SUSPENDED = "SUSPENDED"
    DELINQUENT = "DELINQUENT"


class AccountType(StrEnum):
    """Type of an account; the names are the contract's."""

    PERSONAL_CREDIT = "PERSONAL_CREDIT"
    COMPANY_CREDIT = "COMPANY_CREDIT"


class AccountTransition(StrEnum):
    """What may be done to an account."""

    SUSPEND = "SUSPEND"
    MARK_PAST_DUE = "MARK_PAST_DUE"
    REOPEN = "REOPEN"
    CLOSE = "CLOSE"
    FINISH = "FINISH"


_OPEN, _CLOSING, _CLOSED, _SUSPENDED, _DELINQUENT = AccountState
#: Neither closing nor closed.
_LIVING = frozenset({_OPEN, _SUSPENDED, _DELINQUENT})

#: Which of the first three it is follows from the causes that last (`suspension.py`). Nothing leads
#: out of CLOSING but CLOSED: the authorizer may have closed it before it is known here.
ACCOUNTS = Machine(
    "account",
    {
        AccountTransition.SUSPEND: Step(_SUSPENDED, frozenset({_OPEN, _DELINQUENT})),
        AccountTransition.MARK_PAST_DUE: Step(_DELINQUENT, frozenset({_OPEN, _SUSPENDED})),
        AccountTransition.REOPEN: Step(_OPEN, frozenset({_SUSPENDED, _DELINQUENT})),
        AccountTransition.CLOSE: Step(_CLOSING, _LIVING, done=frozenset({_CLOSED})),
        AccountTransition.FINISH: Step(_CLOSED, frozenset({_CLOSING})),
    },
)


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

    @property
    def type(self) -> AccountType:
        """Its owner's: a person's or a company's."""
        personal = self.owner_id.startswith(f"{ids.USER}_")
        return AccountType.PERSONAL_CREDIT if personal else AccountType.COMPANY_CREDIT


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
    """Refusal: accounts take this change in the states `allowed` only."""

    account_id: str
    state: AccountState
    allowed: tuple[AccountState, ...]


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
    """Refuses accounts that are suspended, closing or closed: they get no card and no user."""
    return _require(account, frozenset({_OPEN}))


def move_account(
    account: Account, transition: AccountTransition, *, now_ms: int
) -> Account | IllegalTransition:
    """The account in its new state; the same object if nothing changes."""
    state = ACCOUNTS.move(account.state, transition)
    if isinstance(state, IllegalTransition):
        return state
    if state is account.state:
        return account
    return replace(account, state=state, version=account.version + 1, update_time_ms=now_ms)


def update_credit_limit(
    account: Account, command: UpdateCreditLimit, *, now_ms: int
) -> Account | OtherCurrency | AccountNotOpen:
    """The account with its new limit; the same object if that is the limit it has."""
    assert 0 <= command.credit_limit_minor < AMOUNT_MINOR_LIMIT, "convert.py checks the range"
    if command.currency_code != account.currency_code:
        return OtherCurrency(currency_code=account.currency_code)
    if refusal := _require(account, _LIVING):
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


def _require(account: Account, states: frozenset[AccountState]) -> AccountNotOpen | None:
    if account.state in states:
        return None
    allowed = tuple(state for state in AccountState if state in states)
    return AccountNotOpen(account_id=account.id, state=account.state, allowed=allowed)
