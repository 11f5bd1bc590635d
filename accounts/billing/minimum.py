"""What a statement asks for, and what it warns of. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from accounts.billing.rounding import half_even
from accounts.billing.terms import WHOLE_BP, MinimumRule

#: Months that the second example of the warning pays off in (12 CFR 1026.7(b)(12)(i)(F)).
EXAMPLE_MONTHS = 36
#: Longer than this is said to be never.
_MONTHS_MAX = 1200


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoffWarning:
    """The minimum payment warning (12 CFR 1026.7(b)(12)), in months and minor units."""

    #: None: minimum payments never pay it off.
    minimum_months: int | None
    minimum_total_minor: int
    #: The payment that pays it off in 36 months; 0 where minimum payments do so as fast.
    example_payment_minor: int
    example_total_minor: int
    example_savings_minor: int


def minimum_payment(
    balance_minor: int,
    rule: MinimumRule,
    *,
    fees_minor: int,
    interest_minor: int,
    past_due_minor: int,
) -> int:
    """The minimum payment: a share of the balance (at least the floor), with the cycle's fees and
    interest and what is past due; never more than the balance, nothing if there is none.
    """
    if balance_minor <= 0:
        return 0
    share = half_even(balance_minor * rule.share_bp, WHOLE_BP)
    charges = fees_minor + interest_minor if rule.plus_charges else 0
    overdue = past_due_minor if rule.plus_past_due else 0
    return min(max(share + charges, rule.floor_minor) + overdue, balance_minor)


def past_due(minimum_minor: int, paid_minor: int) -> int:
    """What is left of an earlier statement's minimum once its due date has passed."""
    return max(minimum_minor - paid_minor, 0)


def payoff_warning(balance_minor: int, rule: MinimumRule, *, apr_bp: int) -> PayoffWarning | None:
    """How long minimum payments take if nothing is bought any more; None if nothing is owed. Counts
    twelve equal months, as appendix M1 of 12 CFR 1026 allows.
    """
    if balance_minor <= 0:
        return None
    months, total, left = 0, 0, balance_minor
    while left > 0 and months < _MONTHS_MAX:
        interest = half_even(left * apr_bp, WHOLE_BP * 12)
        left += interest
        payment = minimum_payment(
            left, rule, fees_minor=0, interest_minor=interest, past_due_minor=0
        )
        left, total, months = left - payment, total + payment, months + 1
    never = left > 0
    example = level_payment(balance_minor, Fraction(apr_bp, WHOLE_BP * 12), EXAMPLE_MONTHS)
    if not never and months <= EXAMPLE_MONTHS:
        example = 0
    example_total = example * EXAMPLE_MONTHS
    return PayoffWarning(
        minimum_months=None if never else months,
        minimum_total_minor=total,
        example_payment_minor=example,
        example_total_minor=example_total,
        example_savings_minor=max(total - example_total, 0) if example else 0,
    )


def level_payment(balance_minor: int, monthly: Fraction, months: int) -> int:
    """The equal monthly payment that pays a balance off; rounded up, so that it really does."""
    if monthly == 0:
        return -(-balance_minor // months)
    growth = (1 + monthly) ** months
    exact = balance_minor * monthly * growth / (growth - 1)
    return -(-exact.numerator // exact.denominator)
