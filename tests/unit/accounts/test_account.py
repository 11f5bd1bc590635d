from __future__ import annotations

from dataclasses import replace

import pytest

from accounts.account import (
    ACCOUNTS,
    Account,
    AccountNotOpen,
    AccountState,
    AccountTransition,
    AccountType,
    OpenAccount,
    OtherCurrency,
    UpdateCreditLimit,
    move_account,
    open_account,
    require_open,
    update_credit_limit,
)
from accounts.machine import IllegalTransition

ACCOUNT = open_account(
    OpenAccount(
        owner_id="co_0a1",
        programme_id="prog_standard",
        parent_account_id=None,
        currency_code="USD",
        credit_limit_minor=100,
    ),
    account_id="acct_0a1",
    now_ms=1_000,
)


OPEN, CLOSING, CLOSED, SUSPENDED, DELINQUENT = AccountState
SUSPEND, MARK_PAST_DUE, REOPEN, CLOSE, FINISH = AccountTransition


def test_open_account_starts_open_at_version_1() -> None:
    assert (
        Account(
            id="acct_0a1",
            owner_id="co_0a1",
            programme_id="prog_standard",
            parent_account_id=None,
            state=AccountState.OPEN,
            currency_code="USD",
            credit_limit_minor=100,
            version=1,
            create_time_ms=1_000,
            update_time_ms=1_000,
        )
        == ACCOUNT
    )


@pytest.mark.parametrize(
    ("state", "currency_code", "limit_minor", "expected"),
    [
        # Another currency comes first: such a request can never succeed.
        (AccountState.CLOSED, "EUR", 5, OtherCurrency(currency_code="USD")),
        (AccountState.OPEN, "EUR", 100, OtherCurrency(currency_code="USD")),
        *(
            (
                state,
                "USD",
                100,
                AccountNotOpen(
                    account_id="acct_0a1", state=state, allowed=(OPEN, SUSPENDED, DELINQUENT)
                ),
            )
            for state in (CLOSING, CLOSED)
        ),
        (OPEN, "USD", 100, ACCOUNT),
        *(
            (
                state,
                "USD",
                7,
                replace(
                    ACCOUNT, state=state, credit_limit_minor=7, version=2, update_time_ms=2_000
                ),
            )
            for state in (SUSPENDED, DELINQUENT)
        ),
        *(
            (
                AccountState.OPEN,
                "USD",
                limit,
                replace(ACCOUNT, credit_limit_minor=limit, version=2, update_time_ms=2_000),
            )
            for limit in (0, 99, 101, 2**53 - 1)
        ),
    ],
)
def test_update_credit_limit(
    state: AccountState, currency_code: str, limit_minor: int, expected: object
) -> None:
    command = UpdateCreditLimit(
        account_id="acct_0a1", currency_code=currency_code, credit_limit_minor=limit_minor
    )
    assert update_credit_limit(replace(ACCOUNT, state=state), command, now_ms=2_000) == expected


@pytest.mark.parametrize("state", list(AccountState))
def test_only_open_accounts_take_changes(state: AccountState) -> None:
    refusal = require_open(replace(ACCOUNT, state=state))
    assert (refusal is None) == (state is AccountState.OPEN)
    assert refusal is None or refusal.allowed == (OPEN,)


def test_the_type_is_the_owners() -> None:
    assert ACCOUNT.type is AccountType.COMPANY_CREDIT
    assert replace(ACCOUNT, owner_id="usr_0a1").type is AccountType.PERSONAL_CREDIT


#: Every transition from every state: the next state, or None where it is refused.
TABLE: dict[AccountTransition, dict[AccountState, AccountState | None]] = {
    SUSPEND: {
        OPEN: SUSPENDED,
        CLOSING: None,
        CLOSED: None,
        SUSPENDED: SUSPENDED,
        DELINQUENT: SUSPENDED,
    },
    MARK_PAST_DUE: {
        OPEN: DELINQUENT,
        CLOSING: None,
        CLOSED: None,
        SUSPENDED: DELINQUENT,
        DELINQUENT: DELINQUENT,
    },
    REOPEN: {OPEN: OPEN, CLOSING: None, CLOSED: None, SUSPENDED: OPEN, DELINQUENT: OPEN},
    CLOSE: {
        OPEN: CLOSING,
        CLOSING: CLOSING,
        CLOSED: CLOSED,
        SUSPENDED: CLOSING,
        DELINQUENT: CLOSING,
    },
    FINISH: {OPEN: None, CLOSING: CLOSED, CLOSED: CLOSED, SUSPENDED: None, DELINQUENT: None},
}


def test_table_is_complete() -> None:
    assert set(TABLE) == set(AccountTransition) == set(ACCOUNTS.steps)
    assert all(set(row) == set(AccountState) for row in TABLE.values())


@pytest.mark.parametrize(
    ("transition", "state", "target"),
    [(transition, state, to) for transition, row in TABLE.items() for state, to in row.items()],
)
def test_move_account(
    transition: AccountTransition, state: AccountState, target: AccountState | None
) -> None:
    account = replace(ACCOUNT, state=state)
    moved = move_account(account, transition, now_ms=2_000)
    if target is None:
        assert moved == IllegalTransition(
            subject="account",
            source=state,
            target=ACCOUNTS.steps[transition].target,
            allowed=ACCOUNTS.reachable(state),
        )
    elif target is state:
        assert moved is account
    else:
        assert moved == replace(account, state=target, version=2, update_time_ms=2_000)


@pytest.mark.parametrize(
    ("state", "states"),
    [
        (OPEN, (SUSPENDED, DELINQUENT, CLOSING)),
        (CLOSING, (CLOSED,)),
        (CLOSED, ()),
        (SUSPENDED, (DELINQUENT, OPEN, CLOSING)),
        (DELINQUENT, (SUSPENDED, OPEN, CLOSING)),
    ],
)
def test_what_can_be_reached(state: AccountState, states: tuple[AccountState, ...]) -> None:
    assert ACCOUNTS.reachable(state) == states
