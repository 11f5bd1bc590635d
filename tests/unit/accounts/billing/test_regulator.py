"""What a regulator would check, one rule of 12 CFR 1026 after the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.billing.account import Charge
from accounts.billing.balances import Balances, Change, Event
from accounts.billing.calendar import Cycle
from accounts.billing.closing import FIRST, close
from accounts.billing.delinquency import (
    Bucket,
    Demand,
    Settled,
    bucket_from,
    no_more_than,
    settle,
)
from accounts.billing.demanded import credited
from accounts.billing.interest import protected
from accounts.billing.minimum import payoff_warning
from accounts.billing.terms import Category, MinimumRule, Promotion
from tests.unit.accounts.billing.life import FEES, OPENED, PRODUCT, Life, at_ms

#: The first statement's due date: the cycle closes on 15 February.
DUE = date(2027, 3, 12)
#: Without the annual fee: the figures are those of what happens.
TERMS = replace(PRODUCT.terms, fees=replace(FEES, annual_minor=0))
WITHOUT_ANNUAL = replace(PRODUCT, terms=TERMS)


def lives(until: date, *happens: tuple[date, str, int], late_from: date | None = None) -> Life:
    """A life that is looked at daily; not at all from a day on until the last one."""
    life, day = Life(WITHOUT_ANNUAL), OPENED
    while day <= until:
        for _, kind, amount_minor in (one for one in happens if one[0] == day):
            life.happens(day, kind, amount_minor, 0)
        if late_from is None or day < late_from or day == until:
            life.looked_at(at_ms(day, 11))
        day += timedelta(days=1)
    return life


def charged(life: Life, charge: Charge) -> list[int]:
    """What was charged of one kind."""
    return [one.amount_minor for one in life.postings if one.charge is charge]


def test_who_is_given_everything_back_owes_no_minimum() -> None:
    """1,000.00 were billed and refunded before the due date: no late fee, nothing past due, and no
    bucket, however long nothing is paid.
    """
    life = lives(
        date(2027, 6, 1), (date(2027, 2, 1), "purchase", 100_000), (DUE, "refund", 100_000)
    )
    assert charged(life, Charge.LATE_FEE) == []
    assert life.account.bucket is Bucket.CURRENT
    assert (life.account.demands, life.account.in_time) == ((), 1)


def test_credit_that_is_paid_back_asks_for_nothing() -> None:
    """1,000.00 were billed, 1,300.00 paid and 300.00 paid back: the demand stays met, no interest;
    what was not paid back after all is no credit that would lower the next demand.
    """
    life = lives(
        date(2027, 4, 14),
        (date(2027, 2, 1), "purchase", 100_000),
        (date(2027, 2, 20), "payment", 130_000),
        (date(2027, 2, 25), "paid back", 30_000),
        (date(2027, 3, 1), "not paid back", 30_000),
        (date(2027, 3, 2), "paid back", 30_000),
    )
    assert charged(life, Charge.LATE_FEE) == []
    assert life.charged_minor == 0
    assert (life.account.demands, life.account.in_time) == ((), 1)
    assert credited(tuple(life.entries.values()), WITHOUT_ANNUAL) == 0


def test_a_refund_leaves_no_more_to_ask_for_than_is_owed() -> None:
    """Of 1,000.00, 980.00 came back: 20.00 are asked for, and the late fee is no more than that
    (12 CFR 1026.52(b)(2)(i)(A)).
    """
    life = lives(
        date(2027, 3, 14), (date(2027, 2, 1), "purchase", 100_000), (DUE, "refund", 98_000)
    )
    assert charged(life, Charge.LATE_FEE) == [2_000]


def test_the_dearer_fee_is_for_another_violation_within_six_cycles() -> None:
    """Late in March 2027 and again in March 2028: a year of nothing lies between, of which there
    are no statements (12 CFR 1026.52(b)(1)(ii)(B)).
    """
    year = timedelta(days=366)
    life = lives(
        date(2028, 3, 20),
        (date(2027, 2, 1), "purchase", 100_000),
        (date(2027, 3, 20), "payment", 102_500 + 1_400),
        (date(2027, 4, 20), "payment", 500),
        (date(2027, 2, 1) + year, "purchase", 100_000),
    )
    assert charged(life, Charge.LATE_FEE) == [2_500, 2_500]
    again = lives(date(2027, 4, 20), (date(2027, 2, 1), "purchase", 100_000))
    assert charged(again, Charge.LATE_FEE) == [2_500, 3_500]


def test_who_was_told_too_late_is_not_late() -> None:
    """The statement of 15 February is issued on 24 February, 16 days before its due date: no late
    fee, no lost grace, and the minimum is due 21 days after (12 CFR 1026.5(b)(2)(ii)).
    """
    happens = (date(2027, 1, 21), "purchase", 100_000)
    told = Life(WITHOUT_ANNUAL)
    told.happens(*happens, 0)
    told.looked_at(at_ms(date(2027, 2, 24)))
    assert told.account.opening.untimely
    assert told.account.demands == (Demand(due=date(2027, 3, 17), amount_minor=3_500),)
    told.happens(date(2027, 3, 14), "payment", 100_000, 0)
    told.looked_at(at_ms(date(2027, 3, 17)))
    assert charged(told, Charge.LATE_FEE) == charged(told, Charge.INTEREST) == []
    assert told.made[1].closed.grace
    in_time = lives(date(2027, 3, 17), happens, (date(2027, 3, 14), "payment", 100_000))
    assert charged(in_time, Charge.LATE_FEE) == [2_500]
    assert not in_time.made[1].closed.grace


@pytest.mark.parametrize(("day", "untimely"), [(19, False), (20, True)])
def test_21_days_are_enough(day: int, untimely: bool) -> None:
    """Issued on 19 February, due on 12 March."""
    opening = replace(FIRST, due=DUE, issued_on=date(2027, 2, day))
    assert opening.untimely is untimely


def test_a_rate_that_rises_is_for_what_is_new() -> None:
    """1,000.00 are owed when 18.25 % become 36.50 %; 500.00 are bought on the first day after. What
    was owed keeps its rate, until it falls again (12 CFR 1026.55(a), (b)(3)).
    """
    cycle = Cycle(start=date(2027, 3, 1), end=date(2027, 3, 30), due=date(2027, 4, 25))
    raised = replace(TERMS, apr_bp={Category.PURCHASE: 3650, Category.CASH: 3650})
    opening = replace(
        FIRST,
        balances=Balances().debited(Category.PURCHASE, 100_000).carried(),
        due=date(2027, 3, 26),
        statement_minor=100_000,
        grace=False,
        rates_bp=TERMS.apr_bp,
    )
    bought = Event(on=cycle.start, change=Change.DEBIT, amount_minor=50_000)
    closed = close(cycle, opening, (bought,), raised)
    assert closed.interest[Category.KEPT_PURCHASE] == 100_000 * 30 * 5 // 10_000
    assert closed.interest[Category.PURCHASE] == 50_000 * 30 * 10 // 10_000
    assert closed.rates_bp[Category.KEPT_PURCHASE] == 1825
    assert closed.averages[Category.KEPT_PURCHASE] == 100_000
    # Beyond the minimum, a payment pays what is dearer.
    following = Cycle(start=date(2027, 3, 31), end=date(2027, 4, 29), due=date(2027, 5, 25))
    paid = Event(on=following.start, change=Change.PAYMENT, amount_minor=30_000)
    asked = closed.carried.minimum_minor
    after = close(following, closed.carried, (paid,), raised).carried.balances
    assert after.of(Category.KEPT_PURCHASE) == 100_000 + 3_000 - asked
    assert after.of(Category.PURCHASE) == 50_000 - (30_000 - asked)
    fallen = protected(closed.carried, TERMS)
    assert fallen.balances.old[Category.KEPT_PURCHASE] == 0
    assert fallen.balances.old[Category.PURCHASE] == 150_000


def test_what_was_kept_ends_with_a_penalty() -> None:
    """Who is more than 60 days late may lose it (12 CFR 1026.55(b)(4))."""
    opening = replace(FIRST, kept_bp={Category.KEPT_PURCHASE: 1_000}, penalty=True)
    assert opening.rate_bp(Category.KEPT_PURCHASE, OPENED, TERMS) == 2_920
    assert replace(opening, penalty=False).rate_bp(Category.KEPT_PURCHASE, OPENED, TERMS) == 1_000


def test_the_penalty_rate_comes_45_days_after_its_notice() -> None:
    """Due on 12 March, 60 days late on 11 May, told with the statement of 15 May: it applies from
    the first cycle that begins on 30 June or later (12 CFR 1026.9(g)(2)), the one from 16 July.
    """
    life = lives(date(2027, 9, 1), (date(2027, 2, 1), "purchase", 100_000))
    notices = [(one.closed.cycle.end.month, one.penalty_from) for one in life.made]
    told = date(2027, 6, 30)
    assert notices == [(2, None), (3, None), (4, None), (5, told), (6, told), (7, None), (8, None)]
    rates = [one.closed.rates_bp[Category.PURCHASE] for one in life.made]
    assert rates == [1825] * 6 + [2920]


def test_who_catches_up_before_the_penalty_begins_is_spared() -> None:
    """Everything is paid on 1 June."""
    life = lives(
        date(2027, 9, 1),
        (date(2027, 2, 1), "purchase", 100_000),
        (date(2027, 6, 1), "payment", 200_000),
    )
    assert not life.account.opening.penalty
    assert life.account.penalty_from is None


def test_what_an_earlier_payment_had_met_is_owed_again() -> None:
    """100.00 paid two minimums of 35.00: 30.00 to spare. Of 80.00 that come back, the spare goes
    first, then the later minimum, then the earlier one.
    """
    first = Demand(due=date(2027, 3, 12), amount_minor=3_500)
    second = Demand(due=date(2027, 4, 12), amount_minor=3_500)
    left, settled = settle((second, first), (), paid_minor=10_000)
    assert (left, settled) == ((), (Settled(met=(first, second), spare_minor=3_000),))
    left, settled = settle((), settled, paid_minor=-8_000)
    assert left == (replace(first, amount_minor=1_500), second)
    assert settled == (Settled(met=(replace(first, amount_minor=2_000),), spare_minor=0),)


@given(
    demands=st.lists(
        st.builds(
            Demand,
            due=st.dates(date(2027, 1, 1), date(2027, 12, 31)),
            amount_minor=st.integers(1, 10_000),
        ),
        max_size=5,
    ),
    paid=st.integers(0, 60_000),
    back=st.integers(0, 60_000),
    owed=st.integers(-10, 60_000),
)
def test_a_payment_that_comes_back_restores_what_it_met(
    demands: list[Demand], paid: int, back: int, owed: int
) -> None:
    """All of it: as if it had never been; a part: as if the rest had been paid alone."""
    asked = tuple(demands)
    left, settled = settle(asked, (), paid_minor=paid)
    total = sum(one.amount_minor for one in left)
    assert total == max(sum(one.amount_minor for one in asked) - paid, 0)
    again, _ = settle(left, settled, paid_minor=-min(back, paid))
    rest = paid - min(back, paid)
    assert sum(one.amount_minor for one in again) == max(
        sum(one.amount_minor for one in asked) - rest, 0
    )
    capped = no_more_than(again, owed)
    assert sum(one.amount_minor for one in capped) == min(
        sum(one.amount_minor for one in again), max(owed, 0)
    )


@pytest.mark.parametrize(
    ("days", "bucket"),
    [(1, Bucket.DAYS_1_29), (30, Bucket.DAYS_30), (45, Bucket.DAYS_60), (180, Bucket.CHARGED_OFF)],
)
def test_nobody_is_blocked_before_the_terms_say_so(days: int, bucket: Bucket) -> None:
    """Terms from before days had to be those of a bucket."""
    assert bucket_from(days) is bucket


def test_the_warning_takes_each_balance_at_its_own_rate() -> None:
    """100.00 at 0 % and 100.00 at 12 %, 100.00 a month: the cheaper first, so one month's interest
    on the dearer is 1.00, the next 1.01, and the third payment 2.01 with 0.02.
    """
    balances = {Category.PURCHASE: 10_000, Category.CASH: 10_000}
    rates = {Category.PURCHASE: 0, Category.CASH: 1_200}
    rule = MinimumRule(floor_minor=10_000, share_bp=0, plus_charges=False)
    found = payoff_warning(balances, rule, rates=[rates])
    assert found is not None
    assert (found.minimum_months, found.minimum_total_minor) == (3, 20_203)


def test_the_warning_knows_when_a_promotion_ends() -> None:
    """0 % until 31 March: of 30 months' payments of 35.00, the first come without interest."""
    cycle = Cycle(start=date(2027, 1, 1), end=date(2027, 1, 31), due=date(2027, 2, 25))
    bought = Event(on=cycle.start, change=Change.DEBIT, amount_minor=100_000)
    promotion = Promotion(category=Category.PURCHASE, apr_bp=0, until=date(2027, 3, 31))
    plain = close(cycle, FIRST, (bought,), TERMS).warning
    promoted = close(cycle, replace(FIRST, promotions=(promotion,)), (bought,), TERMS).warning
    assert plain is not None
    assert promoted is not None
    assert promoted.minimum_total_minor < plain.minimum_total_minor
    rates = [{Category.PURCHASE: 0}] * 3 + [{Category.PURCHASE: 1825}]
    by_hand = payoff_warning({Category.PURCHASE: 100_000}, TERMS.minimum, rates=rates)
    assert by_hand is not None
    assert promoted.minimum_total_minor == by_hand.minimum_total_minor


def test_a_waived_fee_is_not_asked_for_at_once() -> None:
    """25.00 charged and waived in one cycle: the minimum is the floor."""
    cycle = Cycle(start=date(2027, 1, 16), end=date(2027, 2, 15), due=DUE)
    fee = Event(on=cycle.start, change=Change.DEBIT, amount_minor=2_500, category=Category.FEE)
    bought = Event(on=cycle.start, change=Change.DEBIT, amount_minor=300_000)
    waived = replace(fee, change=Change.CREDIT)
    assert close(cycle, FIRST, (bought, fee), TERMS).minimum_minor == 3_025 + 2_500
    assert close(cycle, FIRST, (bought, fee, waived), TERMS).minimum_minor == 3_500
