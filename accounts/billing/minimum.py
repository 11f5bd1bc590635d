"""What a statement asks for, and what it warns of. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from accounts.billing.rounding import half_even
from accounts.billing.terms import WHOLE_BP, Category, MinimumRule

Amounts = Mapping[Category, int]

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


def payoff_warning(
    balances: Amounts, rule: MinimumRule, *, rates: Sequence[Amounts]
) -> PayoffWarning | None:
    """How long minimum payments take if nothing is bought any more; None if nothing is owed.

    `rates` are those of the next months, the last of them for good. Counts twelve equal months,
    pays the cheapest balance first, and takes the example from the average rate, as appendix M1 of
    12 CFR 1026 has it.
    """
    owed = sum(balances.values())
    if owed <= 0:
        return None
    months, total, left = 0, 0, {one: amount for one, amount in balances.items() if amount}
    while left and months < _MONTHS_MAX:
        rates_bp = rates[min(months, len(rates) - 1)]
        if len(left) == 1 and months >= len(rates) - 1:
            # Nearly all of them: a night computes as many.
            ((category, balance),) = left.items()
            left[category], paid, months = _paid_off(balance, rule, rates_bp[category], months)
        else:
            left, paid = _month(left, rule, rates_bp)
            months += 1
        total += paid
        left = {one: amount for one, amount in left.items() if amount}
    average = Fraction(
        sum(amount * rates[0][one] for one, amount in balances.items()), owed * WHOLE_BP * 12
    )
    example = level_payment(owed, average, EXAMPLE_MONTHS)
    if not left and months <= EXAMPLE_MONTHS:
        example = 0
    example_total = example * EXAMPLE_MONTHS
    return PayoffWarning(
        minimum_months=None if left else months,
        minimum_total_minor=total,
        example_payment_minor=example,
        example_total_minor=example_total,
        example_savings_minor=max(total - example_total, 0) if example else 0,
    )


def _month(
    balances: Amounts, rule: MinimumRule, rates_bp: Amounts
) -> tuple[dict[Category, int], int]:
    """Balances after a month with its minimum payment, and the payment."""
    added = {one: _monthly(amount, rates_bp[one]) for one, amount in balances.items()}
    left = {one: amount + added[one] for one, amount in balances.items()}
    payment = rest = minimum_payment(
        sum(left.values()),
        rule,
        fees_minor=0,
        interest_minor=sum(added.values()),
        past_due_minor=0,
    )
    for category in sorted(left, key=lambda one: rates_bp[one]):
        taken = min(rest, left[category])
        left[category] -= taken
        rest -= taken
    return left, payment


def _paid_off(
    balance_minor: int, rule: MinimumRule, rate_bp: int, months: int
) -> tuple[int, int, int]:
    """What is left of one balance at one rate in the end, what was paid, and the month it is."""
    left, total = balance_minor, 0
    while left > 0 and months < _MONTHS_MAX:
        interest = _monthly(left, rate_bp)
        left += interest
        payment = minimum_payment(
            left, rule, fees_minor=0, interest_minor=interest, past_due_minor=0
        )
        left, total, months = left - payment, total + payment, months + 1
    return left, total, months


def _monthly(balance_minor: int, rate_bp: int) -> int:
    return half_even(balance_minor * rate_bp, WHOLE_BP * 12)


def level_payment(balance_minor: int, monthly: Fraction, months: int) -> int:
    """The equal monthly payment that pays a balance off; rounded up, so that it really does."""
    if monthly == 0:
        return -(-balance_minor // months)
    growth = (1 + monthly) ** months
    exact = balance_minor * monthly * growth / (growth - 1)
    return -(-exact.numerator // exact.denominator)
