"""What a won dispute gives back besides its amount: interest, the charge's fees, late fees
(12 CFR 1026.13(e)(1)). Worked by hand; cycles close on the 15th, payment is due on the 12th.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from accounts.billing.account import Charge
from tests.unit.accounts.billing.disputing import DisputingLife
from tests.unit.accounts.billing.life import FEES, OPENED, PRODUCT, at_ms

#: No annual fee: it has nothing to do with charges.
PLAIN = replace(
    PRODUCT,
    terms=replace(PRODUCT.terms, fees=replace(FEES, annual_minor=0), penalty=None),
)
BACK = (Charge.FEE_CORRECTION, Charge.LATE_FEE_WAIVER, Charge.INTEREST_CORRECTION)
FEES_OF_CHARGES = (Charge.CASH_ADVANCE_FEE, Charge.FOREIGN_FEE)


def at(life: DisputingLife, day: str) -> date:
    """A day has come; everything that was due on the days until then is done."""
    found = date.fromisoformat(day)
    for number in range((found - OPENED).days + 1):
        life.looked_at(at_ms(OPENED + timedelta(days=number), 11))
    return found


def charged(kind: str, amount_minor: int, day: str = "2027-02-01") -> DisputingLife:
    """A life with one charge."""
    life = DisputingLife(PLAIN)
    life.happens(at(life, day), kind, amount_minor, 0)
    return life


@pytest.mark.parametrize(
    ("kind", "amount", "fee", "won", "back"),
    [
        ("foreign", 100_000, 3_000, 100_000, 3_000),
        ("foreign", 100_000, 3_000, 40_000, 1_200),
        ("foreign", 100_000, 3_000, 0, 0),
        ("foreign", 101, 3, 51, 1),
        ("cash", 100_000, 5_000, 100_000, 5_000),
        ("cash", 100_000, 5_000, 60_000, 3_000),
        # The floor is 10.00.
        ("cash", 100_000, 5_000, 90_000, 4_000),
        ("cash", 10_000, 1_000, 9_999, 0),
        ("cash", 10_000, 1_000, 10_000, 1_000),
        ("purchase", 100_000, 0, 100_000, 0),
    ],
)
def test_fees_of_the_charge(kind: str, amount: int, fee: int, won: int, back: int) -> None:
    """Billed on 15 February with its fee, disputed on the 20th, decided on the 25th: the next
    statement gives the fee back of what was won, named by the charge; once.
    """
    life = charged(kind, amount)
    name = life.dispute(at(life, "2027-02-20"), life.charges[0])
    life.end(at(life, "2027-02-25"), name, won)
    for day in ("2027-03-17", "2027-04-17", "2027-05-17"):
        at(life, day)
    assert sum(life.posted(*FEES_OF_CHARGES)) == fee
    assert sum(life.posted(Charge.FEE_CORRECTION)) == back
    found = [one for one in life.postings if one.charge is Charge.FEE_CORRECTION]
    assert {one.related_entry_id for one in found} <= {life.charges[0].entry_id}
    assert {one.number for one in found} <= {2}


def test_a_charge_that_is_won_before_its_statement_has_the_fee_of_what_is_left() -> None:
    life = charged("foreign", 100_000)
    name = life.dispute(at(life, "2027-02-03"), life.charges[0])
    life.end(at(life, "2027-02-10"), name, 60_000)
    at(life, "2027-03-17")
    assert life.posted(*FEES_OF_CHARGES, Charge.FEE_CORRECTION) == [1_200]


def test_a_charge_that_is_disputed_twice() -> None:
    """30 % are won of the first 60 %, then all of the other 40 %: 3 % of 700.00 in all."""
    life = charged("foreign", 100_000)
    first = life.dispute(at(life, "2027-02-20"), life.charges[0], 60_000)
    life.end(at(life, "2027-02-25"), first, 30_000)
    second = life.dispute(at(life, "2027-03-20"), life.charges[0])
    life.end(at(life, "2027-03-25"), second, 40_000)
    at(life, "2027-06-17")
    assert life.posted(Charge.FEE_CORRECTION) == [900, 1_200]


@pytest.mark.parametrize(
    ("disputed", "ended", "statement"),
    [
        # While the cycle of the late fee still runs, and after its statement.
        ("2027-03-13", "2027-03-15", 2),
        ("2027-03-20", "2027-03-25", 3),
        ("2027-03-20", "2027-05-25", 5),
    ],
)
def test_a_late_fee_for_what_was_never_owed(disputed: str, ended: str, statement: int) -> None:
    """All that the first statement asked for was the disputed charge: nobody was late with it, nor
    with what followed from that; and no interest was due.
    """
    life = charged("purchase", 100_000)
    at(life, "2027-03-13")
    assert life.posted(Charge.LATE_FEE) == [2_500]
    name = life.dispute(at(life, disputed), life.charges[0])
    life.end(at(life, ended), name, 100_000)
    for day in ("2027-03-17", "2027-04-17", "2027-05-17", "2027-06-17", "2027-07-17"):
        if day > ended:
            at(life, day)
    assert life.charged_minor == 0
    (back,) = [one for one in life.postings if one.charge is Charge.LATE_FEE_WAIVER]
    late = sum(life.posted(Charge.LATE_FEE))
    assert (back.amount_minor, back.number) == (late, statement)


def test_a_late_fee_that_the_rest_would_have_cost_too() -> None:
    """1,200.00, of which 1,000.00 are won: the other 200.00 had a minimum of 35.00, too."""
    life = charged("purchase", 100_000)
    life.happens(at(life, "2027-02-02"), "purchase", 20_000, 0)
    at(life, "2027-03-13")
    name = life.dispute(at(life, "2027-03-20"), life.charges[0])
    life.end(at(life, "2027-03-25"), name, 100_000)
    at(life, "2027-04-17")
    assert life.posted(Charge.LATE_FEE_WAIVER) == []


def test_a_late_fee_is_no_more_than_the_minimum_that_is_left() -> None:
    """But for what is won only 12.00 were owed, all of them by 12 March: so is the first fee. The
    second statement has asked for 24.17 then (12.00, the fee, interest of 0.17): so is the next.
    """
    life = charged("purchase", 100_000)
    life.happens(at(life, "2027-02-02"), "purchase", 1_200, 0)
    at(life, "2027-03-13")
    name = life.dispute(at(life, "2027-03-20"), life.charges[0])
    life.end(at(life, "2027-03-25"), name, 100_000)
    at(life, "2027-04-17")
    assert life.posted(Charge.LATE_FEE_WAIVER) == [2_500 - 1_200 + 3_500 - 2_417]


def test_two_disputes_give_a_late_fee_back_once() -> None:
    """Of 12.00, 500.00 and 500.00: each of the two alone leaves a minimum of 35.00. Both together
    leave what they leave in one dispute (above).
    """
    life = charged("purchase", 50_000)
    life.happens(at(life, "2027-02-02"), "purchase", 50_000, 0)
    life.happens(at(life, "2027-02-02"), "purchase", 1_200, 0)
    at(life, "2027-03-13")
    one, other = life.charges[:2]
    first = life.dispute(at(life, "2027-03-20"), one)
    second = life.dispute(at(life, "2027-03-20"), other)
    life.end(at(life, "2027-03-25"), first, 50_000)
    at(life, "2027-04-17")
    assert life.posted(Charge.LATE_FEE_WAIVER) == []
    life.end(at(life, "2027-04-25"), second, 50_000)
    at(life, "2027-07-17")
    assert life.posted(Charge.LATE_FEE_WAIVER) == [2_500 - 1_200 + 3_500 - 2_417]
