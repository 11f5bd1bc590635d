from __future__ import annotations

from dataclasses import replace

import pytest

from accounts.account_user import (
    ACCOUNT_USERS,
    AccountUser,
    UserNotOnAccount,
    UserState,
    UserTransition,
    add_user,
    remove_user,
    require_user,
    set_user_controls,
)
from accounts.machine import IllegalTransition

NEVER, ACTIVE, REMOVED = UserState
USER = AccountUser(account_id="acct_0a1", user_id="usr_0b1")
ON = replace(USER, state=ACTIVE, version=1, controls=b"c")
OFF = replace(ON, state=REMOVED, version=2)


def test_table_is_complete() -> None:
    assert set(ACCOUNT_USERS.steps) == set(UserTransition)


@pytest.mark.parametrize("before", [USER, ON, OFF])
def test_whoever_is_added_is_on_the_account(before: AccountUser) -> None:
    added = add_user(before, b"c", now_ms=5)
    if before is ON:
        assert added is ON
    else:
        version = before.version + 1
        assert added == replace(
            before, state=ACTIVE, controls=b"c", version=version, update_time_ms=5
        )


def test_adding_again_replaces_the_controls() -> None:
    assert add_user(ON, b"", now_ms=5) == replace(ON, controls=b"", version=2, update_time_ms=5)


def test_removing() -> None:
    assert remove_user(ON, now_ms=5) == replace(OFF, update_time_ms=5)
    assert remove_user(OFF, now_ms=5) is OFF
    assert remove_user(USER, now_ms=5) == IllegalTransition(
        subject="user of the account", source=NEVER, target=REMOVED, allowed=(ACTIVE,)
    )


@pytest.mark.parametrize("before", [USER, ON, OFF])
def test_controls_may_be_set_ahead(before: AccountUser) -> None:
    changed = set_user_controls(before, b"new", now_ms=5)
    expected = replace(before, controls=b"new", version=before.version + 1, update_time_ms=5)
    assert changed == expected
    assert set_user_controls(changed, b"new", now_ms=9) is changed


def test_cards_are_for_owners_and_those_who_share() -> None:
    assert require_user(ON, owner_id="usr_0a9") is None
    assert require_user(USER, owner_id="usr_0b1") is None
    for user in (USER, OFF):
        refusal = require_user(user, owner_id="usr_0a9")
        assert refusal == UserNotOnAccount(user_id="usr_0b1", state=user.state)
