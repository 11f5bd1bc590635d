"""Why an account takes no purchases, and who may end that. No I/O, no clock, no grpc.

An account may be suspended for several causes at once; each is ended by itself, and the account is
open again when none is left. Merchants never learn the cause: PAST_DUE is declined with
ACCOUNT_DELINQUENT, every other one with ACCOUNT_SUSPENDED.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from accounts.account import Account, AccountState, AccountTransition, move_account
from accounts.machine import IllegalTransition


class Cause(StrEnum):
    """Why; the names are the contract's."""

    ISSUER = "ISSUER"
    PAST_DUE = "PAST_DUE"
    FRAUD_SUSPECTED = "FRAUD_SUSPECTED"
    CARDHOLDER_REQUEST = "CARDHOLDER_REQUEST"
    DECEASED = "DECEASED"
    BANKRUPTCY = "BANKRUPTCY"
    LEGAL_HOLD = "LEGAL_HOLD"
    SANCTIONS = "SANCTIONS"


#: Ended only by whoever names them: nobody lifts the freeze of a court by reopening in passing.
NAMED = frozenset({Cause.DECEASED, Cause.BANKRUPTCY, Cause.LEGAL_HOLD, Cause.SANCTIONS})
#: What an account in a state is suspended for if nobody has written it down.
UNWRITTEN: Mapping[AccountState, Cause] = {
    AccountState.SUSPENDED: Cause.ISSUER,
    AccountState.DELINQUENT: Cause.PAST_DUE,
}
_TRANSITIONS = {
    AccountState.OPEN: AccountTransition.REOPEN,
    AccountState.SUSPENDED: AccountTransition.SUSPEND,
    AccountState.DELINQUENT: AccountTransition.MARK_PAST_DUE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The account as it is now (the same object if its state stays), and the causes that last."""

    account: Account
    causes: frozenset[Cause]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotNamed:
    """Refusal: it must be said which of these causes ends."""

    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPaid:
    """Refusal: billing has found the account past due, and ends that when it is paid."""


def state_of(causes: Collection[Cause]) -> AccountState:
    """The state of an account that is neither closing nor closed."""
    if not causes:
        return AccountState.OPEN
    return AccountState.DELINQUENT if set(causes) == {Cause.PAST_DUE} else AccountState.SUSPENDED


def suspend(
    account: Account, lasting: Collection[Cause], cause: Cause, *, now_ms: int
) -> Moved | IllegalTransition:
    """Adds a cause; the same one again changes nothing."""
    return _moved(account, frozenset(lasting) | {cause}, AccountTransition.SUSPEND, now_ms=now_ms)


def lift(
    account: Account, lasting: Collection[Cause], cause: Cause | None, *, unpaid: bool, now_ms: int
) -> Moved | IllegalTransition | NotNamed | NotPaid:
    """Ends a cause, or (None) the only one. `unpaid`: PAST_DUE is not for the caller to end."""
    found = frozenset(lasting)
    if account.state in _TRANSITIONS:
        if cause is None and (len(found) > 1 or found & NAMED):
            return NotNamed(causes=tuple(one for one in Cause if one in found))
        ending = found if cause is None else found & {cause}
        if unpaid and Cause.PAST_DUE in ending:
            return NotPaid()
        found -= ending
    return _moved(account, found, AccountTransition.REOPEN, now_ms=now_ms)


def _moved(
    account: Account, causes: frozenset[Cause], wanted: AccountTransition, *, now_ms: int
) -> Moved | IllegalTransition:
    transition = _TRANSITIONS[state_of(causes)] if account.state in _TRANSITIONS else wanted
    moved = move_account(account, transition, now_ms=now_ms)
    if isinstance(moved, IllegalTransition):
        return moved
    return Moved(account=moved, causes=causes)
