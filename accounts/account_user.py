"""Users who share an account, and what they may use it for. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from accounts.machine import IllegalTransition, Machine, Step


class UserState(StrEnum):
    """Whether a user shares an account; the names are the contract's."""

    UNSPECIFIED = "UNSPECIFIED"
    ACTIVE = "ACTIVE"
    REMOVED = "REMOVED"


class UserTransition(StrEnum):
    """What may be done to a user of an account."""

    ADD = "ADD"
    REMOVE = "REMOVE"


_NEVER, _ACTIVE, _REMOVED = UserState

ACCOUNT_USERS = Machine(
    "user of the account",
    {
        UserTransition.ADD: Step(_ACTIVE, frozenset({_NEVER, _REMOVED})),
        UserTransition.REMOVE: Step(_REMOVED, frozenset({_ACTIVE})),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUser:
    """A user of an account at one version; 0: nothing was ever set."""

    account_id: str
    user_id: str
    version: int = 0
    create_time_ms: int = 0
    update_time_ms: int = 0
    #: Spend controls, as the contract serializes them; empty: nothing is restricted.
    controls: bytes = b""
    state: UserState = UserState.UNSPECIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class UserNotOnAccount:
    """Refusal: the user neither owns nor shares the account."""

    user_id: str
    state: UserState


def set_user_controls(user: AccountUser, controls: bytes, *, now_ms: int) -> AccountUser:
    """The user with these controls; the same object if that is what it has."""
    return _changed(user, replace(user, controls=controls), now_ms=now_ms)


def add_user(user: AccountUser, controls: bytes, *, now_ms: int) -> AccountUser:
    """The user who shares the account, with these controls; the same object if nothing changes."""
    state = ACCOUNT_USERS.move(user.state, UserTransition.ADD)
    assert isinstance(state, UserState), "whoever is not on the account can be added"
    return _changed(user, replace(user, state=state, controls=controls), now_ms=now_ms)


def remove_user(user: AccountUser, *, now_ms: int) -> AccountUser | IllegalTransition:
    """The user who does not share the account any more; the same object if nothing changes."""
    state = ACCOUNT_USERS.move(user.state, UserTransition.REMOVE)
    if isinstance(state, IllegalTransition):
        return state
    return _changed(user, replace(user, state=state), now_ms=now_ms)


def require_user(user: AccountUser, *, owner_id: str) -> UserNotOnAccount | None:
    """Refuses to give a card to someone who neither owns nor shares the account."""
    if user.user_id == owner_id or user.state is UserState.ACTIVE:
        return None
    return UserNotOnAccount(user_id=user.user_id, state=user.state)


def _changed(before: AccountUser, after: AccountUser, *, now_ms: int) -> AccountUser:
    if after == before:
        return before
    return replace(after, version=before.version + 1, update_time_ms=now_ms)
