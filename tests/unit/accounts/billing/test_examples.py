"""Worked examples, each figure by hand. One account, closing on the 15th, 18.25 % (0.05 % a day) on
purchases, 36.50 % (0.1 % a day) on cash; minimum 1 % with a floor of 35.00.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from accounts.billing.balances import Balances, Change, Event
from accounts.billing.calendar import Cycle, Rhythm, first_cycle, next_cycle
from accounts.billing.closing import FIRST, Closed, close, correction
from accounts.billing.interest import Opening
from accounts.billing.terms import Category, Method, MinimumRule, Penalty, Promotion, Terms

TERMS = Terms(
    effective_from=date(2025, 1, 1),
    apr_bp={Category.PURCHASE: 1825, Category.CASH: 3650},
    minimum=MinimumRule(floor_minor=3500, share_bp=100),
    penalty=Penalty(apr_bp=2920),
)
RHYTHM = Rhythm(closing_day=15)
#: 16 January to 15 February, due 12 March; 16 February to 15 March; 16 March to 15 April.
JANUARY = Cycle(start=date(2026, 1, 16), end=date(2026, 2, 15), due=date(2026, 3, 12))
FEBRUARY = next_cycle(JANUARY, RHYTHM)
MARCH = next_cycle(FEBRUARY, RHYTHM)


def buys(month: int, day: int, amount: int, category: Category = Category.PURCHASE) -> Event:
    """A debit in 2026."""
    return Event(
        on=date(2026, month, day),
        change=Change.DEBIT,
        amount_minor=amount,
        category=category,
    )


def pays(month: int, day: int, amount: int, change: Change = Change.PAYMENT) -> Event:
    """A payment in 2026."""
    return Event(on=date(2026, month, day), change=change, amount_minor=amount)


def closes(*cycles: tuple[Cycle, tuple[Event, ...]], terms: Terms = TERMS) -> list[Closed]:
    """Closes one cycle after the other."""
    opening, found = FIRST, list[Closed]()
    for cycle, events in cycles:
        found.append(close(cycle, opening, events, terms))
        opening = found[-1].carried
    return found


def charged(closed: Closed) -> dict[Category, int]:
    """Interest, where there is any."""
    return {category: amount for category, amount in closed.interest.items() if amount}


def test_who_pays_in_full_pays_no_interest() -> None:
    """Grace is kept: 1,000.00 is bought, billed, and paid on the due date."""
    january, february = closes(
        (JANUARY, (buys(1, 20, 100_000),)),
        (FEBRUARY, (pays(3, 12, 100_000), buys(3, 1, 20_000))),
    )
    assert (january.closing_minor, january.interest_minor, january.minimum_minor) == (
        100_000,
        0,
        3_500,
    )
    assert (february.closing_minor, february.interest_minor) == (20_000, 0)
    assert february.grace


def test_a_day_late_is_not_in_full() -> None:
    """Grace is lost: from 16 February 1,000.00 for 25 days to the payment on 13 March (at whose
    end nothing is owed), and what was bought on 1 March for 15 days: 12.50 + 1.50.
    """
    _, february = closes(
        (JANUARY, (buys(1, 20, 100_000),)),
        (FEBRUARY, (pays(3, 13, 100_000), buys(3, 1, 20_000))),
    )
    assert charged(february) == {Category.PURCHASE: 1_250 + 150}
    assert not february.grace


def test_what_was_paid_in_time_bears_no_interest_even_if_the_rest_does() -> None:
    """600.00 of 1,000.00 are paid on 1 March: 400.00 bear interest for all 28 days of the cycle,
    and for no day before it (12 CFR 1026.54).
    """
    _, february = closes((JANUARY, (buys(1, 20, 100_000),)), (FEBRUARY, (pays(3, 1, 60_000),)))
    assert february.interest_minor == 40_000 * 28 * 5 // 10_000


def test_who_carried_a_balance_pays_until_the_day_of_payment() -> None:
    """Trailing interest: nothing was paid in February, all of 1,014.00 on 1 April. 1,000.00 bear
    interest from 16 to 31 March; purchases of March are free again.
    """
    _, february, march = closes(
        (JANUARY, (buys(1, 20, 100_000),)),
        (FEBRUARY, ()),
        (MARCH, (buys(3, 20, 50_000), pays(4, 1, 101_400))),
    )
    assert february.interest_minor == 1_400  # 28 days
    assert february.closing_minor == 101_400
    assert march.interest_minor == 100_000 * 16 * 5 // 10_000  # interest itself bears none
    assert march.grace
    assert march.closing_minor == 50_000 + 800


def test_cash_never_has_grace() -> None:
    """500.00 drawn on 1 February cost 15 days at once, whatever is paid later."""
    (january,) = closes((JANUARY, (buys(2, 1, 50_000, Category.CASH),)))
    assert charged(january) == {Category.CASH: 750}


def test_a_payment_beyond_the_minimum_pays_the_dearest_first() -> None:
    """The minimum of 35.00 goes to purchases at 18.25 %, the rest of 100.00 to cash at 36.50 %."""
    balances = Balances().debited(Category.PURCHASE, 50_000).debited(Category.CASH, 50_000)

    def rate(category: Category) -> int:
        return TERMS.apr_bp.get(category, 9_999)

    paid = balances.paid(10_000, minimum_left_minor=3_500, rate=rate)
    assert (paid.of(Category.PURCHASE), paid.of(Category.CASH)) == (46_500, 43_500)


def test_a_promotion_ends_with_its_day() -> None:
    """0 % until 28 February inclusive: of 28 days in the cycle, 15 in March bear interest."""
    promoted = replace(
        FIRST,
        balances=Balances(old={**Balances().old, Category.PURCHASE: 100_000}),
        due=date(2026, 3, 12),
        statement_minor=100_000,
        grace=False,
        promotions=(Promotion(category=Category.PURCHASE, apr_bp=0, until=date(2026, 2, 28)),),
    )
    assert close(FEBRUARY, promoted, (), TERMS).interest_minor == 100_000 * 15 * 5 // 10_000


def test_a_penalty_ends_promotions_and_raises_the_rate() -> None:
    """29.20 % are 0.08 % a day."""
    opening = Opening(
        balances=Balances(old={**Balances().old, Category.PURCHASE: 100_000}),
        due=date(2026, 3, 12),
        statement_minor=100_000,
        minimum_minor=3_500,
        grace=False,
        penalty=True,
        promotions=(Promotion(category=Category.PURCHASE, apr_bp=0, until=date(2027, 1, 1)),),
    )
    assert close(FEBRUARY, opening, (), TERMS).interest_minor == 100_000 * 28 * 8 // 10_000


def test_a_returned_payment_counts_as_not_made() -> None:
    """Paid on 1 March, returned on 5 March: grace is lost, and 1,000.00 is owed again from then."""
    _, february = closes(
        (JANUARY, (buys(1, 20, 100_000),)),
        (FEBRUARY, (pays(3, 1, 100_000), pays(3, 5, 100_000, Change.RETURN))),
    )
    assert not february.grace
    assert february.closing_minor == 100_000 + february.interest_minor
    # 1 to 4 March nothing was owed; what came back counts as new from the 5th on: 11 days.
    assert february.interest_minor == 100_000 * 11 * 5 // 10_000
    assert february.past_due_minor == 3_500


def test_a_refund_after_the_statement_lowers_what_must_be_paid() -> None:
    """200.00 come back, 800.00 are paid: the statement of 1,000.00 is settled, grace is kept."""
    refund = Event(on=date(2026, 2, 20), change=Change.CREDIT, amount_minor=20_000)
    _, february = closes(
        (JANUARY, (buys(1, 20, 100_000),)), (FEBRUARY, (refund, pays(3, 12, 80_000)))
    )
    assert (february.closing_minor, february.interest_minor, february.grace) == (0, 0, True)


def test_a_refund_is_no_minimum_payment() -> None:
    """The minimum wants a payment."""
    refund = Event(on=date(2026, 2, 20), change=Change.CREDIT, amount_minor=20_000)
    _, february = closes((JANUARY, (buys(1, 20, 100_000),)), (FEBRUARY, (refund,)))
    assert february.past_due_minor == 3_500
    assert february.minimum_minor == 3_500 + max(3_500, 800 + february.interest_minor)


def test_a_backdated_payment_gives_interest_back() -> None:
    """The cycle is computed again with the payment on the day it came; the difference is posted."""
    opening = closes((JANUARY, (buys(1, 20, 100_000),)))[0].carried
    before = close(FEBRUARY, opening, (), TERMS)
    after = close(FEBRUARY, opening, (pays(3, 12, 100_000),), TERMS)
    assert correction(before, after) == {Category.PURCHASE: -1_400}
    assert correction(after, after) == {}


def test_29_february_is_a_day_like_any_other() -> None:
    """2028 is a leap year: from 16 February to 15 March there are 29 days."""
    january = Cycle(start=date(2028, 1, 16), end=date(2028, 2, 15), due=date(2028, 3, 12))
    february = next_cycle(january, RHYTHM)
    opening = close(
        january,
        FIRST,
        (Event(on=date(2028, 1, 20), change=Change.DEBIT, amount_minor=100_000),),
        TERMS,
    ).carried
    assert february.days == 29
    assert close(february, opening, (), TERMS).interest_minor == 1_450


def test_credit_is_used_up_first() -> None:
    """50.00 too much paid: the next purchase of 80.00 costs 30.00."""
    january, february = closes((JANUARY, (pays(2, 1, 5_000),)), (FEBRUARY, (buys(3, 1, 8_000),)))
    assert (january.closing_minor, january.minimum_minor) == (-5_000, 0)
    assert february.closing_minor == 3_000
    assert february.minimum_minor == 3_000  # never more than the balance


def test_interest_is_at_least_its_minimum_if_there_is_any() -> None:
    """0.15 becomes 0.50; nothing stays nothing."""
    terms = replace(TERMS, interest_minimum_minor=50)
    (some,) = closes((JANUARY, (buys(2, 1, 1_000, Category.CASH),)), terms=terms)
    (none,) = closes((JANUARY, (buys(2, 1, 1_000),)), terms=terms)
    assert (some.interest_minor, none.interest_minor) == (50, 0)


def test_the_average_of_days_takes_the_last_days_rate() -> None:
    """With one rate it is the sum of days; a promotion that ended on the way counts for none."""
    average = replace(TERMS, method=Method.AVERAGE_DAILY)
    opening = replace(
        closes((JANUARY, (buys(1, 20, 100_000),)))[0].carried,
        promotions=(Promotion(category=Category.PURCHASE, apr_bp=0, until=date(2026, 2, 28)),),
    )
    assert close(FEBRUARY, opening, (), average).interest_minor == 1_400


@pytest.mark.parametrize(
    ("closing_day", "end", "due"),
    [
        (1, date(2026, 3, 1), date(2026, 3, 26)),
        (3, date(2026, 2, 3), date(2026, 2, 28)),
        (4, date(2026, 2, 4), date(2026, 3, 1)),
        (15, date(2026, 2, 15), date(2026, 3, 12)),
        (28, date(2026, 2, 28), date(2026, 3, 25)),
        (31, date(2026, 2, 28), date(2026, 3, 25)),
    ],
)
def test_due_dates(closing_day: int, end: date, due: date) -> None:
    """At least 21 days after closing, on the same day of each month."""
    cycle = first_cycle(date(2026, 2, 1), Rhythm(closing_day=closing_day))
    assert (cycle.end, cycle.due) == (end, due)
