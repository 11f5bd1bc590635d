"""Every type of event there is, and what its data say: the one list. No I/O, no clock, no grpc.

An event is told to customers, so its data are ids, amounts, times and words of the contract, never
anything personal. Types and fields are added, never changed: programs read them (docs/EVENTS.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from runtime.money import AMOUNT_MINOR_LIMIT

_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ID = re.compile(r"[a-z]+_[a-z0-9_]{1,64}")
#: Words of the contract, and ids that others gave: a merchant's, a network's.
_TEXT = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,99}")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One type: `<about>.<what happened>`."""

    name: str
    meaning: str
    #: Fields that are always there.
    fields: tuple[str, ...]
    #: Fields that may be there.
    optional: tuple[str, ...] = ()

    @property
    def example(self) -> dict[str, Any]:
        """Data of such an event, with every field."""
        return {name: FIELDS[name].example for name in (*self.fields, *self.optional)}


def _types(
    about: str, fields: tuple[str, ...], meanings: Mapping[str, str], *, optional: tuple[str, ...]
) -> list[EventType]:
    return [
        EventType(name=f"{about}.{what}", meaning=meaning, fields=fields, optional=optional)
        for what, meaning in meanings.items()
    ]


_MOVED = ("entry_id", "amount", "available_credit")
_DISPUTE = ("dispute_id", "authorization_id", "entry_id", "state", "reason", "amount")
_MERCHANT = ("merchant_id", "category_code", "country_code")
_ASKED = ("requested_amount", *_MERCHANT)

_ALL: tuple[EventType, ...] = (
    *_types(
        "application",
        ("application_id", "programme_id", "state"),
        {
            "submitted": "Somebody has applied.",
            "in_review": "A person looks at it.",
            "documents_required": "Documents are asked for.",
            "approved": "It was approved; an account and a card follow.",
            "declined": "It was declined.",
            "withdrawn": "The applicant took it back.",
            "expired": "Its time was over.",
        },
        optional=(),
    ),
    *_types(
        "account",
        ("programme_id", "state", "credit_limit"),
        {
            "opened": "An account was opened.",
            "suspended": "Purchases are declined until it is reopened.",
            "delinquent": "It is past due: purchases are declined until it is paid.",
            "reopened": "It was suspended or past due, and is open again.",
            "closing": "It takes no purchases any more, and closes once nothing is owed.",
            "closed": "It was closed.",
            "controls_changed": "What it may be used for was changed.",
        },
        optional=(),
    ),
    EventType(
        name="account.limit_changed",
        meaning="Its credit limit was changed.",
        fields=("credit_limit", "previous_credit_limit"),
    ),
    *_types(
        "account",
        ("state",),
        {
            "user_added": "A user (`user_id`) shares it now, who is told, and may leave.",
            "user_removed": "A user (`user_id`) shares it no longer, and is told.",
            "user_changed": "What a user (`user_id`) may use it for was changed.",
        },
        optional=(),
    ),
    *_types(
        "account",
        _MOVED,
        {
            "fee_charged": "A fee was charged.",
            "interest_charged": "Interest was charged.",
            "debited": "An adjustment, or credit that is paid back, raised what is owed.",
            "credited": "An adjustment, or credit that was not paid back, lowered what is owed.",
        },
        optional=("related_entry_id",),
    ),
    EventType(
        name="account.delinquency_changed",
        meaning="It is later than before, or has caught up.",
        fields=("bucket", "previous_bucket", "days_past_due", "past_due"),
    ),
    *_types(
        "account",
        ("amount", "charged_off"),
        {
            "charged_off": "It left the issuer's book as a loss; it is owed still.",
            "recovered": "Something that had been charged off was paid.",
        },
        optional=(),
    ),
    *_types(
        "account",
        ("amount", "related_entry_id", "reason"),
        {
            "fee_waived": "Staff gave a fee back; `account.credited` follows.",
            "interest_waived": "Staff gave interest back; `account.credited` follows.",
        },
        optional=(),
    ),
    EventType(
        name="account.spend_unusual",
        meaning="Far more was spent on a day than ever before; nothing is declined because of it.",
        fields=("anomaly_id", "date", "amount", "usual_amount"),
    ),
    EventType(
        name="account.declines_unusual",
        meaning="Far more purchases were declined on a day than usual.",
        fields=("anomaly_id", "date", "declined_count", "decided_count"),
    ),
    EventType(
        name="account.country_unusual",
        meaning="Several purchases were asked for in a country where there was none before.",
        fields=("anomaly_id", "date", "country_code", "attempt_count"),
    ),
    *_types(
        "card",
        ("card_id", "kind", "state"),
        {
            "issued": "A card was issued.",
            "activated": "Its holder has it, and it may be used.",
            "frozen": "It may not be used until it is unfrozen.",
            "unfrozen": "It may be used again.",
            "closed": "It was closed.",
            "reported_lost": "Its holder lost it.",
            "reported_stolen": "It was stolen.",
            "renewed": "It keeps its number for longer.",
            "controls_changed": "What it may be used for was changed.",
            "updated": "Something else about it was changed.",
        },
        optional=(),
    ),
    EventType(
        name="card.replaced",
        meaning="Another card takes its place.",
        fields=("card_id", "kind", "state", "replaced_by_card_id"),
    ),
    *_types(
        "card",
        ("card_id", "kind", "state", "shipping"),
        {
            "ordered": "The plastic is being made.",
            "shipped": "The plastic is on its way.",
            "delivered": "The plastic was delivered.",
            "returned": "The plastic came back.",
        },
        optional=(),
    ),
    *_types(
        "authorization",
        ("authorization_id", *_MOVED),
        {
            "approved": "A purchase was approved; its amount is held.",
            "incremented": "A hold was raised.",
            "advised": "The network approved a purchase in our place.",
            "posted": "A purchase or withdrawal was approved and posted at once.",
            "captured": "A purchase was cleared: it is owed from now on.",
            "reversed": "A hold was given back, in part or whole.",
            "expired": "A hold ran out.",
            "force_posted": "A purchase was cleared that nobody had asked for before.",
        },
        optional=("card_id", *_MERCHANT, "related_entry_id"),
    ),
    *_types(
        "authorization",
        _MOVED,
        {
            "refunded": "A merchant gave money back.",
            "refund_reversed": "A refund was taken back.",
        },
        optional=("authorization_id", "card_id", *_MERCHANT, "related_entry_id"),
    ),
    *_types(
        "authorization",
        ("entry_id", "amount", "decline_reason"),
        {
            "declined": "A purchase was declined.",
            "increment_declined": "A hold was not raised.",
        },
        optional=("authorization_id", "card_id", "available_credit", *_ASKED),
    ),
    *_types(
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
    *_types(
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
    EventType(
        name="statement.ready",
        meaning="A cycle was closed, and its statement can be read.",
        fields=("statement_id", "cycle_end_date", "due_date", "balance", "minimum_payment"),
    ),
    EventType(
        name="report.ready",
        meaning="A scheduled report was made, and can be downloaded.",
        fields=("report_id", "start_date", "end_date"),
    ),
    *_types(
        "dispute",
        _DISPUTE,
        {
            "submitted": "A charge was disputed.",
            "acknowledged": "Its receipt was acknowledged.",
            "investigating": "Somebody looks into it.",
            "charged_back": "The amount was claimed back through the network.",
            "represented": "The merchant contests the claim.",
            "in_arbitration": "The network decides.",
            "credit_granted": "`amount` was credited until it ends, or for good as it ended.",
            "credit_reversed": "`amount` of what had been credited is owed again.",
        },
        optional=(),
    ),
    *_types(
        "dispute",
        (*_DISPUTE, "won"),
        {
            "won": "It ended: the cardholder need not pay.",
            "partially_won": "It ended: the cardholder need not pay all of it.",
            "lost": "It ended: the charge stands.",
            "withdrawn": "The cardholder took it back: the charge stands.",
        },
        optional=(),
    ),
    EventType(
        name="webhook.disabled",
        meaning="An endpoint has taken nothing for five days, and is told nothing any more.",
        fields=("endpoint_id", "state"),
    ),
    *_types(
        "user",
        ("state",),
        {
            "created": "Somebody is known from now on.",
            "updated": "Details of a person were changed.",
            "verified": "Who the person is was checked.",
            "suspended": "The person may neither sign in nor pay until they are reactivated.",
            "reactivated": "The person may sign in again.",
            "closed": "The person was closed.",
            "erased": "Everything personal was destroyed.",
        },
        optional=(),
    ),
)

#: By name, in the order of the page.
CATALOGUE: Mapping[str, EventType] = MappingProxyType(
    {one.name: one for one in sorted(_ALL, key=lambda one: one.name.partition(".")[0])}
)
assert len(CATALOGUE) == len(_ALL), "a type stands twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened. Ids that do not apply are empty."""

    type: str
    time_ms: int
    account_id: str = ""
    #: Who owns the account, or is the person; empty: whoever owns the account, asked for later.
    owner_id: str = ""
    #: The person that it is about, or whose card it is.
    user_id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def is_text(value: str) -> bool:
    """Whether a text of others may stand in events' data."""
    return _TEXT.fullmatch(value) is not None


def money(amount_minor: int, currency_code: str) -> dict[str, Any]:
    """An amount as events say it."""
    return {"amount_minor": amount_minor, "currency_code": currency_code}


def fault_of(event: Event) -> str:
    """What is wrong with an event; empty if nothing is."""
    kind = CATALOGUE.get(event.type)
    if kind is None:
        return f"{event.type} is not in the catalogue"
    if not (event.account_id or event.owner_id):
        return f"{event.type} belongs to nobody"
    if missing := set(kind.fields) - set(event.data):
        return f"{event.type} lacks {sorted(missing)}"
    if unknown := set(event.data) - {*kind.fields, *kind.optional}:
        return f"{event.type} has no field {sorted(unknown)}"
    for name, value in event.data.items():
        if not _fits(FIELDS[name].kind, value):
            return f"{event.type}: {name} is no {FIELDS[name].kind}"
    return ""


def _fits(kind: Kind, value: Any) -> bool:
    match kind:
        case Kind.MONEY:
            return _is_money(value)
        case Kind.NUMBER:
            return isinstance(value, int) and not isinstance(value, bool)
    pattern = {Kind.ID: _ID, Kind.TEXT: _TEXT, Kind.TIME: _INSTANT, Kind.DATE: _DAY}[kind]
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_money(value: Any) -> bool:
    if not isinstance(value, Mapping) or set(value) != {"amount_minor", "currency_code"}:
        return False
    amount_minor, currency_code = value["amount_minor"], value["currency_code"]
    return (
        isinstance(amount_minor, int)
        and abs(amount_minor) < AMOUNT_MINOR_LIMIT
        and isinstance(currency_code, str)
        and re.fullmatch("[A-Z]{3}", currency_code) is not None
    )
