"""Types of events about payments. No I/O, no clock, no grpc."""

from __future__ import annotations

from runtime.events.event_type import EventType, types

_MOVED = ("entry_id", "amount", "available_credit")

PAYMENTS: tuple[EventType, ...] = (
    *types(
        "payment",
        ("payment_id", *_MOVED),
        {
            "credited": "A payment lowers what is owed.",
            "released": "A payment raises what may be spent.",
            "returned": "A payment was taken back: what it paid is owed again.",
        },
        optional=("related_entry_id",),
    ),
    EventType(
        name="payment.scheduled",
        meaning="A payment waits for its day; without an amount, what is owed then decides.",
        fields=("payment_id", "source", "cause", "basis", "scheduled_date"),
        optional=("amount",),
    ),
    EventType(
        name="payment.processing",
        meaning="Its money is on its way; it cannot be canceled any more.",
        fields=("payment_id", "source", "cause", "amount"),
    ),
    EventType(
        name="payment.succeeded",
        meaning="A payment has lowered what is owed; when it is released, it may be spent.",
        fields=("payment_id", "source", "cause", "amount", "release_time"),
    ),
    *types(
        "payment",
        ("payment_id", "source", "cause", "reason"),
        {
            "failed": "No money came.",
            "canceled": "It was called off before anybody was asked for money.",
        },
        optional=("amount",),
    ),
    EventType(
        name="payment.refunded",
        meaning="Credit was paid back the way that a payment came: its money is on its way.",
        fields=("refund_id", "payment_id", "source", "amount", "refunded_amount"),
    ),
    EventType(
        name="payment.refund_failed",
        meaning="Credit was not paid back, or came back: the balance has it again.",
        fields=("refund_id", "payment_id", "source", "amount", "reason"),
    ),
    EventType(
        name="payment.autopay_set",
        meaning="Statements are paid by themselves from now on, or otherwise than before.",
        fields=("basis", "days_before_due", "funding_source_id"),
        optional=("amount",),
    ),
    EventType(
        name="payment.autopay_off",
        meaning="Statements are no longer paid by themselves.",
        fields=(),
    ),
)
