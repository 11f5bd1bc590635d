"""What a change means to those who are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from accounts.account import Account, AccountState, OpenAccount, open_account
from accounts.account_user import AccountUser
from accounts.account_user import UserState as SharerState
from accounts.applications.application import State
from accounts.card import Card, CardKind, CardState, IssueCard, ShippingState, issue_card
from accounts.happenings import of_application, of_change, of_user, user_created, user_verified
from accounts.user import Personal, User, UserState, create_user
from runtime.events.catalogue import fault_of, money
from tests.unit.accounts.test_application import APPLICATION

OWNER, USER = "co_0a" + "1" * 32, "usr_0a" + "2" * 32
ACCOUNT_ID, CARD_ID, OTHER_CARD_ID = (f"{p}_0a{'3' * 32}" for p in ("acct", "card", "card"))
ACCOUNT = open_account(
    OpenAccount(
        owner_id=OWNER,
        programme_id="prog_standard",
        parent_account_id=None,
        currency_code="USD",
        credit_limit_minor=100_000,
    ),
    account_id=ACCOUNT_ID,
    now_ms=1_000,
)
CARD = issue_card(
    IssueCard(account_id=ACCOUNT_ID, kind=CardKind.VIRTUAL, user_id=USER),
    card_id=CARD_ID,
    now_ms=1_000,
)
PLASTIC = replace(
    CARD,
    kind=CardKind.PHYSICAL,
    state=CardState.INACTIVE,
    shipping=ShippingState.ORDERED,
)
PERSON = create_user(Personal(name="Ada", email="ada@example.com"), user_id=USER, now_ms=1_000)


def _names(before: Any, after: Any) -> list[str]:
    events = of_change(before, after)
    assert [fault_of(event) for event in events] == [""] * len(events)
    assert all(event.account_id == ACCOUNT_ID for event in events)
    assert not [event for event in events if "Ada" in str(event)]
    return [event.type for event in events]


@pytest.mark.parametrize(
    ("before", "changes", "names"),
    [
        (None, {}, ["account.opened"]),
        (ACCOUNT, {"state": AccountState.SUSPENDED}, ["account.suspended"]),
        (ACCOUNT, {"state": AccountState.DELINQUENT}, ["account.delinquent"]),
        (ACCOUNT, {"state": AccountState.CLOSING}, ["account.closing"]),
        (ACCOUNT, {"state": AccountState.CLOSED}, ["account.closed"]),
        (ACCOUNT, {"credit_limit_minor": 5}, ["account.limit_changed"]),
        (ACCOUNT, {"controls": b"x"}, ["account.controls_changed"]),
        (ACCOUNT, {"version": 2}, []),
        (
            replace(ACCOUNT, state=AccountState.SUSPENDED),
            {"credit_limit_minor": 5},
            ["account.reopened", "account.limit_changed"],
        ),
    ],
)
def test_accounts(before: Account | None, changes: dict[str, Any], names: list[str]) -> None:
    assert _names(before, replace(ACCOUNT, **changes)) == names


def test_a_limit_says_what_it_was() -> None:
    (event,) = of_change(ACCOUNT, replace(ACCOUNT, credit_limit_minor=5))
    assert event.owner_id == OWNER
    assert event.data == {
        "credit_limit": money(5, "USD"),
        "previous_credit_limit": money(100_000, "USD"),
    }


@pytest.mark.parametrize(
    ("before", "changes", "names"),
    [
        (None, {}, ["card.issued"]),
        (None, {"shipping": ShippingState.ORDERED}, ["card.issued", "card.ordered"]),
        (PLASTIC, {"state": CardState.ACTIVE, "received": True}, ["card.activated"]),
        (CARD, {"state": CardState.FROZEN}, ["card.frozen"]),
        (replace(CARD, state=CardState.FROZEN), {"state": CardState.ACTIVE}, ["card.unfrozen"]),
        (CARD, {"state": CardState.CLOSED}, ["card.closed"]),
        (CARD, {"state": CardState.LOST}, ["card.reported_lost"]),
        (
            CARD,
            {"state": CardState.STOLEN, "replaced_by_card_id": OTHER_CARD_ID},
            ["card.reported_stolen", "card.replaced"],
        ),
        (PLASTIC, {"shipping": ShippingState.SHIPPED, "carrier": "x"}, ["card.shipped"]),
        (PLASTIC, {"shipping": ShippingState.DELIVERED}, ["card.delivered"]),
        (PLASTIC, {"shipping": ShippingState.RETURNED}, ["card.returned"]),
        (CARD, {"expiry_year": 2040}, ["card.renewed"]),
        (CARD, {"controls": b"x"}, ["card.controls_changed"]),
        (CARD, {"nickname": "Ada's"}, ["card.updated"]),
    ],
)
def test_cards(before: Card | None, changes: dict[str, Any], names: list[str]) -> None:
    assert _names(before, replace(before or CARD, **changes)) == names


def test_a_user_of_an_account() -> None:
    nobody = AccountUser(account_id=ACCOUNT_ID, user_id=USER)
    sharing = replace(nobody, state=SharerState.ACTIVE)
    limited = replace(sharing, controls=b"x")
    gone = replace(limited, state=SharerState.REMOVED)
    assert _names(nobody, replace(nobody, controls=b"x")) == ["account.user_changed"]
    assert _names(nobody, sharing) == _names(None, sharing) == ["account.user_added"]
    assert _names(sharing, limited) == ["account.user_changed"]
    assert _names(limited, gone) == ["account.user_removed"]
    assert _names(gone, sharing) == ["account.user_added"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"personal": Personal(name="Eva")}, "user.updated"),
        ({"state": UserState.ACTIVE}, "user.verified"),
        ({"state": UserState.SUSPENDED}, "user.suspended"),
        ({"state": UserState.CLOSED}, "user.closed"),
        ({"personal": Personal(), "erase_time_ms": 5}, "user.erased"),
    ],
)
def test_people(changes: dict[str, Any], name: str) -> None:
    event = of_user(PERSON, replace(PERSON, **changes))
    assert event.type == name
    assert (event.owner_id, event.user_id, fault_of(event)) == (USER, USER, "")
    assert "Ada" not in str(event)
    assert "Eva" not in str(event)


@pytest.mark.parametrize("state", [UserState.UNVERIFIED, UserState.ACTIVE])
def test_a_person_comes_back(state: UserState) -> None:
    suspended: User = replace(PERSON, state=UserState.SUSPENDED)
    assert of_user(suspended, replace(suspended, state=state)).type == "user.reactivated"


def test_new_and_verified_people() -> None:
    created = user_created(USER, UserState.UNVERIFIED, now_ms=5)
    verified = user_verified(USER, now_ms=5)
    assert (created.type, verified.type) == ("user.created", "user.verified")
    assert (fault_of(created), fault_of(verified)) == ("", "")


@pytest.mark.parametrize("state", State)
def test_applications(state: State) -> None:
    event = of_application(replace(APPLICATION, state=state))
    assert event.type.startswith("application.")
    assert fault_of(event) == ""
    assert event.data["state"] == state.value
