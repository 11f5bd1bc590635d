"""Makes payments: their first version, and the next one of a series. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from payments.autopay import Autopay
from payments.calendar import day_of, due_ms, next_date
from payments.payment import Basis, Cause, Interval, Payment, Source, State, Step
from runtime import ids


def requested(
    *,
    payment_id: str,
    account_id: str,
    source: Source,
    funding_source_id: str,
    basis: Basis,
    amount_minor: int | None,
    currency_code: str,
    time_zone: str,
    now_ms: int,
) -> Payment:
    """A payment that begins at once."""
    return Payment(
        id=payment_id,
        account_id=account_id,
        state=State.PENDING,
        step=Step.CHARGE,
        source=source,
        funding_source_id=funding_source_id,
        basis=basis,
        amount_minor=amount_minor,
        currency_code=currency_code,
        cause=Cause.REQUEST,
        time_zone=time_zone,
        due_ms=now_ms,
        create_ms=now_ms,
        update_ms=now_ms,
    )


def scheduled(now: Payment, *, day: date, interval: Interval, end: date | None) -> Payment:
    """A payment, made like one that begins at once, that begins on a day."""
    repeats = interval is not Interval.ONCE
    return replace(
        now,
        state=State.SCHEDULED,
        step=Step.BEGIN,
        cause=Cause.SCHEDULE,
        scheduled_date=day,
        interval=interval,
        end_date=end,
        series_id=now.id if repeats else "",
        series_date=day if repeats else None,
        due_ms=due_ms(day, now.time_zone),
    )


def following(payment: Payment, *, now_ms: int) -> Payment | None:
    """The next one of a series, on its first date after today; None if there is none. Dates that
    have passed while nobody was there are not made up for: the one that came late has paid.
    """
    if not payment.repeats:
        return None
    assert payment.series_date is not None, "series have a first date"
    assert payment.scheduled_date is not None, "what repeats has a date"
    day = next_date(
        payment.series_date,
        payment.interval,
        after=max(payment.scheduled_date, day_of(now_ms, payment.time_zone)),
        end=payment.end_date,
    )
    if day is None:
        return None
    tag = ids.tag_of(payment.account_id)
    return replace(
        payment,
        id=ids.derived(ids.PAYMENT, tag, payment.series_id, str(day)),
        state=State.SCHEDULED,
        step=Step.BEGIN,
        amount_minor=payment.amount_minor if payment.basis is Basis.FIXED else None,
        scheduled_date=day,
        reason="",
        processor_reference="",
        charge_ms=None,
        due_ms=due_ms(day, payment.time_zone),
        version=1,
        create_ms=now_ms,
        update_ms=now_ms,
    )


def of_statement(
    autopay: Autopay, number: int, *, source: Source, time_zone: str, now_ms: int
) -> Payment:
    """What autopay pays for a statement: one payment, whoever makes it and however often."""
    tag = ids.tag_of(autopay.account_id)
    return Payment(
        id=ids.derived(ids.PAYMENT, tag, autopay.account_id, "autopay", str(number)),
        account_id=autopay.account_id,
        state=State.SCHEDULED,
        step=Step.BEGIN,
        source=source,
        funding_source_id=autopay.funding_source_id,
        basis=autopay.basis,
        amount_minor=autopay.amount_minor,
        currency_code=autopay.currency_code,
        cause=Cause.AUTOPAY,
        time_zone=time_zone,
        scheduled_date=day_of(now_ms, time_zone),
        due_ms=now_ms,
        create_ms=now_ms,
        update_ms=now_ms,
    )


def transferred(
    *,
    payment_id: str,
    account_id: str,
    source: Source,
    bank_reference: str,
    amount_minor: int,
    currency_code: str,
    time_zone: str,
    receive_ms: int,
    now_ms: int,
) -> Payment:
    """A transfer that a bank has told of: its money is there."""
    return Payment(
        id=payment_id,
        account_id=account_id,
        state=State.PROCESSING,
        step=Step.CREDIT,
        source=source,
        funding_source_id="",
        basis=Basis.FIXED,
        amount_minor=amount_minor,
        currency_code=currency_code,
        cause=Cause.TRANSFER,
        time_zone=time_zone,
        bank_reference=bank_reference,
        receive_ms=receive_ms,
        due_ms=now_ms,
        create_ms=now_ms,
        update_ms=now_ms,
    )
