"""What a change of an account, a card, a user or an application means to those who are told. No
I/O, no clock, no grpc.
"""

from __future__ import annotations

from typing import Any

from accounts.account import Account, AccountState
from accounts.account_user import AccountUser
from accounts.account_user import UserState as AccountUserState
from accounts.applications.application import Application
from accounts.applications.application import State as ApplicationState
from accounts.card import Card, CardState, ShippingState
from accounts.user import User, UserState
from runtime.events.catalogue import Event, money

_ACCOUNT_STATES = {
    AccountState.OPEN: "account.reopened",
    AccountState.SUSPENDED: "account.suspended",
    AccountState.DELINQUENT: "account.delinquent",
    AccountState.CLOSING: "account.closing",
    AccountState.CLOSED: "account.closed",
}
_ACCOUNT_USER_STATES = {
    AccountUserState.ACTIVE: "account.user_added",
    AccountUserState.REMOVED: "account.user_removed",
}
_CARD_STATES = {
    CardState.FROZEN: "card.frozen",
    CardState.CLOSED: "card.closed",
    CardState.LOST: "card.reported_lost",
    CardState.STOLEN: "card.reported_stolen",
}
_SHIPPING = {
    ShippingState.ORDERED: "card.ordered",
    ShippingState.SHIPPED: "card.shipped",
    ShippingState.DELIVERED: "card.delivered",
    ShippingState.RETURNED: "card.returned",
}
_USER_STATES = {
    UserState.ACTIVE: "user.reactivated",
    UserState.UNVERIFIED: "user.reactivated",
    UserState.SUSPENDED: "user.suspended",
    UserState.CLOSED: "user.closed",
}
_APPLICATION_STATES = {
    ApplicationState.SUBMITTED: "application.submitted",
    ApplicationState.IN_REVIEW: "application.in_review",
    ApplicationState.PENDING_DOCUMENT: "application.documents_required",
    ApplicationState.APPROVED: "application.approved",
    ApplicationState.DECLINED: "application.declined",
    ApplicationState.WITHDRAWN: "application.withdrawn",
    ApplicationState.EXPIRED: "application.expired",
}


def of_change(
    before: Account | Card | AccountUser | None, after: Account | Card | AccountUser
) -> list[Event]:
    """What happened between two versions; nothing if the later one is a new version of the same."""
    match before, after:
        case Account() | None, Account():
            return _of_account(before, after)
        case Card() | None, Card():
            return _of_card(before, after)
        case AccountUser() | None, AccountUser():
            return [_of_account_user(before, after)]
    raise AssertionError(f"{before} never becomes {after}")


def of_user(before: User, after: User) -> Event:
    """What happened to a person: a change has one name."""
    name = _name_of_user(before, after)
    return _person(name, after.id, after.state, now_ms=after.update_time_ms)


def user_created(user_id: str, state: UserState, *, now_ms: int) -> Event:
    """A person is known from now on."""
    return _person("user.created", user_id, state, now_ms=now_ms)


def user_verified(user_id: str, *, now_ms: int) -> Event:
    """A person was verified with what they applied with."""
    return _person("user.verified", user_id, UserState.ACTIVE, now_ms=now_ms)


def of_application(application: Application) -> Event:
    """An application is in another state than before."""
    return Event(
        type=_APPLICATION_STATES[application.state],
        time_ms=application.update_time_ms,
        owner_id=application.company_id or application.user_id,
        user_id=application.user_id,
        data={
            "application_id": application.id,
            "programme_id": application.programme_id,
            "state": str(application.state),
        },
    )


def _of_account(before: Account | None, after: Account) -> list[Event]:
    limit = money(after.credit_limit_minor, after.currency_code)
    standing = {
        "programme_id": after.programme_id,
        "state": str(after.state),
        "credit_limit": limit,
    }

    def event(name: str, data: dict[str, Any]) -> Event:
        return Event(
            type=name,
            time_ms=after.update_time_ms,
            account_id=after.id,
            owner_id=after.owner_id,
            data=data,
        )

    if before is None:
        return [event("account.opened", standing)]
    found = []
    if before.state is not after.state:
        found.append(event(_ACCOUNT_STATES[after.state], standing))
    if before.credit_limit_minor != after.credit_limit_minor:
        previous = money(before.credit_limit_minor, after.currency_code)
        changed = {"credit_limit": limit, "previous_credit_limit": previous}
        found.append(event("account.limit_changed", changed))
    if before.controls != after.controls:
        found.append(event("account.controls_changed", standing))
    return found


def _of_card(before: Card | None, after: Card) -> list[Event]:
    standing = {"card_id": after.id, "kind": str(after.kind), "state": str(after.state)}

    def event(name: str, **more: str) -> Event:
        return Event(
            type=name,
            time_ms=after.update_time_ms,
            account_id=after.account_id,
            user_id=after.user_id,
            data={**standing, **more},
        )

    found = []
    if before is None:
        found.append(event("card.issued"))
    elif before.state is not after.state:
        found.append(event(_name_of_card(before, after)))
    if (before.shipping if before else ShippingState.UNSPECIFIED) is not after.shipping:
        found.append(event(_SHIPPING[after.shipping], shipping=str(after.shipping)))
    if before is None:
        return found
    if before.replaced_by_card_id != after.replaced_by_card_id:
        found.append(event("card.replaced", replaced_by_card_id=after.replaced_by_card_id))
    if (before.expiry_year, before.expiry_month) != (after.expiry_year, after.expiry_month):
        found.append(event("card.renewed"))
    if before.controls != after.controls:
        found.append(event("card.controls_changed"))
    return found or [event("card.updated")]


def _name_of_card(before: Card, after: Card) -> str:
    if after.state is CardState.ACTIVE:
        return "card.unfrozen" if before.state is CardState.FROZEN else "card.activated"
    return _CARD_STATES[after.state]


def _of_account_user(before: AccountUser | None, after: AccountUser) -> Event:
    state = before.state if before else AccountUserState.UNSPECIFIED
    return Event(
        type="account.user_changed" if state is after.state else _ACCOUNT_USER_STATES[after.state],
        time_ms=after.update_time_ms,
        account_id=after.account_id,
        user_id=after.user_id,
        data={"state": str(after.state)},
    )


def _person(name: str, user_id: str, state: UserState, *, now_ms: int) -> Event:
    return Event(
        type=name,
        time_ms=now_ms,
        owner_id=user_id,
        user_id=user_id,
        data={"state": str(state)},
    )


def _name_of_user(before: User, after: User) -> str:
    if before.erase_time_ms != after.erase_time_ms:
        return "user.erased"
    if before.state is after.state:
        return "user.updated"
    if before.state is UserState.UNVERIFIED and after.state is UserState.ACTIVE:
        return "user.verified"
    return _USER_STATES[after.state]
