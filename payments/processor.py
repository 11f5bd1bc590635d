"""Who brings the money: what every processor promises, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from payments.funding import FundingSource, Verdict
from payments.payment import Payment, Source
from payments.refund import Refund


class Result(StrEnum):
    """What has become of a charge."""

    #: The money is there.
    CAME = "CAME"
    #: It will not come.
    REFUSED = "REFUSED"
    #: The processor has a name for it, which is to be stored; it was not asked for the money yet.
    PREPARED = "PREPARED"
    #: The processor has taken it on, and will say.
    WAITING = "WAITING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A processor's answer about one payment, or one refund."""

    result: Result
    #: What the processor calls it.
    reference: str = ""
    #: Why it was refused, UPPER_SNAKE.
    reason: str = ""
    #: When the money came; None: now.
    receive_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A means of payment that a processor has taken on."""

    customer: str
    display_name: str
    #: What the processor calls the verification that has to come first; empty: none has to.
    verification: str = ""


class SourceRefused(Exception):
    """The processor does not take a means of payment; its text says why, UPPER_SNAKE."""


class OutcomeUnknown(Exception):
    """The processor gave no answer, or none that says what it did: look it up, then ask again."""


class Connector(Protocol):
    """Takes on means of payment, by what the processor's own form has made of their numbers."""

    async def connect(self, account_id: str, source: Source, token: str) -> Connected:
        """Keeps it for payments to come. Raises SourceRefused and OutcomeUnknown."""
        ...

    async def verify(self, source: FundingSource, amounts_minor: Sequence[int]) -> Verdict:
        """Says whether these were deposited on it. Raises OutcomeUnknown."""
        ...

    async def forget(self, source: FundingSource) -> None:
        """Takes it, and its customer, off what the processor keeps; nothing, where that is done.
        What was charged may be given back all the same. Raises OutcomeUnknown.
        """
        ...


class Processor(Protocol):
    """Charges payments, each once, whatever fails."""

    async def charge(self, payment: Payment, source: FundingSource) -> Outcome:
        """Asks for the money. The payment's id makes a repetition the same charge. Raises
        OutcomeUnknown.
        """
        ...

    async def find(self, payment: Payment, source: FundingSource) -> Outcome | None:
        """What has become of a payment; None: the processor has surely never heard of it. Raises
        OutcomeUnknown.
        """
        ...

    async def refund(self, refund: Refund, payment: Payment) -> Outcome:
        """Gives a payment back, or a part of it, the way it came. The refund's id makes a
        repetition the same refund. Raises OutcomeUnknown.
        """
        ...

    async def find_refund(self, refund: Refund, payment: Payment) -> Outcome | None:
        """What has become of a refund, as `find`."""
        ...
