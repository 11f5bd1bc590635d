"""What a change of a payment means to those who are told. No I/O, no clock, no grpc.

What it does to balances (credited, released, returned) is told from the ledger.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from payments.autopay import Autopay
from payments.payment import Payment, State
from payments.refund import Refund, RefundState
from runtime.events.catalogue import Event, is_text, money

#: What is said where a processor gave a reason that cannot be told.
UNKNOWN = "UNKNOWN"
_NAMES = {
    State.SCHEDULED: "payment.scheduled",
    State.PROCESSING: "payment.processing",
    State.SUCCEEDED: "payment.succeeded",
    State.FAILED: "payment.failed",
    State.CANCELED: "payment.canceled",
}


def of_payment(before: State | None, after: Payment) -> list[Event]:
    """What happened between two versions; nothing if the state is the same."""
    name = _NAMES.get(after.state)
    # What was given back and came back has succeeded before.
    if name is None or before in (after.state, State.REFUNDED):
        return []
    data: dict[str, Any] = {
        "payment_id": after.id,
        "source": str(after.source),
        "cause": str(after.cause),
    }
    if after.amount_minor is not None:
        data["amount"] = money(after.amount_minor, after.currency_code)
    if after.state is State.SCHEDULED:
        data |= {"basis": str(after.basis), "scheduled_date": str(after.scheduled_date)}
    if after.state is State.SUCCEEDED:
        assert after.release_ms is not None, "what has succeeded is released some day"
        data["release_time"] = _instant(after.release_ms)
    if after.state in (State.FAILED, State.CANCELED):
        data["reason"] = after.reason if is_text(after.reason) else UNKNOWN
    return [Event(type=name, time_ms=after.update_ms, account_id=after.account_id, data=data)]


def of_refund(after: Refund, payment: Payment | None) -> list[Event]:
    """What a refund has become; `payment`: as it is then, if that has changed."""
    data: dict[str, Any] = {
        "refund_id": after.id,
        "payment_id": after.payment_id,
        "source": str(after.source),
        "amount": money(after.amount_minor, after.currency_code),
    }
    if after.state is RefundState.SUCCEEDED:
        assert payment is not None, "it says how much of it was given back"
        data["refunded_amount"] = money(payment.refunded_minor, payment.currency_code)
        name = "payment.refunded"
    elif after.state is RefundState.FAILED:
        data["reason"] = after.reason if is_text(after.reason) else UNKNOWN
        name = "payment.refund_failed"
    else:
        return []
    return [Event(type=name, time_ms=after.update_ms, account_id=after.account_id, data=data)]


def of_autopay(before: Autopay, after: Autopay, *, now_ms: int) -> list[Event]:
    """What happened to what is paid by itself; nothing if it is paid as before."""
    if _said(before) == _said(after):
        return []
    data: dict[str, Any] = {}
    if after.enabled:
        data = {
            "basis": str(after.basis),
            "days_before_due": after.days_before_due,
            "funding_source_id": after.funding_source_id,
        }
        if after.amount_minor is not None:
            data["amount"] = money(after.amount_minor, after.currency_code)
    name = "payment.autopay_set" if after.enabled else "payment.autopay_off"
    return [Event(type=name, time_ms=now_ms, account_id=after.account_id, data=data)]


def _said(autopay: Autopay) -> Autopay:
    """What counts of it: what is off is off, whatever it was."""
    if not autopay.enabled:
        return Autopay(account_id=autopay.account_id, enabled=False)
    return replace(autopay, last_number=0, due_ms=None, version=0)


def _instant(value_ms: int) -> str:
    instant = datetime.fromtimestamp(value_ms / 1000, UTC)
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
