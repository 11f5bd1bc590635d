"""Fields of events' data: one name means the same in every type. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

_NOON = "2027-01-20T11:00:00Z"
_LONE = "2a0195a3f0c4d17e8b9c2d4e6f8a0b1c2d"


class Kind(StrEnum):
    """What a field holds."""

    ID = "id"
    TEXT = "text"
    NUMBER = "number"
    #: `{"amount_minor": 4250, "currency_code": "USD"}`; negative amounts are possible.
    MONEY = "money"
    #: RFC 3339 in UTC.
    TIME = "time"
    #: `2027-01-31`.
    DATE = "date"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of events' data."""

    kind: Kind
    meaning: str
    example: Any


def _id(prefix: str, meaning: str) -> Field:
    return Field(kind=Kind.ID, meaning=meaning, example=f"{prefix}_{_LONE}")


def _text(example: str, meaning: str) -> Field:
    return Field(kind=Kind.TEXT, meaning=meaning, example=example)


def _date(example: str, meaning: str) -> Field:
    return Field(kind=Kind.DATE, meaning=meaning, example=example)


def _number(example: int, meaning: str) -> Field:
    return Field(kind=Kind.NUMBER, meaning=meaning, example=example)


def _money(amount_minor: int, meaning: str) -> Field:
    example = {"amount_minor": amount_minor, "currency_code": "USD"}
    return Field(kind=Kind.MONEY, meaning=meaning, example=example)


#: One name means the same in every type.
FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "amount": _money(4_250, "Amount of what happened."),
        "anomaly_id": _id("anom", "What was found: `holdfast.stats.v1.Anomaly`."),
        "application_id": _id("app", "The application."),
        "attempt_count": _number(4, "Purchases, approved or declined."),
        "authorization_id": _id("auth", "The authorization."),
        "available_credit": _money(95_750, "What may be spent after it; may be negative."),
        "balance": _money(4_250, "What is owed."),
        "basis": _text("MINIMUM", "What its amount follows from: `PaymentBasis`, or `FIXED`."),
        "bucket": _text("DAYS_30", "How late: `holdfast.accounts.v1.DelinquencyBucket`."),
        "card_id": _id("card", "The card."),
        "category_code": _text("5812", "Category of the merchant (ISO 18245)."),
        "cause": _text("AUTOPAY", "What made it: `Payment.Cause`."),
        "charged_off": _money(30_000, "Charged off and not recovered yet."),
        "country_code": _text("USA", "Country of the merchant, as the network gave it."),
        "credit_limit": _money(100_000, "The credit limit."),
        "cycle_end_date": _date("2027-01-15", "Last day of the cycle."),
        "date": _date("2027-01-14", "The day, in the account's timezone."),
        "days_before_due": _number(3, "Days between a payment and the due date."),
        "days_past_due": _number(31, "Days since the oldest unpaid minimum was due."),
        "decided_count": _number(9, "Purchases that were asked for."),
        "decline_reason": _text("INSUFFICIENT_FUNDS", "Why: `holdfast.authz.v1.DeclineReason`."),
        "declined_count": _number(7, "Purchases that were declined."),
        "dispute_id": _id("disp", "The dispute."),
        "due_date": _date("2027-02-09", "Day by which is to be paid."),
        "end_date": Field(kind=Kind.DATE, meaning="Its last day.", example="2027-01-31"),
        "endpoint_id": _id("whe", "The webhook endpoint."),
        "entry_id": _id("ent", "Entry of the ledger."),
        "funding_source_id": _id("src", "Where the money comes from."),
        "kind": _text("VIRTUAL", "Kind of the card."),
        "merchant_id": _text("mer_4711", "The merchant, as the network calls it."),
        "minimum_payment": _money(3_500, "Least that is to be paid by the due date."),
        "past_due": _money(7_000, "What should have been paid by now."),
        "payment_id": _id("pay", "The payment."),
        "previous_bucket": _text("DAYS_1_29", "How late it was before."),
        "previous_credit_limit": _money(80_000, "The credit limit before."),
        "programme_id": _text("prog_standard", "The programme."),
        "reason": _text("INSUFFICIENT_FUNDS", "Why, as the processor or the contract says it."),
        "refund_id": _id("rfd", "The refund."),
        "refunded_amount": _money(4_250, "What of the payment was given back in all."),
        "related_entry_id": _id("ent", "Entry of the ledger that this one reverses or corrects."),
        "release_time": Field(kind=Kind.TIME, meaning="When it may be spent.", example=_NOON),
        "replaced_by_card_id": _id("card", "The card that takes its place."),
        "report_id": _id("rpt", "The report: `holdfast.stats.v1.Report`."),
        "requested_amount": _money(4_250, "What was asked for; `amount` is what moved: nothing."),
        "scheduled_date": _date("2027-01-31", "Day on which it begins."),
        "shipping": _text("SHIPPED", "Where the plastic is."),
        "source": _text("ACH", "How the money comes in: `PaymentSource`."),
        "start_date": _date("2027-01-01", "First day of the report."),
        "state": _text("ACTIVE", "The state from now on."),
        "statement_id": _id("stmt", "The statement."),
        "usual_amount": _money(8_012, "What a day with purchases came to on average."),
        "won": _money(4_250, "Of a disputed amount: what the cardholder need not pay."),
    }
)
