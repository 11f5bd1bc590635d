"""Where the money comes from. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from payments.payment import Source

#: Funding sources of one account that are not removed.
SOURCES_MAX = 20
#: What the customer can name: nobody is asked for the other kinds.
NAMED = (Source.STRIPE_CARD, Source.ACH, Source.IN_HOUSE)


class FundingState(StrEnum):
    """Whether a funding source may be used; the names are the contract's."""

    UNVERIFIED = "UNVERIFIED"
    VERIFIED = "VERIFIED"
    REFUSED = "REFUSED"
    REMOVED = "REMOVED"


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
