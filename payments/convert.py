"""Between the wire and the domain: checks requests field by field, makes answers and errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from holdfast.payments.v1 import (
    back_office_service_pb2,
    funding_source_pb2,
    funding_source_service_pb2,
    payment_pb2,
    payment_service_pb2,
)
from holdfast.type.v1.money_pb2 import Money
from payments.autopay import DAYS_BEFORE_DUE_MAX, Autopay
from payments.funding import DEPOSIT_MINOR_MAX, DEPOSITS, NAMED, FundingSource
from payments.payment import (
    HOLD_DAYS_MAX,
    TRANSFERS,
    Basis,
    Interval,
    Payment,
    Source,
    WrongState,
)
from runtime import ids
from runtime.errors import FailedPrecondition, InvalidArgument, NotFound, Violation
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, milliseconds, timestamp

#: How long ago a transfer may have arrived.
TRANSFER_AGE_MS = 90 * 86_400_000
BANK_REFERENCE_LENGTH = 64
TOKEN_LENGTH = 128

_REASON = re.compile(r"[A-Z0-9_]{1,64}")
_BASES = {
    payment_pb2.PAYMENT_BASIS_UNSPECIFIED: Basis.FIXED,
    payment_pb2.PAYMENT_BASIS_CURRENT_BALANCE: Basis.CURRENT_BALANCE,
    payment_pb2.PAYMENT_BASIS_STATEMENT_BALANCE: Basis.STATEMENT_BALANCE,
    payment_pb2.PAYMENT_BASIS_MINIMUM: Basis.MINIMUM,
}
_INTERVALS = {
    payment_pb2.PAYMENT_INTERVAL_UNSPECIFIED: Interval.ONCE,
    payment_pb2.PAYMENT_INTERVAL_WEEKLY: Interval.WEEKLY,
    payment_pb2.PAYMENT_INTERVAL_BIWEEKLY: Interval.BIWEEKLY,
    payment_pb2.PAYMENT_INTERVAL_MONTHLY: Interval.MONTHLY,
}
SOURCES = {payment_pb2.PaymentSource.Value(f"PAYMENT_SOURCE_{one.name}"): one for one in Source}
_BASIS_NUMBERS = {one: number for number, one in _BASES.items()}
_INTERVAL_NUMBERS = {one: number for number, one in _INTERVALS.items()}
SOURCE_NUMBERS = {one: number for number, one in SOURCES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be paid, and from what."""

    account_id: str
    #: Empty: the account's default.
    funding_source_id: str
    basis: Basis
    amount_minor: int | None
    #: Empty: the amount follows from what is owed.
    currency_code: str


def make_payment(
    request: payment_service_pb2.MakePaymentRequest, context: Any
) -> tuple[RequestKey, Wanted]:
    """Checks MakePaymentRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    wanted = _wanted(request, violations)
    violations.raise_if_any()
    return key, wanted


def schedule_payment(
    request: payment_service_pb2.SchedulePaymentRequest, context: Any
) -> tuple[RequestKey, Wanted, date, Interval, date | None]:
    """Checks SchedulePaymentRequest; whether its date has passed depends on the account."""
    violations = Violations()
    key = key_of(request, context, violations)
    wanted = _wanted(request, violations)
    day = date_of("date", request.date, violations)
    end = date_of("end_date", request.end_date, violations) if request.end_date else None
    violations.enum("interval", request.interval, _INTERVALS)
    if end is not None and day is not None:
        if not request.interval:
            violations.add("end_date", "goes with interval")
        elif end < day:
            violations.add("end_date", "must not be before date")
    violations.raise_if_any()
    assert day is not None, "checked above"
    return key, wanted, day, _INTERVALS[request.interval], end


def payment_key(request: Any, context: Any) -> tuple[RequestKey, str]:
    """Checks a request about one payment that changes it."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("payment_id", request.payment_id, ids.PAYMENT)
    violations.raise_if_any()
    return key, request.payment_id


def return_payment(
    request: back_office_service_pb2.ReturnPaymentRequest, context: Any
) -> tuple[RequestKey, str, str]:
    """Checks ReturnPaymentRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("payment_id", request.payment_id, ids.PAYMENT)
    if not is_reason(request.reason):
        violations.add("reason", "is required: 1 to 64 characters of A-Z 0-9 _")
    violations.raise_if_any()
    return key, request.payment_id, request.reason


def check_bank_reference(value: str, violations: Violations) -> None:
    """A transfer is known by it, and credited once: what nobody sees makes no other one of it."""
    if not value.isprintable() or value != value.strip():
        violations.add("bank_reference", "must be printable, with no space at its ends")
    else:
        violations.text("bank_reference", value, limit=BANK_REFERENCE_LENGTH, required=True)


def record_transfer(
    request: back_office_service_pb2.RecordTransferRequest, context: Any, *, now_ms: int
) -> tuple[RequestKey, Source, int]:
    """Checks RecordTransferRequest; returns its source and when it arrived."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    source = SOURCES.get(request.source)
    if source not in TRANSFERS:
        violations.add("source", "must be WIRE or ZELLE")
    check_bank_reference(request.bank_reference, violations)
    violations.money("amount", request, minimum=1)
    violations.timestamp("receive_time", request)
    receive_ms = now_ms
    if request.HasField("receive_time"):
        receive_ms = milliseconds(request.receive_time)
        if not now_ms - TRANSFER_AGE_MS <= receive_ms <= now_ms:
            violations.add("receive_time", "must be within the last 90 days")
    violations.raise_if_any()
    assert source is not None, "checked above"
    return key, source, receive_ms


def set_hold_days(
    request: back_office_service_pb2.SetHoldDaysRequest, context: Any
) -> tuple[RequestKey, Source, int | None]:
    """Checks SetHoldDaysRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.enum("source", request.source, SOURCES, required=True)
    days = request.hold_days if request.HasField("hold_days") else None
    if days is not None and not 0 <= days <= HOLD_DAYS_MAX:
        violations.add("hold_days", f"must be 0 to {HOLD_DAYS_MAX}")
    violations.raise_if_any()
    return key, SOURCES[request.source], days


def add_deposit(request: back_office_service_pb2.AddDepositRequest, context: Any) -> RequestKey:
    """Checks AddDepositRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.money("amount", request, minimum=1)
    violations.raise_if_any()
    return key


def set_autopay(
    request: payment_service_pb2.SetAutopayRequest, context: Any
) -> tuple[RequestKey, Wanted | None]:
    """Checks SetAutopayRequest; None turns it off."""
    violations = Violations()
    key = key_of(request, context, violations)
    wanted = None
    if request.enabled:
        wanted = _wanted(request, violations)
        if not 0 <= request.days_before_due <= DAYS_BEFORE_DUE_MAX:
            violations.add("days_before_due", f"must be 0 to {DAYS_BEFORE_DUE_MAX}")
    else:
        violations.id("account_id", request.account_id, ids.ACCOUNT)
        for field in ("basis", "amount", "days_before_due", "funding_source_id"):
            if field in {descriptor.name for descriptor, _ in request.ListFields()}:
                violations.add(field, "must be empty unless enabled is true")
    violations.raise_if_any()
    return key, wanted


def add_funding_source(
    request: funding_source_service_pb2.AddFundingSourceRequest, context: Any
) -> tuple[RequestKey, Source]:
    """Checks AddFundingSourceRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    source = SOURCES.get(request.source)
    if source not in NAMED:
        violations.add("source", "must be STRIPE_CARD, ACH or IN_HOUSE")
    elif source is Source.IN_HOUSE:
        if request.processor_token:
            violations.add("processor_token", "must be empty for IN_HOUSE")
    else:
        violations.text(
            "processor_token", request.processor_token, limit=TOKEN_LENGTH, required=True
        )
    violations.raise_if_any()
    assert source is not None, "checked above"
    return key, source


def verify_funding_source(
    request: funding_source_service_pb2.VerifyFundingSourceRequest, context: Any
) -> tuple[RequestKey, str, list[int]]:
    """Checks VerifyFundingSourceRequest; returns the amounts in their order."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("funding_source_id", request.funding_source_id, ids.FUNDING_SOURCE)
    amounts = list(request.amounts_minor)
    if len(amounts) != DEPOSITS or not all(0 < one <= DEPOSIT_MINOR_MAX for one in amounts):
        violations.add("amounts_minor", f"must be {DEPOSITS} amounts, 1 to {DEPOSIT_MINOR_MAX}")
    violations.raise_if_any()
    return key, request.funding_source_id, sorted(amounts)


def funding_source_key(request: Any, context: Any) -> tuple[RequestKey, str]:
    """Checks a request about one funding source that changes it."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("funding_source_id", request.funding_source_id, ids.FUNDING_SOURCE)
    violations.raise_if_any()
    return key, request.funding_source_id


def is_reason(text: str) -> bool:
    """Whether it may be told as why something failed: 1 to 64 characters of A-Z 0-9 _."""
    return _REASON.fullmatch(text) is not None


def page(request: Any, *, listed: str) -> Page:
    """Checks a request for a page of what an account has."""
    violations = Violations()
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    found = page_of(
        request.page_size,
        request.page_token,
        scope=f"{listed}|{request.account_id}",
        violations=violations,
    )
    violations.raise_if_any()
    return found


def checked_id(field: str, value: str, prefix: str) -> str:
    """Checks the one field of a request that asks for something."""
    violations = Violations()
    violations.id(field, value, prefix)
    violations.raise_if_any()
    return value


def payment(one: Payment) -> payment_pb2.Payment:
    """The message that shows a payment."""
    shown = payment_pb2.Payment(
        id=one.id,
        account_id=one.account_id,
        state=payment_pb2.Payment.State.Value(f"STATE_{one.state}"),
        source=SOURCE_NUMBERS[one.source],
        funding_source_id=one.funding_source_id,
        basis=_BASIS_NUMBERS[one.basis],
        cause=payment_pb2.Payment.Cause.Value(f"CAUSE_{one.cause}"),
        scheduled_date=str(one.scheduled_date or ""),
        interval=_INTERVAL_NUMBERS[one.interval],
        end_date=str(one.end_date or ""),
        series_id=one.series_id,
        reason=one.reason,
        processor_reference=one.processor_reference or one.bank_reference,
        hold_days=one.hold_days,
        released=one.released,
        version=one.version,
        create_time=timestamp(one.create_ms),
        update_time=timestamp(one.update_ms),
    )
    if one.amount_minor is not None:
        shown.amount.CopyFrom(money(one.amount_minor, one.currency_code))
    if one.refunded_minor:
        shown.refunded_amount.CopyFrom(money(one.refunded_minor, one.currency_code))
    if one.receive_ms is not None:
        shown.receive_time.CopyFrom(timestamp(one.receive_ms))
    if one.release_ms is not None:
        shown.release_time.CopyFrom(timestamp(one.release_ms))
    return shown


def autopay(one: Autopay) -> payment_pb2.Autopay:
    """The message that shows what is paid by itself."""
    shown = payment_pb2.Autopay(
        account_id=one.account_id,
        enabled=one.enabled,
        basis=_BASIS_NUMBERS[one.basis],
        days_before_due=one.days_before_due,
        funding_source_id=one.funding_source_id,
        last_statement_number=one.last_number,
        version=one.version,
    )
    if one.amount_minor is not None:
        shown.amount.CopyFrom(money(one.amount_minor, one.currency_code))
    return shown


def funding_source(one: FundingSource) -> funding_source_pb2.FundingSource:
    """The message that shows a funding source."""
    return funding_source_pb2.FundingSource(
        id=one.id,
        account_id=one.account_id,
        source=SOURCE_NUMBERS[one.source],
        state=funding_source_pb2.FundingSource.State.Value(f"STATE_{one.state}"),
        is_default=one.is_default,
        display_name=one.display_name,
        version=one.version,
        create_time=timestamp(one.create_ms),
        update_time=timestamp(one.update_ms),
    )


def money(amount_minor: int, currency_code: str) -> Money:
    """An amount."""
    return Money(currency_code=currency_code, amount_minor=amount_minor)


def account_not_found(name: str) -> NotFound:
    """The error for an unknown account."""
    return NotFound("no such account", reason="ACCOUNT_NOT_FOUND", metadata={"account_id": name})


def payment_not_found(name: str) -> NotFound:
    """The error for an unknown payment."""
    return NotFound("no such payment", reason="PAYMENT_NOT_FOUND", metadata={"payment_id": name})


def funding_source_not_found(name: str) -> NotFound:
    """The error for an unknown funding source, and for one of another account."""
    return NotFound(
        "no such funding source",
        reason="FUNDING_SOURCE_NOT_FOUND",
        metadata={"funding_source_id": name},
    )


def wrong_state(error: WrongState) -> FailedPrecondition:
    """The error that says what a payment's state forbids."""
    found = error.payment
    return FailedPrecondition(
        f"the payment is {found.state}",
        reason="PAYMENT_STATE",
        metadata={"payment_id": found.id, "state": found.state},
    )


def other_currency(field: str, currency_code: str) -> InvalidArgument:
    """The error for an amount in another currency than the account's."""
    description = f"must be the account's currency, {currency_code}"
    return InvalidArgument.of([Violation(f"{field}.currency_code", description)])


def _wanted(request: Any, violations: Violations) -> Wanted:
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.id(
        "funding_source_id", request.funding_source_id, ids.FUNDING_SOURCE, required=False
    )
    violations.enum("basis", request.basis, _BASES)
    given = request.HasField("amount")
    if given and request.basis:
        violations.add("basis", "must be empty where amount is given")
    elif not given and not request.basis:
        violations.add("amount", "is required, or basis")
    violations.money("amount", request, minimum=1, required=False)
    return Wanted(
        account_id=request.account_id,
        funding_source_id=request.funding_source_id,
        basis=_BASES.get(request.basis, Basis.FIXED),
        amount_minor=request.amount.amount_minor if given else None,
        currency_code=request.amount.currency_code if given else "",
    )


def date_of(field: str, value: str, violations: Violations) -> date | None:
    """A date as the contract writes it; what is none is named."""
    try:
        found = date.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or str(found) != value:
        violations.add(field, "must be a date, YYYY-MM-DD" if value else "is required")
        return None
    return found
