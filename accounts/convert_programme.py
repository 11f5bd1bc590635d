"""Programmes and terms: from the wire and back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from accounts.billing.delinquency import CHARGE_OFF_DAYS
from accounts.programme import (
    NOTICE_DAYS,
    OPEN_CARDS_MAX,
    OPEN_CARDS_TOP,
    Charges,
    Programme,
    ProgrammeKind,
    ProgrammeState,
    ProgrammeTerms,
    TermsRefusal,
)
from holdfast.accounts.v1 import card_pb2, programme_pb2, terms_pb2
from holdfast.accounts.v1 import programme_service_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.errors import FailedPrecondition, NotFound
from runtime.money import is_currency
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, timestamp

NAME_LENGTH_MAX = 100
SCORE_MAX = 1000
#: What underwriting says unless it is told.
APPROVE_SCORE, DECLINE_SCORE = 700, 500
INCOME_PERCENT = 200
DECIDE_WITHIN_DAYS = 30
_INCOME_PERCENT_MAX = 2_000
_DAYS_MAX = 365
_PERCENT_MAX = Decimal(100)
_PROMOTIONAL_MONTHS_MAX = 60
#: Statements are issued on the day after their cycle, 21 days before payment is due.
_DUE_DAYS = range(22, 29)
_BLOCK_DAYS = (1, 30, 60, 90, 120, 150, CHARGE_OFF_DAYS)
_PENALTY_DAYS_MIN = 60
_CURE_PAYMENTS_MAX = 6

_BIN = re.compile(r"[0-9]{6}|[0-9]{8}")
#: How the numbers of each network begin.
_BIN_OF_NETWORK = {
    programme_pb2.Programme.NETWORK_VISA: re.compile(r"4.*"),
    programme_pb2.Programme.NETWORK_MASTERCARD: re.compile(
        r"5[1-5].*|222[1-9].*|22[3-9].*|2[3-6].*|27[01].*|2720.*"
    ),
    programme_pb2.Programme.NETWORK_AMERICAN_EXPRESS: re.compile(r"3[47].*"),
    programme_pb2.Programme.NETWORK_DISCOVER: re.compile(r"6011.*|64[4-9].*|65.*"),
}
_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?")
_FEE_AMOUNTS = (
    "late",
    "late_again",
    "returned_payment",
    "returned_payment_again",
    "cash_advance_min",
    "annual",
)
_FEE_PERCENTS = ("cash_advance_percent", "balance_transfer_percent", "foreign_percent")

_KINDS: dict[int, object] = dict(programme_pb2.Programme.Kind.DESCRIPTOR.values_by_number)
_NETWORKS: dict[int, object] = dict(programme_pb2.Programme.Network.DESCRIPTOR.values_by_number)
_STATES: dict[int, object] = dict(programme_pb2.Programme.State.DESCRIPTOR.values_by_number)
_CARD_KINDS: dict[int, object] = dict(card_pb2.Card.Kind.DESCRIPTOR.values_by_number)
_CATEGORIES: dict[int, object] = dict(terms_pb2.BalanceCategory.DESCRIPTOR.values_by_number)
_METHODS: dict[int, object] = dict(terms_pb2.InterestMethod.DESCRIPTOR.values_by_number)


def create_programme(
    request: pb.CreateProgrammeRequest, context: Any, *, now_ms: int
) -> tuple[RequestKey, Programme]:
    """Checks CreateProgrammeRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    check_programme_id("programme_id", request.programme_id, violations)
    violations.text("display_name", request.display_name, limit=NAME_LENGTH_MAX, required=True)
    violations.enum("kind", request.kind, _KINDS, required=True)
    violations.enum("network", request.network, _NETWORKS, required=True)
    if not is_currency(request.currency_code):
        violations.add("currency_code", "must be an ISO 4217 currency code, e.g. USD")
    begins = _BIN_OF_NETWORK.get(request.network)
    if not _BIN.fullmatch(request.bin):
        violations.add("bin", "must have 6 or 8 digits")
    elif begins and not begins.fullmatch(request.bin):
        violations.add("bin", "does not begin as numbers of this network do")
    _check_underwriting(request.underwriting, request.currency_code, violations)
    violations.enum("first_card_kind", request.first_card_kind, _CARD_KINDS)
    if request.open_cards_max:
        _check_open_cards(request.open_cards_max, violations)
    violations.raise_if_any()
    first = request.first_card_kind or card_pb2.Card.KIND_VIRTUAL
    return key, Programme(
        id=request.programme_id,
        display_name=request.display_name,
        kind=ProgrammeKind(_bare(programme_pb2.Programme.Kind.Name(request.kind))),
        network=_bare(programme_pb2.Programme.Network.Name(request.network)),
        currency_code=request.currency_code,
        bin=request.bin,
        state=ProgrammeState.ACTIVE,
        underwriting=_kept_underwriting(request.underwriting),
        first_card_kind=_bare(card_pb2.Card.Kind.Name(first)),
        open_cards_max=request.open_cards_max or OPEN_CARDS_MAX,
        version=1,
        create_time_ms=now_ms,
        update_time_ms=now_ms,
    )


def update_programme(request: pb.UpdateProgrammeRequest, context: Any) -> RequestKey:
    """Checks UpdateProgrammeRequest, as far as it can be without the programme."""
    violations = Violations()
    key = key_of(request, context, violations)
    check_programme_id("programme_id", request.programme_id, violations)
    if request.HasField("display_name"):
        violations.text("display_name", request.display_name, limit=NAME_LENGTH_MAX, required=True)
    if request.HasField("first_card_kind"):
        violations.enum("first_card_kind", request.first_card_kind, _CARD_KINDS, required=True)
    if request.HasField("state"):
        violations.enum("state", request.state, _STATES, required=True)
    if request.HasField("open_cards_max"):
        _check_open_cards(request.open_cards_max, violations)
    violations.raise_if_any()
    return key


def updated(
    programme: Programme, request: pb.UpdateProgrammeRequest, *, now_ms: int
) -> dict[str, Any]:
    """The fields that the request changes, and the next version; empty if it changes none."""
    changes: dict[str, Any] = {}
    if request.HasField("display_name"):
        changes["display_name"] = request.display_name
    if request.HasField("underwriting"):
        violations = Violations()
        _check_underwriting(request.underwriting, programme.currency_code, violations)
        violations.raise_if_any()
        changes["underwriting"] = _kept_underwriting(request.underwriting)
    if request.HasField("first_card_kind"):
        changes["first_card_kind"] = _bare(card_pb2.Card.Kind.Name(request.first_card_kind))
    if request.HasField("open_cards_max"):
        changes["open_cards_max"] = request.open_cards_max
    if request.HasField("state"):
        name = _bare(programme_pb2.Programme.State.Name(request.state))
        changes["state"] = ProgrammeState(name)
    if all(getattr(programme, name) == value for name, value in changes.items()):
        return {}
    return changes | {"version": programme.version + 1, "update_time_ms": now_ms}


def add_terms(request: pb.AddProgrammeTermsRequest, context: Any) -> RequestKey:
    """Checks AddProgrammeTermsRequest, but for the currency."""
    violations = Violations()
    key = key_of(request, context, violations)
    check_programme_id("programme_id", request.programme_id, violations)
    if not request.HasField("terms"):
        violations.add("terms", "is required")
    else:
        _check_terms(request.terms, violations)
    violations.raise_if_any()
    return key


def check_terms_currency(terms: terms_pb2.Terms, currency_code: str) -> None:
    """All amounts are in the programme's currency."""
    violations = Violations()
    for field, amount in _amounts(terms):
        if amount.currency_code != currency_code:
            violations.add(
                f"{field}.currency_code", f"must be the programme's currency, {currency_code}"
            )
    violations.raise_if_any()


def kept_terms(terms: terms_pb2.Terms) -> bytes:
    """The terms to keep."""
    kept = terms_pb2.Terms()
    kept.CopyFrom(terms)
    kept.DiscardUnknownFields()
    return kept.SerializeToString(deterministic=True)


def charges(terms: terms_pb2.Terms) -> Charges:
    """Everything of which cardholders have notice before there is more of it, by name: what terms
    charge, and what they ask for or take away (12 CFR 1026.9(c)(2)(ii)).
    """
    found = {field: Decimal(amount.amount_minor) for field, amount in _amounts(terms)}
    minimum, cycle = terms.minimum_payment, terms.cycle
    found["terms.minimum_payment.percent"] = Decimal(minimum.percent or "0")
    found["terms.minimum_payment.plus_interest_and_fees"] = Decimal(minimum.plus_interest_and_fees)
    found["terms.minimum_payment.plus_past_due"] = Decimal(minimum.plus_past_due)
    found["terms.cycle.grace"] = Decimal(not cycle.grace)
    found["terms.cycle.due_days"] = Decimal(-cycle.due_days)
    # Another method than before is a change, whichever it is.
    method = terms_pb2.InterestMethod.Name(terms.interest_method)
    found[f"terms.interest_method.{method}"] = Decimal(1)
    if terms.HasField("penalty"):
        found["terms.penalty.days_late"] = Decimal(-terms.penalty.days_late)
        found["terms.penalty.cure_payments"] = Decimal(terms.penalty.cure_payments)
    for rate in terms.annual_rates:
        name = terms_pb2.BalanceCategory.Name(rate.category)
        found[f"annual_rate.{name}"] = Decimal(rate.percent)
    for name in _FEE_PERCENTS:
        if text := getattr(terms.fees, name):
            found[f"terms.fees.{name}"] = Decimal(text)
    return found


def terms_day(request: pb.GetProgrammeTermsRequest, *, today: date) -> date:
    """Checks GetProgrammeTermsRequest."""
    violations = Violations()
    check_programme_id("programme_id", request.programme_id, violations)
    day = today if not request.on_date else parse_day("on_date", request.on_date, violations)
    violations.raise_if_any()
    return day


def programme_page(request: pb.ListProgrammesRequest) -> Page:
    """Checks ListProgrammesRequest."""
    violations = Violations()
    page = page_of(
        request.page_size, request.page_token, scope="ListProgrammes", violations=violations
    )
    violations.raise_if_any()
    return page


def terms_page(request: pb.ListProgrammeTermsRequest) -> Page:
    """Checks ListProgrammeTermsRequest."""
    violations = Violations()
    check_programme_id("programme_id", request.programme_id, violations)
    scope = f"ListProgrammeTerms|{request.programme_id}"
    page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return page


def programme_id(request: pb.GetProgrammeRequest) -> str:
    """Checks GetProgrammeRequest."""
    violations = Violations()
    check_programme_id("programme_id", request.programme_id, violations)
    violations.raise_if_any()
    return request.programme_id


def _check_open_cards(value: int, violations: Violations) -> None:
    if not 1 <= value <= OPEN_CARDS_TOP:
        violations.add("open_cards_max", f"must be 1 to {OPEN_CARDS_TOP}")


def programme(value: Programme) -> programme_pb2.Programme:
    """The programme on the wire."""
    return programme_pb2.Programme(
        id=value.id,
        display_name=value.display_name,
        kind=programme_pb2.Programme.Kind.Value(f"KIND_{value.kind}"),
        network=programme_pb2.Programme.Network.Value(f"NETWORK_{value.network}"),
        currency_code=value.currency_code,
        bin=value.bin,
        state=programme_pb2.Programme.State.Value(f"STATE_{value.state}"),
        underwriting=programme_pb2.Underwriting.FromString(value.underwriting),
        first_card_kind=card_pb2.Card.Kind.Value(f"KIND_{value.first_card_kind}"),
        open_cards_max=value.open_cards_max,
        version=value.version,
        create_time=timestamp(value.create_time_ms),
        update_time=timestamp(value.update_time_ms),
    )


def terms(value: ProgrammeTerms) -> terms_pb2.ProgrammeTerms:
    """Terms on the wire."""
    return terms_pb2.ProgrammeTerms(
        programme_id=value.programme_id,
        version=value.version,
        terms=terms_pb2.Terms.FromString(value.terms),
        create_time=timestamp(value.create_time_ms),
    )


def programme_retired() -> FailedPrecondition:
    """The error for a programme that gets no new accounts."""
    return FailedPrecondition(
        "the programme takes no new applications and accounts", reason="PROGRAMME_RETIRED"
    )


def programme_not_found(name: str) -> NotFound:
    """The error for an unknown programme."""
    metadata = {"programme_id": name}
    return NotFound("no such programme", reason="PROGRAMME_NOT_FOUND", metadata=metadata)


def terms_not_found(name: str, day: date) -> NotFound:
    """The error for a day before the first terms."""
    return NotFound(
        "the programme has no terms on this day",
        reason="TERMS_NOT_FOUND",
        metadata={"programme_id": name, "on_date": str(day)},
    )


def terms_refusal(refusal: TermsRefusal, risen: tuple[str, ...]) -> FailedPrecondition:
    """The error that says why terms cannot be added."""
    if refusal is TermsRefusal.NOT_LATER:
        return FailedPrecondition(
            "terms of a programme follow one another: this day is not after the last one's",
            reason="TERMS_NOT_LATER",
        )
    if refusal is TermsRefusal.IN_THE_PAST:
        return FailedPrecondition(
            "terms never change what has been charged: this day is over", reason="TERMS_IN_THE_PAST"
        )
    return FailedPrecondition(
        f"what rises needs {NOTICE_DAYS} days of notice: {', '.join(risen)}",
        reason="NOTICE_TOO_SHORT",
        metadata={"risen": ",".join(risen), "notice_days": str(NOTICE_DAYS)},
    )


def check_programme_id(field: str, value: str, violations: Violations) -> None:
    """`prog_` and 1 to 32 characters."""
    if not ids.is_programme_id(value):
        violations.add(field, "must be prog_ and 1 to 32 characters of a-z 0-9 _")


def parse_day(field: str, text: str, violations: Violations) -> date:
    """A day between 2000 and 2100; what is none goes to `violations`."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if str(day) != text or not 2000 <= day.year < 2100:  # noqa: PLR2004 - stated in the text
        violations.add(field, "must be a day between 2000-01-01 and 2099-12-31: YYYY-MM-DD")
    return day


def check_time_zone(field: str, name: str, violations: Violations) -> None:
    """An IANA timezone."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        violations.add(field, "must be an IANA timezone, e.g. Europe/Madrid")


def _check_underwriting(value: Any, currency_code: str, violations: Violations) -> None:
    field = "underwriting"
    for name in ("approve_score", "decline_score"):
        if not 0 <= getattr(value, name) <= SCORE_MAX:
            violations.add(f"{field}.{name}", f"must be between 0 and {SCORE_MAX}")
    if (value.approve_score or APPROVE_SCORE) < (value.decline_score or DECLINE_SCORE):
        violations.add(f"{field}.approve_score", "must not be below decline_score")
    for name in ("credit_limit_min", "credit_limit_max"):
        violations.money(f"{field}.{name}", value)
        money: Money = getattr(value, name)
        if value.HasField(name) and money.currency_code != currency_code:
            violations.add(f"{field}.{name}.currency_code", "must be the programme's currency")
    if value.credit_limit_min.amount_minor > value.credit_limit_max.amount_minor:
        violations.add(f"{field}.credit_limit_max", "must not be below credit_limit_min")
    if not 0 <= value.income_percent <= _INCOME_PERCENT_MAX:
        violations.add(f"{field}.income_percent", f"must be at most {_INCOME_PERCENT_MAX}")
    if not 0 <= value.decide_within_days <= _DAYS_MAX:
        violations.add(f"{field}.decide_within_days", f"must be at most {_DAYS_MAX}")


def _kept_underwriting(value: programme_pb2.Underwriting) -> bytes:
    kept = programme_pb2.Underwriting()
    kept.CopyFrom(value)
    kept.DiscardUnknownFields()
    kept.approve_score = value.approve_score or APPROVE_SCORE
    kept.decline_score = value.decline_score or DECLINE_SCORE
    kept.income_percent = value.income_percent or INCOME_PERCENT
    kept.decide_within_days = value.decide_within_days or DECIDE_WITHIN_DAYS
    return kept.SerializeToString(deterministic=True)


def _check_terms(terms: terms_pb2.Terms, violations: Violations) -> None:
    parse_day("terms.effective_date", terms.effective_date, violations)
    _check_rates(terms, violations)
    violations.enum("terms.interest_method", terms.interest_method, _METHODS, required=True)
    if not 0 <= terms.cycle.closing_day <= 31:  # noqa: PLR2004 - days of a month
        violations.add("terms.cycle.closing_day", "must be a day of a month, or 0")
    if terms.cycle.due_days not in _DUE_DAYS:
        violations.add("terms.cycle.due_days", "must be between 22 and 28")
    check_time_zone("terms.cycle.time_zone", terms.cycle.time_zone, violations)
    violations.money("terms.minimum_interest", terms, required=False)
    violations.money("terms.minimum_payment.floor", terms.minimum_payment)
    _check_percent("terms.minimum_payment.percent", terms.minimum_payment.percent, violations)
    for name in _FEE_AMOUNTS:
        violations.money(f"terms.fees.{name}", terms.fees, required=False)
    for name in _FEE_PERCENTS:
        if text := getattr(terms.fees, name):
            _check_percent(f"terms.fees.{name}", text, violations)
    if terms.block_after_days not in (0, *_BLOCK_DAYS):
        days = ", ".join(map(str, _BLOCK_DAYS))
        violations.add("terms.block_after_days", f"must be one of {days}, or 0")
    if terms.HasField("penalty"):
        if terms.penalty.days_late < _PENALTY_DAYS_MIN:
            violations.add("terms.penalty.days_late", f"must be at least {_PENALTY_DAYS_MIN}")
        if not 1 <= terms.penalty.cure_payments <= _CURE_PAYMENTS_MAX:
            violations.add("terms.penalty.cure_payments", "must be between 1 and 6")


def _check_rates(terms: terms_pb2.Terms, violations: Violations) -> None:
    seen: set[int] = set()
    for number, rate in enumerate(terms.annual_rates):
        field = f"terms.annual_rates[{number}]"
        violations.enum(f"{field}.category", rate.category, _CATEGORIES, required=True)
        if rate.category in seen:
            violations.add(f"{field}.category", "stands twice")
        seen.add(rate.category)
        _check_percent(f"{field}.percent", rate.percent, violations)
        if rate.promotional_percent:
            _check_percent(f"{field}.promotional_percent", rate.promotional_percent, violations)
        promoted = 1 <= rate.promotional_months <= _PROMOTIONAL_MONTHS_MAX
        if promoted != bool(rate.promotional_percent):
            violations.add(
                f"{field}.promotional_months", "must be 1 to 60 with a promotional rate, else 0"
            )
    if terms_pb2.BALANCE_CATEGORY_PURCHASE not in seen:
        violations.add("terms.annual_rates", "must have the rate of purchases")
    if terms.HasField("penalty") != (terms_pb2.BALANCE_CATEGORY_PENALTY in seen):
        violations.add("terms.penalty", "comes with a penalty rate, and only with one")


def _check_percent(field: str, text: str, violations: Violations) -> None:
    if not _PERCENT.fullmatch(text) or Decimal(text) > _PERCENT_MAX:
        violations.add(field, "must be a percentage of at most 100 with two decimals: 24.99")


def _amounts(terms: Any) -> Iterator[tuple[str, Money]]:
    if terms.HasField("minimum_interest"):
        yield "terms.minimum_interest", terms.minimum_interest
    if terms.minimum_payment.HasField("floor"):
        yield "terms.minimum_payment.floor", terms.minimum_payment.floor
    for name in _FEE_AMOUNTS:
        if terms.fees.HasField(name):
            yield f"terms.fees.{name}", getattr(terms.fees, name)


def _bare(name: str) -> str:
    return name.partition("_")[2]
