"""The hold, derived from the set of accepted events: the same in whatever order they came.

    A approved (authorization and increments)   R reversed   C captured   H held
    H = 0 if closed, else max(A - R - C, 0);  closed = final capture, full reversal, or expiry

`lua/include/hold.lua` is the same arithmetic where it must be atomic; tests drive both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """State of an authorization; the names are the contract's."""

    PENDING = "PENDING"
    CAPTURED = "CAPTURED"
    REVERSED = "REVERSED"
    EXPIRED = "EXPIRED"
    DECLINED = "DECLINED"
    VERIFIED = "VERIFIED"


#: Flags of a hold, one letter each, in any order.
FINAL = "f"
VOID = "v"
EXPIRED = "e"
DECLINED = "d"
APPROVED = "a"
#: At a place that hands out cash: what clears it posts as cash.
CASH = "c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Totals of one authorization, in minor units of the billing currency."""

    approved_minor: int = 0
    reversed_minor: int = 0
    captured_minor: int = 0
    #: Linked refunds less their reversals; they give no credit back to the hold.
    refunded_minor: int = 0
    flags: str = ""

    @property
    def closed(self) -> bool:
        """True once nothing can be held any more."""
        return any(flag in self.flags for flag in (FINAL, VOID, EXPIRED))

    @property
    def remaining_minor(self) -> int:
        """A - R - C, never below zero."""
        return max(self.approved_minor - self.reversed_minor - self.captured_minor, 0)

    @property
    def held_minor(self) -> int:
        """What is reserved now."""
        return 0 if self.closed else self.remaining_minor

    @property
    def given_back_minor(self) -> int:
        """What reversals have given back of what was not captured."""
        rest = max(self.approved_minor - self.captured_minor, 0)
        return rest if VOID in self.flags else min(self.reversed_minor, rest)

    @property
    def state(self) -> State:
        """What people call this set of events."""
        if self.captured_minor > 0 and self.held_minor == 0:
            return State.CAPTURED
        if DECLINED in self.flags:
            return State.DECLINED
        if EXPIRED in self.flags:
            return State.EXPIRED
        if VOID in self.flags:
            return State.REVERSED
        if self.reversed_minor > 0 and self.held_minor == 0:
            return State.REVERSED
        if APPROVED in self.flags and self.approved_minor == 0:
            return State.VERIFIED
        return State.PENDING
