"""Rows of PostgreSQL to records of the domain, and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from payments.autopay import Autopay
from payments.funding import FundingSource, FundingState
from payments.payment import Basis, Cause, Interval, Payment, Source, State, Step
from runtime.clock import datetime_of, ms_of


def payment(row: Any) -> Payment:
    """A payment."""
    return Payment(
        id=row["id"],
        account_id=row["account_id"],
        state=State(row["state"]),
        step=Step(row["step"]),
        source=Source(row["source"]),
        funding_source_id=row["funding_source_id"] or "",
        basis=Basis(row["basis"]),
        amount_minor=row["amount_minor"],
        currency_code=row["currency_code"],
        cause=Cause(row["cause"]),
        time_zone=row["time_zone"],
        scheduled_date=row["scheduled_date"],
        interval=Interval(row["repeats"]),
        end_date=row["end_date"],
        series_id=row["series_id"],
        series_date=row["series_date"],
        reason=row["reason"],
        processor_reference=row["processor_reference"],
        bank_reference=row["bank_reference"],
        hold_days=row["hold_days"],
        receive_ms=ms(row["receive_time"]),
        release_ms=ms(row["release_time"]),
        released=row["released"],
        returning=row["going_back"],
        refunded_minor=row["refunded_minor"],
        charge_ms=ms(row["charge_time"]),
        due_ms=ms(row["due_time"]),
        version=row["version"],
        create_ms=ms_of(row["create_time"]),
        update_ms=ms_of(row["update_time"]),
    )


def payment_values(one: Payment) -> tuple[Any, ...]:
    """The parameters of `insert_payment`."""
    return (
        one.id,
        one.account_id,
        one.state,
        one.step,
        one.source,
        one.funding_source_id or None,
        one.basis,
        one.amount_minor,
        one.currency_code,
        one.cause,
        one.time_zone,
        one.scheduled_date,
        one.interval,
        one.end_date,
        one.series_id,
        one.series_date,
        one.reason,
        one.processor_reference,
        one.bank_reference,
        one.hold_days,
        instant(one.receive_ms),
        instant(one.release_ms),
        one.released,
        one.returning,
        instant(one.charge_ms),
        instant(one.due_ms),
        one.version,
        datetime_of(one.create_ms),
        datetime_of(one.update_ms),
    )


def payment_changes(one: Payment) -> tuple[Any, ...]:
    """The parameters of `update_payment`."""
    return (
        one.id,
        one.version,
        one.state,
        one.step,
        one.amount_minor,
        one.reason,
        one.processor_reference,
        one.hold_days,
        instant(one.receive_ms),
        instant(one.release_ms),
        one.released,
        one.returning,
        instant(one.charge_ms),
        instant(one.due_ms),
        datetime_of(one.update_ms),
        one.refunded_minor,
    )


def funding_source(row: Any) -> FundingSource:
    """A funding source."""
    return FundingSource(
        id=row["id"],
        account_id=row["account_id"],
        source=Source(row["source"]),
        state=FundingState(row["state"]),
        is_default=row["is_default"],
        display_name=row["display_name"],
        token=row["token"],
        customer=row["customer"],
        verification=row["verification"],
        attempts=row["attempts"],
        version=row["version"],
        create_ms=ms_of(row["create_time"]),
        update_ms=ms_of(row["update_time"]),
    )


def funding_source_values(one: FundingSource) -> tuple[Any, ...]:
    """The parameters of `insert_source`."""
    return (
        one.id,
        one.account_id,
        one.source,
        one.state,
        one.is_default,
        one.display_name,
        one.token,
        one.customer,
        one.verification,
        one.attempts,
        one.version,
        datetime_of(one.create_ms),
        datetime_of(one.update_ms),
    )


def autopay(row: Any) -> Autopay:
    """What is paid by itself."""
    return Autopay(
        account_id=row["account_id"],
        enabled=row["enabled"],
        basis=Basis(row["basis"]),
        amount_minor=row["amount_minor"],
        currency_code=row["currency_code"],
        days_before_due=row["days_before_due"],
        funding_source_id=row["funding_source_id"] or "",
        last_number=row["last_number"],
        due_ms=ms(row["due_time"]),
        version=row["version"],
    )


def autopay_values(one: Autopay) -> tuple[Any, ...]:
    """The parameters of `set_autopay`."""
    return (
        one.account_id,
        one.enabled,
        one.basis,
        one.amount_minor,
        one.currency_code,
        one.days_before_due,
        one.funding_source_id or None,
        one.last_number,
        instant(one.due_ms),
        one.version,
    )


def ms(value: datetime | None) -> int | None:
    """An instant, or none, as milliseconds."""
    return None if value is None else ms_of(value)


def instant(value: int | None) -> datetime | None:
    """Milliseconds, or none, as an instant."""
    return None if value is None else datetime_of(value)
