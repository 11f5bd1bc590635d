"""What a script did, as the one line that is stored, journaled and answered.

The scripts write it, in this order, separated by `|`; the settler and the wire read it. One line
for all three means that a replay cannot differ from the first answer.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from operator import call
from typing import Any, NamedTuple

from authz.hold import Hold

#: First field of every line. A reader refuses versions it does not know.
VERSION = "2"


class EntryType(StrEnum):
    """Type of a journal entry, one letter."""

    ACCOUNT_APPLIED = "L"
    CARD_APPLIED = "K"
    ACCOUNT_USER_APPLIED = "U"
    RULES_APPLIED = "S"
    AUTHORIZATION = "A"
    DECLINE = "D"
    CAPTURE = "C"
    REVERSAL = "R"
    INCREMENT = "I"
    INCREMENT_DECLINE = "J"
    EXPIRY = "E"
    ADVICE = "V"
    FINANCIAL = "F"
    FORCE_POST = "P"
    REFUND = "N"
    REFUND_REVERSAL = "O"
    PAYMENT_CREDIT = "Y"
    PAYMENT_RELEASE = "Z"
    PAYMENT_RETURN = "W"
    PAYMENT_RETURN_RELEASED = "X"
    PAYMENT_REFUND = "f"
    PAYMENT_REFUND_REVERSAL = "g"
    FEE = "B"
    INTEREST = "T"
    ADJUSTMENT_DEBIT = "M"
    ADJUSTMENT_CREDIT = "Q"
    CHARGE_OFF = "b"
    RECOVERY = "r"
    PROVISIONAL_CREDIT = "G"
    PROVISIONAL_CREDIT_REVERSAL = "H"
    DISPUTE_CLAIM = "c"
    DISPUTE_LOSS = "l"


#: Entries that decide (or book) an authorization.
DECISIONS = frozenset(
    {EntryType.AUTHORIZATION, EntryType.DECLINE, EntryType.FINANCIAL, EntryType.ADVICE}
)
APPROVALS = DECISIONS - {EntryType.DECLINE} | {EntryType.INCREMENT}
DECLINES = frozenset({EntryType.DECLINE, EntryType.INCREMENT_DECLINE})


class Outcome(NamedTuple):
    """Result of one movement; amounts in minor units of the account's currency."""

    epoch: int
    pseq: int
    seq: int
    type: EntryType
    recorded_at_ms: int
    authorization_id: str
    reason: int
    amount_minor: int
    limit_minor: int
    posted_minor: int
    held_minor: int
    unreleased_minor: int
    hold_approved_minor: int
    hold_reversed_minor: int
    hold_captured_minor: int
    hold_held_minor: int
    hold_refunded_minor: int
    hold_flags: str
    expire_at_ms: int
    authorization_code: str
    #: The control that declined, whose it is and its name, and what it would still allow; -1: it
    #: does not limit that.
    control: str = ""
    control_left_minor: int = -1
    control_left_count: int = -1
    #: Where the hold counts: `name,slot,amount,count;...`, newest last.
    hold_windows: str = ""

    @property
    def available_minor(self) -> int:
        """Available credit after the movement: limit - posted - held - unreleased."""
        return self.limit_minor - self.posted_minor - self.held_minor - self.unreleased_minor

    @property
    def hold(self) -> Hold:
        """The hold after the movement."""
        return Hold(
            approved_minor=self.hold_approved_minor,
            reversed_minor=self.hold_reversed_minor,
            captured_minor=self.hold_captured_minor,
            refunded_minor=self.hold_refunded_minor,
            flags=self.hold_flags,
        )


FIELDS = Outcome._fields
_TEXT = frozenset(
    {
        "authorization_id",
        "hold_flags",
        "authorization_code",
        "control",
        "hold_windows",
    }
)


_TYPES = {str(one): one for one in EntryType}
_READERS: tuple[Callable[[str], Any], ...] = tuple(
    _TYPES.__getitem__ if name == "type" else str if name in _TEXT else int for name in FIELDS
)


def parse(line: str) -> Outcome:
    """Reads a line; one of another version or length is an error, never a guess."""
    version, *values = line.split("|")
    if version != VERSION or len(values) != len(FIELDS):
        raise ValueError(f"not an outcome of version {VERSION}: {line[:80]!r}")
    try:
        return Outcome._make(map(call, _READERS, values))
    except KeyError as error:
        raise ValueError(f"not a type of entry: {error}") from None


def render(outcome: Outcome) -> str:
    """The line of an outcome; `parse` reads it back. The ledger rebuilds old answers with it."""
    return "|".join((VERSION, *map(str, outcome)))
