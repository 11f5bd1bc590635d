"""People: what they are and the states they pass through. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from accounts.machine import IllegalTransition, Machine, Step

#: What says who a person is; the rest is how to reach them.
IDENTITY = ("name", "birth_date", "tax_id", "tax_country_code")


class UserState(StrEnum):
    """State of a person; the names are the contract's."""

    UNVERIFIED = "UNVERIFIED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"


class UserTransition(StrEnum):
    """What may be done to a person."""

    VERIFY = "VERIFY"
    SUSPEND = "SUSPEND"
    REACTIVATE = "REACTIVATE"
    CLOSE = "CLOSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A postal address."""

    line1: str
    line2: str
    city: str
    region: str
    postal_code: str
    country_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """What is personal; empty texts are not known. It never shows in logs."""

    name: str = field(default="", repr=False)
    email: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)
    address: Address | None = field(default=None, repr=False)
    birth_date: str = field(default="", repr=False)
    tax_id: str = field(default="", repr=False)
    tax_country_code: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person at one version."""

    id: str
    state: UserState
    personal: Personal
    version: int
    create_time_ms: int
    update_time_ms: int
    verify_time_ms: int | None = None
    erase_time_ms: int | None = None


_S = UserState

#: Reactivating leads to ACTIVE only those who were ever verified.
USERS: Machine[UserState, UserTransition] = Machine(
    "user",
    {
        UserTransition.VERIFY: Step(_S.ACTIVE, frozenset({_S.UNVERIFIED})),
        UserTransition.SUSPEND: Step(_S.SUSPENDED, frozenset({_S.UNVERIFIED, _S.ACTIVE})),
        UserTransition.REACTIVATE: Step(_S.ACTIVE, frozenset({_S.SUSPENDED})),
        UserTransition.CLOSE: Step(_S.CLOSED, frozenset({_S.UNVERIFIED, _S.ACTIVE, _S.SUSPENDED})),
    },
)


def create_user(personal: Personal, *, user_id: str, now_ms: int) -> User:
    """A new person, whom nobody has checked."""
    return User(
        id=user_id,
        state=UserState.UNVERIFIED,
        personal=personal,
        version=1,
        create_time_ms=now_ms,
        update_time_ms=now_ms,
    )


def move_user(user: User, transition: UserTransition, *, now_ms: int) -> User | IllegalTransition:
    """The person in the new state; the same object if nothing changes."""
    found = USERS.move(user.state, transition)
    if isinstance(found, IllegalTransition):
        return found
    if found is user.state:
        return user
    verify_time_ms = user.verify_time_ms
    if transition is UserTransition.VERIFY:
        verify_time_ms = now_ms
    if transition is UserTransition.REACTIVATE and verify_time_ms is None:
        found = UserState.UNVERIFIED
    return _next(replace(user, state=found, verify_time_ms=verify_time_ms), now_ms=now_ms)


def unknown_identity(user: User) -> tuple[str, ...]:
    """What nobody can have checked, for it is not known; who applies must say it."""
    needed = ("name", "birth_date", "tax_id")
    return tuple(name for name in needed if not getattr(user.personal, name))


def update_user(user: User, personal: Personal, *, now_ms: int) -> User:
    """The person with other details; the same object if they are what they were."""
    if personal == user.personal:
        return user
    return _next(replace(user, personal=personal), now_ms=now_ms)


def reidentified(user: User, personal: Personal) -> tuple[str, ...]:
    """What of a verified person's identity would change; empty if it was never checked."""
    if user.verify_time_ms is None:
        return ()
    return tuple(
        name for name in IDENTITY if getattr(personal, name) != getattr(user.personal, name)
    )


def erase_user(user: User, *, now_ms: int) -> User:
    """A closed person without anything personal; the same object if it is so already."""
    assert user.state is UserState.CLOSED, "the service refuses others"
    if user.erase_time_ms is not None:
        return user
    return _next(replace(user, personal=Personal(), erase_time_ms=now_ms), now_ms=now_ms)


def masked(personal: Personal) -> Personal:
    """What is shown to those who need not know: enough to tell people apart."""
    address = personal.address
    return Personal(
        name=personal.name,
        email=_masked_email(personal.email),
        phone=_last4(personal.phone),
        address=replace(address, line1="", line2="", city="", postal_code="") if address else None,
        birth_date="",
        tax_id=_last4(personal.tax_id),
        tax_country_code=personal.tax_country_code,
    )


def _next(user: User, *, now_ms: int) -> User:
    return replace(user, version=user.version + 1, update_time_ms=now_ms)


def _masked_email(email: str) -> str:
    return f"{email[0]}***@{email.rpartition('@')[2]}" if email else ""


def _last4(text: str) -> str:
    return f"***{text[-4:]}" if len(text) > 4 else "***" if text else ""  # noqa: PLR2004
