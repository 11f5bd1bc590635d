"""Credit balances that are paid back, and the steps of it. No I/O, no clock, no grpc.

A refund gives back one payment, or a part of it, the way it came. The balance is debited first, by
the authorizer, which takes no more than there is; only then is the money sent, once. What surely
did not go out, or came back, is put back to the balance.

    PENDING/DEBIT → PROCESSING/SEND (or CONFIRM: staff sends it) → SUCCEEDED
    FAILED: before the debit at once, after it through PROCESSING/PUT_BACK
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from payments.payment import CHARGE_AGAIN_MS, TRANSFERS, Payment, Source, State

#: 12 CFR 1026.11(a)(2): within seven business days from a written request.
BUSINESS_DAYS = 7
_SATURDAY = 5
#: Payments that one request may give back.
PARTS_MAX = 20
#: Why a refund failed, where no processor says it.
NO_CREDIT = "CREDIT_BALANCE_GONE"
WENT_BACK = "PAYMENT_RETURNED"
NO_ANSWER = "PROCESSOR_NO_ANSWER"


class RefundState(StrEnum):
    """Where a refund stands; the names are the contract's."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class RefundStep(StrEnum):
    """What is to be done next."""

    #: Take it from the balance.
    DEBIT = "DEBIT"
    #: Ask the processor to give it back, or what has become of that.
    SEND = "SEND"
    #: Wait for staff, who sends it by bank.
    CONFIRM = "CONFIRM"
    #: Give it to the balance again.
    PUT_BACK = "PUT_BACK"
    #: Nothing.
    NONE = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund at one version."""

    id: str
    account_id: str
    #: What is given back, wholly or in part.
    payment_id: str
    source: Source
    state: RefundState = RefundState.PENDING
    step: RefundStep = RefundStep.DEBIT
    amount_minor: int
    currency_code: str
    #: By when the law wants it sent.
    send_by: date
    reason: str = ""
    #: What the processor, or the bank, calls it.
    reference: str = ""
    #: True once the balance was debited.
    debited: bool = False
    #: When the processor was asked for the first time.
    ask_ms: int | None = None
    #: None: there is nothing to do.
    due_ms: int | None
    version: int = 1
    create_ms: int
    update_ms: int

    @property
    def create_time_ms(self) -> int:
        """When it was made, for pages."""
        return self.create_ms


class WrongRefundState(Exception):
    """A refund's state forbids what was asked for."""

    def __init__(self, refund: Refund) -> None:
        super().__init__(refund.state)
        self.refund = refund


def send_by(day: date) -> date:
    """The last day on which what was asked for on a day is in time. Holidays are no business days
    either: without them it is early rather than late.
    """
    left = BUSINESS_DAYS
    while left:
        day += timedelta(days=1)
        left -= day.weekday() < _SATURDAY
    return day


def may_be_refunded(payment: Payment) -> bool:
    """Whether a payment can be given back at all: its money has come, and is here to stay."""
    return payment.state is State.SUCCEEDED and payment.released and not payment.returning


def spread(amount_minor: int, left: Sequence[tuple[Payment, int]]) -> list[tuple[Payment, int]]:
    """An amount over payments and what is left of them, in their order: all of one, then the next.
    What they do not cover is not in it.
    """
    found: list[tuple[Payment, int]] = []
    for payment, left_minor in left:
        part_minor = min(amount_minor, left_minor)
        if part_minor <= 0:
            continue
        found.append((payment, part_minor))
        amount_minor -= part_minor
    return found


def requested(
    payment: Payment, amount_minor: int, *, refund_id: str, day: date, now_ms: int
) -> Refund:
    """A refund of a payment, or of a part of it, that was asked for on a day of the account."""
    return Refund(
        id=refund_id,
        account_id=payment.account_id,
        payment_id=payment.id,
        source=payment.source,
        amount_minor=amount_minor,
        currency_code=payment.currency_code,
        send_by=send_by(day),
        due_ms=now_ms,
        create_ms=now_ms,
        update_ms=now_ms,
    )


def debited(refund: Refund, *, now_ms: int) -> Refund:
    """A refund that the balance has been debited for."""
    _expect(refund, refund.step is RefundStep.DEBIT)
    by_bank = refund.source in TRANSFERS
    return _next(
        refund,
        now_ms,
        state=RefundState.PROCESSING,
        step=RefundStep.CONFIRM if by_bank else RefundStep.SEND,
        debited=True,
        due_ms=None if by_bank else now_ms,
    )


def refused(refund: Refund, *, now_ms: int) -> Refund:
    """A refund for which there is no credit any more."""
    _expect(refund, refund.step is RefundStep.DEBIT)
    return _ended(refund, RefundState.FAILED, now_ms, reason=NO_CREDIT)


def asking(refund: Refund, *, until_ms: int, now_ms: int) -> Refund:
    """A refund of which the processor is about to hear. If nobody has said by `until_ms` what came
    of it, somebody looks.
    """
    _expect(refund, refund.step is RefundStep.SEND and refund.ask_ms is None)
    return _next(refund, now_ms, ask_ms=now_ms, due_ms=until_ms)


def may_ask_again(refund: Refund, *, now_ms: int) -> bool:
    """Whether a processor that has never heard of a refund may be asked for it again."""
    assert refund.ask_ms is not None, "it was asked before"
    return now_ms - refund.ask_ms < CHARGE_AGAIN_MS


def waiting(refund: Refund, *, reference: str, again_ms: int, now_ms: int) -> Refund:
    """A refund that the processor has taken on; it is asked again at `again_ms`."""
    _expect(refund, refund.step is RefundStep.SEND)
    return _next(refund, now_ms, reference=reference or refund.reference, due_ms=again_ms)


def sent(refund: Refund, *, reference: str, now_ms: int) -> Refund:
    """A refund whose money is on its way to whoever has paid."""
    _expect(refund, refund.step in (RefundStep.SEND, RefundStep.CONFIRM))
    return _ended(refund, RefundState.SUCCEEDED, now_ms, reference=reference)


def turned_down(refund: Refund, *, reason: str, now_ms: int) -> Refund:
    """A refund whose money did not go out, or, once it was sent, came back."""
    under_way = refund.step in (RefundStep.SEND, RefundStep.CONFIRM)
    _expect(refund, under_way or refund.state is RefundState.SUCCEEDED)
    return _next(
        refund,
        now_ms,
        state=RefundState.PROCESSING,
        step=RefundStep.PUT_BACK,
        reason=reason,
        due_ms=now_ms,
    )


def put_back(refund: Refund, *, now_ms: int) -> Refund:
    """A refund that the balance has again."""
    _expect(refund, refund.step is RefundStep.PUT_BACK)
    return _ended(refund, RefundState.FAILED, now_ms)


def _ended(refund: Refund, state: RefundState, now_ms: int, **changes: object) -> Refund:
    return _next(refund, now_ms, state=state, step=RefundStep.NONE, due_ms=None, **changes)


def _expect(refund: Refund, condition: bool) -> None:
    if not condition:
        raise WrongRefundState(refund)


def _next(refund: Refund, now_ms: int, **changes: object) -> Refund:
    return replace(refund, **changes, version=refund.version + 1, update_ms=now_ms)  # type: ignore[arg-type]
