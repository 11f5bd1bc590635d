"""What a decision is made on: a card, its account and user, and the rules of programme and company.

Pure. Each part has a version; the script refuses a decision once one of them has moved on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from authz import keys
from authz.controls import NO_CONTROLS, Controls, Place, Rule, Use, uses_of
from authz.fraud import DEFAULT_CHECKS, NO_CHECKS, FraudChecks, plain_thresholds_of
from runtime import ids
from runtime.record import record


class CardState(IntEnum):
    """Numbers of the contract's `CardState`."""

    INACTIVE = 1
    ACTIVE = 2
    FROZEN = 3
    CLOSED = 4
    LOST = 5
    STOLEN = 6
    SUSPENDED = 7


class AccountState(IntEnum):
    """Numbers of the contract's `AccountState`."""

    OPEN = 1
    CLOSING = 2
    CLOSED = 3
    SUSPENDED = 4
    DELINQUENT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSnapshot:
    """A card's configuration at one version."""

    version: int
    card_id: str
    root_card_id: str
    account_id: str
    state: CardState
    expire_at_ms: int
    single_use: bool
    controls: Controls = NO_CONTROLS
    #: Whose card it is; '': nobody in particular.
    user_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """An account's configuration at one version."""

    version: int
    account_id: str
    owner_id: str
    programme_id: str
    state: AccountState
    currency_code: str
    controls: Controls = NO_CONTROLS

    @property
    def company_id(self) -> str:
        """The company that owns it; '' if a person does."""
        return self.owner_id if self.owner_id.startswith(f"{ids.COMPANY}_") else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSnapshot:
    """What the card's user may use the account for; version 0: never set."""

    version: int = 0
    controls: Controls = NO_CONTROLS


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesSnapshot:
    """Rules of a programme or company, as they bind an account; version 0: never set."""

    version: int = 0
    card_controls: Controls = NO_CONTROLS
    account_controls: Controls = NO_CONTROLS
    fraud: FraudChecks = NO_CHECKS


#: A programme whose rules were never set.
NO_PROGRAMME_RULES = RulesSnapshot(fraud=DEFAULT_CHECKS)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whose credit a movement is about. An unknown card has no account."""

    tag: str
    account_id: str = ""
    card_id: str = ""
    root_card_id: str = ""
    owner_id: str = ""
    programme_id: str = ""
    user_id: str = ""
    currency_code: str = ""

    @cached_property
    def about(self) -> str:
        """What every entry says of it: the last fields of authz.entry.Header."""
        values = (
            self.account_id,
            self.card_id,
            self.root_card_id,
            self.owner_id,
            self.programme_id,
            self.user_id,
            self.currency_code,
        )
        return "\t".join(values)


@record
class Fence:
    """The versions that a decision was made on, and where a script finds those of now. Those of a
    card that is not there are 0.
    """

    versions: str = "0,0,0,0,0"
    user_field: str = keys.user_version("")
    programme_field: str = keys.rules_version("")
    company_field: str = keys.rules_version("")


#: The fence of a card that is not there.
UNKNOWN = Fence()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything together, and what follows from it: worked out once, used by every purchase."""

    card: CardSnapshot
    account: AccountSnapshot
    user: UserSnapshot = UserSnapshot()
    programme: RulesSnapshot = NO_PROGRAMME_RULES
    company: RulesSnapshot = RulesSnapshot()

    @cached_property
    def scopes(self) -> tuple[Scope, ...]:
        """Everything whose controls apply together."""
        return _scopes_of(self)

    @cached_property
    def fraud_checks(self) -> tuple[tuple[str, FraudChecks], ...]:
        """The checks against fraud, each with whose it is."""
        return (("programme", self.programme.fraud), ("company", self.company.fraud))

    @cached_property
    def plain_thresholds(self) -> str:
        """`thresholds_of` where it is the same for every purchase; else ''."""
        return plain_thresholds_of(self.fraud_checks)

    @cached_property
    def subject(self) -> Subject:
        """Whose credit it is about."""
        card, account = self.card, self.account
        return Subject(
            tag=ids.tag_of(account.account_id),
            account_id=account.account_id,
            card_id=card.card_id,
            root_card_id=card.root_card_id,
            owner_id=account.owner_id,
            programme_id=account.programme_id,
            user_id=card.user_id,
            currency_code=account.currency_code,
        )

    @cached_property
    def fence(self) -> Fence:
        """What the scripts compare, to refuse a decision once something has moved on."""
        parts = (self.card, self.account, self.user, self.programme, self.company)
        return Fence(
            versions=",".join(str(part.version) for part in parts),
            user_field=keys.user_version(self.card.user_id),
            programme_field=keys.rules_version(self.account.programme_id),
            company_field=keys.rules_version(self.account.company_id),
        )


class Scope(NamedTuple):
    """One of those whose controls apply together."""

    #: What a refusal calls it, before the control.
    name: str
    #: Begins the names of its counters, so that no two share one.
    counter: str
    controls: Controls


def _scopes_of(snapshot: Snapshot) -> tuple[Scope, ...]:
    """Limits follow a card to its replacement."""
    card, account, user = snapshot.card, snapshot.account, snapshot.user
    programme, company = snapshot.programme, snapshot.company
    of_card, of_account = _bare(card.root_card_id), _bare(account.account_id)
    found = (
        Scope("card", f"c{of_card}", card.controls),
        Scope("account", f"a{of_account}", account.controls),
        Scope("user", f"u{of_account}-{_bare(card.user_id)}", user.controls),
        Scope("programme/card", f"pc{of_card}", programme.card_controls),
        Scope("programme/account", f"pa{of_account}", programme.account_controls),
        Scope("company/card", f"oc{of_card}", company.card_controls),
        Scope("company/account", f"oa{of_account}", company.account_controls),
    )
    return tuple(one for one in found if one.controls is not NO_CONTROLS)


def limits_of(scopes: tuple[Scope, ...], place: Place | None, *, now_ms: int) -> tuple[Use, ...]:
    """The limits that spending at this place counts in; None: of any place."""
    return tuple(
        use
        for scope in scopes
        for use in uses_of(
            scope.controls, place, name=scope.name, counter=scope.counter, now_ms=now_ms
        )
    )


def maximum_of(snapshot: Snapshot) -> str:
    """`minor,control` of the smallest maximum of one purchase; '' if there is none."""
    found = [
        (scope.controls.maximum_minor, scope.name)
        for scope in snapshot.scopes
        if scope.controls.maximum_minor is not None
    ]
    if not found:
        return ""
    minor, name = min(found)
    return f"{minor},{name}/{Rule.MAXIMUM}"


def merchant_lock_of(scopes: tuple[Scope, ...]) -> str:
    """The control that locks the card to its first merchant; '' if none does."""
    locking = (scope.name for scope in scopes if scope.controls.merchant_lock)
    return next((f"{name}/merchant_lock" for name in locking), "")


def _bare(name: str) -> str:
    return name.partition("_")[2]
