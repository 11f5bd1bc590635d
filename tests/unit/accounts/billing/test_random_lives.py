"""A year of everything at once: fees, the penalty rate, disputes, charge-off, recovery.

Goal: whatever happens in whatever order, statements and ledger say the same, and nothing is asked
for, charged or given back that must not be. Method: random lives, looked at daily.
"""

from __future__ import annotations

from datetime import timedelta

from hypothesis import event, given, settings
from hypothesis import strategies as st

from accounts.billing.account import Charge
from accounts.billing.terms import Category
from tests.unit.accounts.billing.disputing import DisputingLife
from tests.unit.accounts.billing.life import KINDS, OPENED, at_ms

DAYS = 400
#: Day, what, an amount, which of the charges or disputes there are, and a share in percent.
HAPPENS = st.lists(
    st.tuples(
        st.integers(0, DAYS - 1),
        st.sampled_from(
            [*sorted(KINDS), "purchase", "dispute", "dispute", "credit", "take", "end", "end"]
        ),
        st.integers(1, 200_000),
        st.integers(0, 20),
        st.sampled_from([0, 0, 30, 100, 100]),
    ),
    max_size=30,
).map(lambda drawn: sorted(drawn, key=lambda one: one[0]))


def happens(life: DisputingLife, number: int, drawn: tuple[int, str, int, int, int]) -> None:
    """One thing that happens on a day."""
    _, what, amount, which, share = drawn
    day = OPENED + timedelta(days=number)
    opened = list(life.open)
    match what:
        case "dispute":
            if life.charges:
                charge = life.charges[which % len(life.charges)]
                life.dispute(day, charge, charge.amount_minor * share // 100)
        case "credit" | "take":
            if opened:
                life.credit(
                    day, opened[which % len(opened)], amount if what == "credit" else -amount
                )
        case "end":
            if opened:
                name = opened[which % len(opened)]
                life.end(day, name, life.open[name].amount_minor * share // 100)
        case _:
            # Payments come in some days after their receipt, now and then.
            life.happens(day, what, amount, which if share else 0)


def pays(life: DisputingLife, number: int, months: str) -> None:
    """What is paid by itself: M the minimum, A all of the statement, L late, others nothing."""
    day, opening = OPENED + timedelta(days=number), life.account.opening
    habit = months[len(life.made) % len(months)]
    late = timedelta(days=2 if habit == "L" else 0)
    if opening.due is None or day != opening.due + late:
        return
    amount = {"M": opening.minimum_minor, "A": opening.statement_minor}.get(habit, 0)
    amount = opening.minimum_minor if habit == "L" else amount
    if amount:
        life.happens(day, "payment", amount, 0)


def lived(drawn: list[tuple[int, str, int, int, int]], months: str) -> DisputingLife:
    """All of it; what is open in the end is lost."""
    life = DisputingLife()
    for number in range(DAYS):
        life.looked_at(at_ms(OPENED + timedelta(days=number), 11))
        pays(life, number, months)
        for one in drawn:
            if one[0] == number:
                happens(life, number, one)
    for name in list(life.open):
        life.end(OPENED + timedelta(days=DAYS), name, 0)
    for number in range(DAYS, DAYS + 70):
        life.looked_at(at_ms(OPENED + timedelta(days=number), 11))
    return life


@settings(deadline=None, max_examples=25)
@given(drawn=HAPPENS, months=st.sampled_from(["-", "M", "A", "MML-", "A-", "MM----A"]))
def test_a_year_of_everything(drawn: list[tuple[int, str, int, int, int]], months: str) -> None:
    life = lived(drawn, months)
    _check_statements(life)
    _check_totals(life)
    for charge in ("LATE_FEE", "CHARGE_OFF", "RECOVERY", "FEE_CORRECTION", "LATE_FEE_WAIVER"):
        if life.posted(Charge(charge)):
            event(charge)
    assert life.account.disputes == ()


def _check_statements(life: DisputingLife) -> None:
    owed = 0
    for number, made in enumerate(life.made, start=1):
        closed = made.closed
        lines = sum(one.signed_minor for one in life.lines(number))
        assert (made.number, closed.opening_minor) == (number, owed)
        assert closed.closing_minor == owed + lines, "the sum of the lines is the change"
        owed = closed.closing_minor
        assert min(closed.interest.values()) >= 0
        # What is disputed is not asked for.
        assert 0 <= closed.disputed_minor <= max(owed, 0)
        assert 0 <= closed.minimum_minor <= max(owed - closed.disputed_minor, 0)
        assert 0 <= closed.past_due_minor <= closed.minimum_minor
        # Payments and credits are used to the last cent: what is owed has its categories, and
        # nothing is owed to both sides.
        balances = closed.carried.balances
        assert balances.total == owed
        assert min(balances.old.values()) >= 0
        assert not any(balances.new.values())
        assert not (balances.surplus and any(balances.old.values()))
        if made.before.charged_off_on is not None:
            assert (sum(closed.interest.values()), closed.minimum_minor) == (0, 0)
    left = [one for one in life.entries.values() if one.number is None]
    assert owed + sum(one.signed_minor for one in left) == sum(
        one.signed_minor for one in life.entries.values()
    )


def _check_totals(life: DisputingLife) -> None:
    """No more is given back, or recovered, than there was."""
    for category in (Category.FEE, Category.INTEREST):
        moved = [
            one
            for one in life.postings
            if one.category is category and one.charge not in (Charge.CHARGE_OFF, Charge.RECOVERY)
        ]
        signed = [one.amount_minor if one.change == "DEBIT" else -one.amount_minor for one in moved]
        assert sum(signed) >= 0, category
    assert all(left >= 0 for left in life._fees_left().values())
    assert sum(life.posted(Charge.RECOVERY)) <= sum(life.posted(Charge.CHARGE_OFF))
    assert life.account.charged_off_now_minor >= 0
