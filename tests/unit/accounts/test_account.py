from __future__ import annotations

from dataclasses import replace

import pytest

from accounts.account import (
    Account,
    AccountNotOpen,
    AccountState,
    OpenAccount,
    OtherCurrency,
    UpdateCreditLimit,
    open_account,
    require_open,
    update_credit_limit,
)

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
            (state, "USD", 100, AccountNotOpen(account_id="acct_0a1", state=state))
            for state in (AccountState.CLOSING, AccountState.CLOSED)
        ),
        (AccountState.OPEN, "USD", 100, ACCOUNT),
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
