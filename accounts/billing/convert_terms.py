"""Terms of programmes, from the contract to what the rules go by."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from accounts.billing.calendar import DUE_DAYS
from accounts.billing.delinquency import bucket_from
from accounts.billing.product import Product
from accounts.billing.terms import Category, Fees, Method, MinimumRule, Penalty, Terms
from accounts.programme import ProgrammeTerms
from holdfast.accounts.v1 import terms_pb2

#: Days past due from which purchases are declined, unless terms say otherwise.
BLOCK_AFTER_DAYS = 30
_CATEGORIES = {
    terms_pb2.BALANCE_CATEGORY_PURCHASE: Category.PURCHASE,
    terms_pb2.BALANCE_CATEGORY_CASH_ADVANCE: Category.CASH,
}
_METHODS = {
    terms_pb2.INTEREST_METHOD_DAILY: Method.DAILY,
    terms_pb2.INTEREST_METHOD_AVERAGE_DAILY: Method.AVERAGE_DAILY,
}


def product_of(stored: ProgrammeTerms) -> Product:
    """What one version of a programme's terms means. Fees and interest bear no interest."""
    terms = terms_pb2.Terms.FromString(stored.terms)
    rates = {
        _CATEGORIES[one.category]: one for one in terms.annual_rates if one.category in _CATEGORIES
    }
    return Product(
        version=stored.version,
        terms=Terms(
            effective_from=date.fromisoformat(terms.effective_date),
            apr_bp={category: basis_points(rate.percent) for category, rate in rates.items()},
            minimum=MinimumRule(
                floor_minor=terms.minimum_payment.floor.amount_minor,
                share_bp=basis_points(terms.minimum_payment.percent),
                plus_charges=terms.minimum_payment.plus_interest_and_fees,
                plus_past_due=terms.minimum_payment.plus_past_due,
            ),
            fees=_fees(terms.fees),
            penalty=_penalty(terms),
            method=_METHODS[terms.interest_method],
            grace=terms.cycle.grace,
            interest_minimum_minor=terms.minimum_interest.amount_minor,
        ),
        zone=ZoneInfo(terms.cycle.time_zone),
        closing_day=terms.cycle.closing_day,
        # Terms from before statements were known to take a day have one too few.
        due_days=max(terms.cycle.due_days, DUE_DAYS.start),
        offers=tuple(
            (category, basis_points(rate.promotional_percent), rate.promotional_months)
            for category, rate in rates.items()
            if rate.promotional_percent
        ),
        blocked_from=bucket_from(terms.block_after_days or BLOCK_AFTER_DAYS),
    )


def basis_points(percent: str) -> int:
    """`24.99` → 2499; terms have at most two decimals."""
    found = Decimal(percent or "0") * 100
    assert found == int(found), "checked when the terms were added"
    return int(found)


def _fees(fees: terms_pb2.Fees) -> Fees:
    return Fees(
        late_minor=fees.late.amount_minor,
        late_again_minor=fees.late_again.amount_minor,
        returned_minor=fees.returned_payment.amount_minor,
        returned_again_minor=fees.returned_payment_again.amount_minor,
        cash_floor_minor=fees.cash_advance_min.amount_minor,
        cash_share_bp=basis_points(fees.cash_advance_percent),
        foreign_share_bp=basis_points(fees.foreign_percent),
        annual_minor=fees.annual.amount_minor,
    )


def _penalty(terms: terms_pb2.Terms) -> Penalty | None:
    if not terms.HasField("penalty"):
        return None
    rate = next(
        one for one in terms.annual_rates if one.category == terms_pb2.BALANCE_CATEGORY_PENALTY
    )
    return Penalty(
        apr_bp=basis_points(rate.percent),
        days_late=terms.penalty.days_late,
        cure_payments=terms.penalty.cure_payments,
    )
