"""Where the money comes from. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from payments.payment import Source

#: Funding sources of one account that are not removed.
SOURCES_MAX = 20
#: How often somebody may say what was deposited on a bank account.
ATTEMPTS_MAX = 3
#: The two amounts that are deposited are below a dollar.
DEPOSITS = 2
DEPOSIT_MINOR_MAX = 99
#: What the customer can name: nobody is asked for the other kinds.
NAMED = (Source.STRIPE_CARD, Source.ACH, Source.IN_HOUSE)


class FundingState(StrEnum):
    """Whether a funding source may be used; the names are the contract's."""

    UNVERIFIED = "UNVERIFIED"
    VERIFIED = "VERIFIED"
    REFUSED = "REFUSED"
    REMOVED = "REMOVED"


class Verdict(StrEnum):
    """What a processor says to the amounts that somebody names."""

    RIGHT = "RIGHT"
    WRONG = "WRONG"
    #: It asks no more: too often wrong, or too late.
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingSource:
    """A funding source at one version."""

    id: str
    account_id: str
    source: Source
    state: FundingState
    is_default: bool
    display_name: str
    #: What the processor knows it by, and its customer there.
    token: str = ""
    customer: str = ""
    #: What the processor calls its verification, and how often that was tried.
    verification: str = ""
    attempts: int = 0
    version: int = 1
    create_ms: int
    update_ms: int

    @property
    def create_time_ms(self) -> int:
        """When it was made, for pages."""
        return self.create_ms


def made_default(source: FundingSource, *, is_default: bool, now_ms: int) -> FundingSource:
    """The same, or no longer, the account's default."""
    if source.is_default == is_default:
        return source
    return replace(source, is_default=is_default, version=source.version + 1, update_ms=now_ms)


def removed(source: FundingSource, *, now_ms: int) -> FundingSource:
    """Removed; it stays removed."""
    if source.state is FundingState.REMOVED:
        return source
    return replace(
        source,
        state=FundingState.REMOVED,
        is_default=False,
        version=source.version + 1,
        update_ms=now_ms,
    )


def may_try(source: FundingSource) -> bool:
    """Whether somebody may say what was deposited."""
    return source.state is FundingState.UNVERIFIED and source.attempts < ATTEMPTS_MAX


def tried(source: FundingSource, *, now_ms: int) -> FundingSource:
    """Somebody is about to say it: counted before anybody is asked, so that nobody tries more often
    by trying at the same time.
    """
    assert may_try(source), "checked before"
    return replace(
        source, attempts=source.attempts + 1, version=source.version + 1, update_ms=now_ms
    )


def untried(source: FundingSource, *, now_ms: int) -> FundingSource:
    """The processor gave no answer: it does not count."""
    if source.state is not FundingState.UNVERIFIED or source.attempts == 0:
        return source
    return replace(
        source, attempts=source.attempts - 1, version=source.version + 1, update_ms=now_ms
    )


def judged(
    source: FundingSource, verdict: Verdict, *, is_default: bool, now_ms: int
) -> FundingSource:
    """What an answer makes of it; nothing, if it was judged before. `is_default`: it becomes the
    account's default if it is verified now.
    """
    if source.state is not FundingState.UNVERIFIED:
        return source
    last = source.attempts >= ATTEMPTS_MAX
    if verdict is Verdict.WRONG and not last:
        return source
    right = verdict is Verdict.RIGHT
    return replace(
        source,
        state=FundingState.VERIFIED if right else FundingState.REFUSED,
        is_default=right and is_default,
        version=source.version + 1,
        update_ms=now_ms,
    )
