"""One payment and the steps of its life. No I/O, no clock, no grpc.

`state` is what people see; `step` is what is to be done next, and when (`due_ms`). Each step can be
done again after a crash: whoever it asks knows the payment by its id.

    SCHEDULED/BEGIN → PENDING/CHARGE → PROCESSING/CHARGE → PROCESSING/CREDIT → SUCCEEDED/RELEASE
    → SUCCEEDED; RETURNED through SUCCEEDED/TAKE_BACK; FAILED and CANCELED before any credit;
    REFUNDED once all of it was given back (refund.py), and RETURNED from there, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

HOLD_DAYS_MAX = 30
#: Why a payment went nowhere, where no processor says it.
NOTHING_OWED = "NOTHING_OWED"
ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
SOURCE_REMOVED = "FUNDING_SOURCE_REMOVED"
SOURCE_UNAVAILABLE = "SOURCE_NOT_AVAILABLE"
BY_CUSTOMER = "REQUESTED"
NO_ANSWER = "PROCESSOR_NO_ANSWER"
#: Processors know a repeated charge by its key for a day. What they surely have not heard of by
#: then is not asked for again.
CHARGE_AGAIN_MS = 23 * 3_600_000


class Source(StrEnum):
    """How money comes in; the names are the contract's."""

    STRIPE_CARD = "STRIPE_CARD"
    ACH = "ACH"
    WIRE = "WIRE"
    ZELLE = "ZELLE"
    IN_HOUSE = "IN_HOUSE"


#: Transfers that a bank tells of; nobody is asked for them.
TRANSFERS = (Source.WIRE, Source.ZELLE)


class State(StrEnum):
    """Where a payment stands; the names are the contract's."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    RETURNED = "RETURNED"
    REFUNDED = "REFUNDED"


class Step(StrEnum):
    """What is to be done next."""

    #: Find out how much, and whether at all.
    BEGIN = "BEGIN"
    #: Ask the processor for the money, or what has become of it.
    CHARGE = "CHARGE"
    #: Credit the balance.
    CREDIT = "CREDIT"
    #: Let it be spent again.
    RELEASE = "RELEASE"
    #: Take it back from the balance.
    TAKE_BACK = "TAKE_BACK"
    #: Nothing.
    NONE = "NONE"


class Basis(StrEnum):
    """What an amount follows from."""

    FIXED = "FIXED"
    CURRENT_BALANCE = "CURRENT_BALANCE"
    STATEMENT_BALANCE = "STATEMENT_BALANCE"
    MINIMUM = "MINIMUM"


class Cause(StrEnum):
    """What made a payment; the names are the contract's."""

    REQUEST = "REQUEST"
    SCHEDULE = "SCHEDULE"
    AUTOPAY = "AUTOPAY"
    TRANSFER = "TRANSFER"


class Interval(StrEnum):
    """How often a payment repeats; the names are the contract's."""

    ONCE = "ONCE"
    WEEKLY = "WEEKLY"
    BIWEEKLY = "BIWEEKLY"
    MONTHLY = "MONTHLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment at one version."""

    id: str
    account_id: str
    state: State
    step: Step
    source: Source
    #: Empty: a bank has told of it.
    funding_source_id: str
    basis: Basis
    #: None: not known before it begins.
    amount_minor: int | None
    currency_code: str
    cause: Cause
    time_zone: str
    scheduled_date: date | None = None
    interval: Interval = Interval.ONCE
    end_date: date | None = None
    #: The first of the series and its date; the others count from it. Empty: it does not repeat.
    series_id: str = ""
    series_date: date | None = None
    reason: str = ""
    processor_reference: str = ""
    #: Of a transfer: what the bank calls it.
    bank_reference: str = ""
    hold_days: int = 0
    receive_ms: int | None = None
    release_ms: int | None = None
    released: bool = False
    #: The money went back before the step that would have to know was done.
    returning: bool = False
    #: When the processor was asked for the first time.
    charge_ms: int | None = None
    #: What of it was given back on request.
    refunded_minor: int = 0
    #: None: there is nothing to do.
    due_ms: int | None
    version: int = 1
    create_ms: int
    update_ms: int

    @property
    def create_time_ms(self) -> int:
        """When it was made, for pages."""
        return self.create_ms

    @property
    def repeats(self) -> bool:
        """Whether another one follows."""
        return self.interval is not Interval.ONCE


class WrongState(Exception):
    """A payment's state forbids what was asked for."""

    def __init__(self, payment: Payment) -> None:
        super().__init__(payment.state)
        self.payment = payment


def begun(payment: Payment, *, amount_minor: int, now_ms: int) -> Payment:
    """A scheduled payment whose time has come."""
    _expect(payment, payment.step is Step.BEGIN)
    assert amount_minor > 0, "nothing is paid with nothing"
    return _next(
        payment,
        now_ms,
        state=State.PENDING,
        step=Step.CHARGE,
        amount_minor=amount_minor,
        due_ms=now_ms,
    )


def dropped(payment: Payment, *, reason: str, failed: bool, now_ms: int) -> Payment:
    """A payment that ends before anybody was asked for money."""
    _expect(payment, payment.state in (State.SCHEDULED, State.PENDING))
    state = State.FAILED if failed else State.CANCELED
    return _next(payment, now_ms, state=state, step=Step.NONE, reason=reason, due_ms=None)


def asking(payment: Payment, *, until_ms: int, now_ms: int) -> Payment:
    """A payment of which the processor is about to hear: from now on it cannot be canceled. If
    nobody has said by `until_ms` what came of it, somebody looks.
    """
    _expect(payment, payment.state is State.PENDING)
    return _next(payment, now_ms, state=State.PROCESSING, charge_ms=now_ms, due_ms=until_ms)


def may_charge_again(payment: Payment, *, now_ms: int) -> bool:
    """Whether a processor that has never heard of a payment may be asked for the money again."""
    assert payment.charge_ms is not None, "it was asked before"
    return now_ms - payment.charge_ms < CHARGE_AGAIN_MS


def waiting(payment: Payment, *, reference: str, again_ms: int, now_ms: int) -> Payment:
    """A payment that the processor has taken on; it is asked again at `again_ms`."""
    _expect(payment, _is_asked(payment))
    return _next(
        payment,
        now_ms,
        processor_reference=reference or payment.processor_reference,
        due_ms=again_ms,
    )


def charged(payment: Payment, *, reference: str, receive_ms: int, now_ms: int) -> Payment:
    """A payment whose money has come."""
    _expect(payment, _is_asked(payment))
    return _next(
        payment,
        now_ms,
        step=Step.CREDIT,
        processor_reference=reference,
        receive_ms=receive_ms,
        due_ms=now_ms,
    )


def failed(payment: Payment, *, reference: str, reason: str, now_ms: int) -> Payment:
    """A payment whose money will not come."""
    _expect(payment, _is_asked(payment))
    return _next(
        payment,
        now_ms,
        state=State.FAILED,
        step=Step.NONE,
        processor_reference=reference or payment.processor_reference,
        reason=reason,
        due_ms=None,
    )


def credited(payment: Payment, *, hold_days: int, release_ms: int, now_ms: int) -> Payment:
    """A payment that has lowered the balance: it is held, or, if its money went back meanwhile,
    taken back.
    """
    _expect(payment, payment.step is Step.CREDIT)
    assert 0 <= hold_days <= HOLD_DAYS_MAX, "checked where it is set"
    return _next(
        payment,
        now_ms,
        state=State.SUCCEEDED,
        step=Step.TAKE_BACK if payment.returning else Step.RELEASE,
        hold_days=hold_days,
        release_ms=release_ms,
        due_ms=now_ms if payment.returning else max(release_ms, now_ms),
    )


def hurried(payment: Payment, *, now_ms: int) -> Payment:
    """A payment that is to be released at once."""
    _expect(payment, payment.step is Step.RELEASE)
    return _next(payment, now_ms, release_ms=now_ms, due_ms=now_ms)


def released(payment: Payment, *, now_ms: int) -> Payment:
    """A payment that may be spent again."""
    _expect(payment, payment.step is Step.RELEASE)
    return _next(payment, now_ms, step=Step.NONE, released=True, due_ms=None)


def went_back(payment: Payment, *, reason: str, now_ms: int) -> Payment:
    """A payment whose money went back. What was credited is taken back; what is about to be
    credited will be, first: the ledger has both.
    """
    _expect(payment, _has_brought_money(payment) and not payment.returning)
    if payment.step is Step.CREDIT:
        return _next(payment, now_ms, returning=True, reason=reason, due_ms=now_ms)
    return _next(payment, now_ms, step=Step.TAKE_BACK, returning=True, reason=reason, due_ms=now_ms)


def taken_back(payment: Payment, *, now_ms: int) -> Payment:
    """A payment that the ledger has taken back."""
    _expect(payment, payment.step is Step.TAKE_BACK)
    return _next(payment, now_ms, state=State.RETURNED, step=Step.NONE, due_ms=None)


def refunded(payment: Payment, amount_minor: int, *, now_ms: int) -> Payment:
    """A payment of which more was given back; or less, if that came back. One that was returned
    meanwhile stays so: it says both.
    """
    _expect(payment, payment.state in (State.SUCCEEDED, State.REFUNDED, State.RETURNED))
    given_minor = payment.refunded_minor + amount_minor
    assert payment.amount_minor is not None, "it came"
    assert 0 <= given_minor <= payment.amount_minor, "no more is given back than came"
    state = payment.state
    if state is not State.RETURNED:
        state = State.REFUNDED if given_minor == payment.amount_minor else State.SUCCEEDED
    return _next(payment, now_ms, state=state, refunded_minor=given_minor)


def canceled(payment: Payment, *, now_ms: int) -> Payment:
    """A payment that its payer calls off in time."""
    return dropped(payment, reason=BY_CUSTOMER, failed=False, now_ms=now_ms)


def _has_brought_money(payment: Payment) -> bool:
    return payment.step is Step.CREDIT or payment.state in (State.SUCCEEDED, State.REFUNDED)


def _is_asked(payment: Payment) -> bool:
    return payment.state is State.PROCESSING and payment.step is Step.CHARGE


def _expect(payment: Payment, condition: bool) -> None:
    if not condition:
        raise WrongState(payment)


def _next(payment: Payment, now_ms: int, **changes: object) -> Payment:
    return replace(payment, **changes, version=payment.version + 1, update_ms=now_ms)  # type: ignore[arg-type]
