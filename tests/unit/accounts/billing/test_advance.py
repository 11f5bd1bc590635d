"""An account through months, looked at daily or rarely: statements add up, each entry once."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.billing.terms import Fees
from tests.unit.accounts.billing.life import DAYS, KINDS, PRODUCT, lived

HAPPENS = st.lists(
    st.tuples(
        st.integers(0, DAYS - 1),
        st.sampled_from(sorted(KINDS)),
        st.integers(1, 300_000),
        # Payments come in some days after their receipt.
        st.sampled_from([0, 0, 0, 3, 40]),
    ),
    max_size=25,
)


@given(happens=HAPPENS, every=st.sampled_from([1, 9, 60]))
@settings(deadline=None, max_examples=30)
def test_statements_follow_one_another_and_hold_every_entry_once(
    happens: list[tuple[int, str, int, int]], every: int
) -> None:
    life = lived(happens, every=every)
    owed = 0
    for number, made in enumerate(life.made, start=1):
        closed = made.closed
        assert made.number == number
        assert closed.opening_minor == owed
        owed = closed.closing_minor
        assert 0 <= closed.minimum_minor <= max(owed, 0)
        assert closed.past_due_minor <= closed.minimum_minor
        assert min(closed.interest.values()) >= 0
    left = [one for one in life.entries.values() if one.number is None]
    assert owed + sum(one.signed_minor for one in left) == sum(
        one.signed_minor for one in life.entries.values()
    )
    cycle = life.account.cycle
    assert cycle is not None
    assert all(PRODUCT.day(one.post_ms) >= cycle.start for one in left)


@given(happens=HAPPENS, every=st.sampled_from([9, 60]))
@settings(deadline=None, max_examples=20)
def test_who_looks_late_makes_the_same_statements(
    happens: list[tuple[int, str, int, int]], every: int
) -> None:
    """But for late fees, which take effect when they are posted, and for what follows when a
    statement is issued too late for its due date.
    """
    product = replace(PRODUCT, terms=replace(PRODUCT.terms, fees=Fees(), penalty=None))
    daily = lived(happens, every=1, product=product, in_time=True)
    rarely = lived(happens, every=every, product=product, in_time=True)
    assert [one.closed for one in rarely.made] == [one.closed for one in daily.made]


@given(happens=HAPPENS, every=st.sampled_from([30, 60]))
@settings(deadline=None, max_examples=20)
def test_who_is_told_late_pays_no_more_for_it(
    happens: list[tuple[int, str, int, int]], every: int
) -> None:
    """Statements that are issued too late for their due dates cost nobody anything."""
    product = replace(PRODUCT, terms=replace(PRODUCT.terms, penalty=None))
    in_time = lived(happens, every=every, product=product, in_time=True)
    told_late = lived(happens, every=every, product=product)
    assert told_late.charged_minor <= in_time.charged_minor
