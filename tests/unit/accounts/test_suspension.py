"""Causes for which accounts are suspended: every set of them, every end."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from accounts.account import Account, AccountState, OpenAccount, open_account
from accounts.machine import IllegalTransition
from accounts.suspension import NAMED, Cause, Moved, NotNamed, NotPaid, lift, state_of, suspend

OPEN, CLOSING, CLOSED, SUSPENDED, DELINQUENT = AccountState
SETS = [frozenset(some) for size in range(4) for some in combinations(Cause, size)]


def account_in(state: AccountState) -> Account:
    command = OpenAccount(
        owner_id="usr_0a1",
        programme_id="prog_standard",
        parent_account_id=None,
        currency_code="USD",
        credit_limit_minor=1,
    )
    opened = open_account(command, account_id="acct_0a1", now_ms=1)
    return replace(opened, state=state)


@pytest.mark.parametrize(
    ("causes", "state"),
    [
        ((), OPEN),
        ((Cause.PAST_DUE,), DELINQUENT),
        ((Cause.PAST_DUE, Cause.ISSUER), SUSPENDED),
        *(((cause,), SUSPENDED) for cause in Cause if cause is not Cause.PAST_DUE),
    ],
)
def test_the_state_follows_from_the_causes(causes: tuple[Cause, ...], state: AccountState) -> None:
    assert state_of(causes) is state


@pytest.mark.parametrize("lasting", SETS)
@pytest.mark.parametrize("cause", Cause)
def test_each_cause_comes_and_goes_by_itself(lasting: frozenset[Cause], cause: Cause) -> None:
    account = account_in(state_of(lasting))
    added = suspend(account, lasting, cause, now_ms=2)
    assert isinstance(added, Moved)
    assert (added.causes, added.account.state) == (lasting | {cause}, state_of(lasting | {cause}))
    assert (added.account is account) is (added.account.state is account.state)
    ended = lift(added.account, added.causes, cause, unpaid=False, now_ms=3)
    assert isinstance(ended, Moved)
    assert (ended.causes, ended.account.state) == (lasting - {cause}, state_of(lasting - {cause}))
    unpaid = lift(added.account, added.causes, cause, unpaid=True, now_ms=3)
    assert (unpaid == NotPaid()) is (cause is Cause.PAST_DUE)


@pytest.mark.parametrize("lasting", SETS)
def test_without_a_name_only_one_that_needs_none_ends(lasting: frozenset[Cause]) -> None:
    found = lift(account_in(state_of(lasting)), lasting, None, unpaid=False, now_ms=2)
    if len(lasting) > 1 or lasting & NAMED:
        assert found == NotNamed(causes=tuple(one for one in Cause if one in lasting))
    else:
        assert isinstance(found, Moved)
        assert (found.causes, found.account.state) == (frozenset(), OPEN)


@pytest.mark.parametrize("state", [CLOSING, CLOSED])
def test_what_closes_stays_so(state: AccountState) -> None:
    account = account_in(state)
    for found in (
        suspend(account, (), Cause.DECEASED, now_ms=2),
        lift(account, {Cause.PAST_DUE}, None, unpaid=True, now_ms=2),
    ):
        assert isinstance(found, IllegalTransition)
        assert found.source == state
