"""Disputed charges: what they cost while it is open whether they are owed, and afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.billing.account import Booked
from accounts.billing.aside import ended, opened
from accounts.billing.balances import Change
from accounts.billing.disputed import Disputed
from accounts.billing.product import Product
from accounts.billing.terms import Category, MinimumRule, Terms
from tests.unit.accounts.billing.life import (
    ACCOUNT,
    DAYS,
    OPENED,
    ZONE,
    Life,
    at_ms,
)

#: 0.05 % a day on everything, so that it does not matter what a payment pays first; no fees.
TERMS = Terms(
    effective_from=date(2027, 1, 1),
    apr_bp=dict.fromkeys(Category, 1825),
    minimum=MinimumRule(floor_minor=0, share_bp=0, plus_charges=False, plus_past_due=False),
)
PLAIN = Product(version=1, terms=TERMS, zone=ZONE, closing_day=15, due_days=25)
NO_GRACE = replace(PLAIN, terms=replace(TERMS, grace=False))
CHARGE = 100_000


class DisputedLife(Life):
    """A life with one charge that is disputed."""

    def __init__(self, product: Product = PLAIN) -> None:
        super().__init__(product)
        self.charge = ""

    def charged(self, day: date, amount_minor: int = CHARGE) -> None:
        """The charge that will be disputed."""
        self.happens(day, "purchase", amount_minor, 0)
        self.charge = list(self.entries)[-1]

    def disputed(self, day: date, amount_minor: int = CHARGE) -> None:
        """It is disputed."""
        charge = self.entries[self.charge]
        shown = next((one for one in self.made if one.number == charge.number), None)
        dispute = Disputed(
            dispute_id="disp",
            entry_id=self.charge,
            category=Category.PURCHASE,
            amount_minor=amount_minor,
            on=self.product.day(charge.value_ms),
            since=day,
        )
        due = shown.closed.cycle.due if shown else None
        self.account = self._kept(opened(self.account, dispute, self.product, shown_due=due))

    def credited(self, day: date, amount_minor: int) -> None:
        """Provisional credit, or less of it."""
        taken = amount_minor < 0
        self._book(
            Booked(
                entry_id=f"ent_{len(self.entries)}",
                account_id=ACCOUNT,
                seq=len(self.entries),
                type="PROVISIONAL_CREDIT_REVERSAL" if taken else "PROVISIONAL_CREDIT",
                change=Change.DEBIT if taken else Change.CREDIT,
                category=Category.PURCHASE,
                amount_minor=abs(amount_minor),
                value_ms=at_ms(day),
                post_ms=at_ms(day),
                related_entry_id=self.charge,
            )
        )

    def settled(self, day: date, won_minor: int, credited_minor: int) -> None:
        """It ends; what was credited becomes what was won."""
        self.account = self._kept(ended(self.account, "disp", on=day, won_minor=won_minor))
        self.ended += [one for one in self.account.disputes if one.dispute_id == "disp"]
        if won_minor != credited_minor:
            self.credited(day, won_minor - credited_minor)

    @property
    def interest_minor(self) -> int:
        """All interest, less what was given back of it."""
        return sum(one.signed_minor for one in self.entries.values() if one.category == "INTEREST")


def day_of(number: int) -> date:
    """A day of the life."""
    return OPENED + timedelta(days=number)


OTHERS = st.lists(
    st.tuples(
        st.integers(0, DAYS - 1),
        st.sampled_from(["purchase", "refund", "payment"]),
        st.integers(1, 100_000),
    ),
    max_size=12,
)
#: Days of the charge, the dispute, the provisional credit and the end.
WHEN = st.tuples(
    st.integers(0, 40), st.integers(1, 30), st.integers(0, 60), st.integers(0, 20)
).map(lambda one: (one[0], sum(one[:2]), sum(one[:3]), sum(one[:4])))


def lived(
    others: list[tuple[int, str, int]],
    when: tuple[int, int, int, int],
    *,
    product: Product,
    charged: bool = True,
    disputed: bool = True,
    won_minor: int = CHARGE,
    credited: bool = True,
) -> DisputedLife:
    """A life of eleven months; the others happen in the first five."""
    life, (charge, dispute, credit, end) = DisputedLife(product), when
    for number in range(2 * DAYS):
        day = day_of(number)
        for _, kind, amount in (one for one in others if one[0] == number):
            life.happens(day, kind, amount, 0)
        if charged and number == charge:
            life.charged(day)
        life.looked_at(at_ms(day, 11))
        if disputed and number == dispute:
            life.disputed(day)
        if disputed and credited and number == credit:
            life.credited(day, CHARGE)
        if disputed and number == end:
            life.settled(day, won_minor, CHARGE if credited else 0)
        life.looked_at(at_ms(day, 20))
    return life


def tolerance(life: DisputedLife) -> int:
    """What is made good is made good with a later statement: it has borne a cycle's interest."""
    return 2 + life.interest_minor * 31 * 5 // 10_000


@settings(max_examples=40)
@given(others=OTHERS, when=WHEN, credited=st.booleans())
def test_won_leaves_nothing(
    others: list[tuple[int, str, int]], when: tuple[int, int, int, int], credited: bool
) -> None:
    """What was won costs what a charge costs that never was."""
    life = lived(others, when, product=PLAIN, credited=credited)
    never = lived(others, when, product=PLAIN, charged=False, disputed=False)
    assert life.interest_minor - never.interest_minor <= tolerance(life)
    assert life.account.disputes == ()


@settings(max_examples=40)
@given(others=OTHERS, when=WHEN, credited=st.booleans())
def test_lost_costs_what_it_would_have_cost(
    others: list[tuple[int, str, int]], when: tuple[int, int, int, int], credited: bool
) -> None:
    """Without grace: to the cent what the charge costs that nobody disputed."""
    life = lived(others, when, product=NO_GRACE, won_minor=0, credited=credited)
    never = lived(others, when, product=NO_GRACE, disputed=False)
    assert abs(life.interest_minor - never.interest_minor) <= tolerance(never)
    assert life.account.disputes == ()


@settings(max_examples=40)
@given(others=OTHERS, when=WHEN, won_minor=st.integers(0, CHARGE), credited=st.booleans())
def test_disputing_never_costs_more(
    others: list[tuple[int, str, int]],
    when: tuple[int, int, int, int],
    won_minor: int,
    credited: bool,
) -> None:
    """Whoever disputes pays no more interest than who does not."""
    life = lived(others, when, product=PLAIN, won_minor=won_minor, credited=credited)
    never = lived(others, when, product=PLAIN, disputed=False)
    assert life.interest_minor <= never.interest_minor + tolerance(never)
    assert life.account.disputes == ()
