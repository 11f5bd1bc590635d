"""Disputes: what leads where, until when, for how much, and what each end has posted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.billing.calendar import Cycle, Rhythm, first_cycle
from accounts.disputes.dispute import (
    DISPUTES,
    OPEN,
    Charge,
    Dispute,
    Earlier,
    Kind,
    Liability,
    Posting,
    Refused,
    State,
    Transition,
    acknowledge_by,
    acknowledged,
    disputable,
    granted,
    moved,
    resolve_by,
    resolved,
    taken_back,
    withdrawn,
)
from accounts.machine import IllegalTransition

NOW = 1_000_000
DISPUTE = Dispute(
    id="disp",
    account_id="acct",
    card_id="card",
    user_id="",
    authorization_id="auth",
    entry_id="ent",
    category="PURCHASE",
    reason="FRAUD",
    state=State.SUBMITTED,
    currency_code="USD",
    amount_minor=1_000,
    description=b"",
    data_key=b"",
    person_key=b"",
    credited_minor=0,
    merchant_minor=0,
    issuer_minor=0,
    cardholder_minor=0,
    acknowledge_due_time_ms=2_000_000,
    resolve_due_time_ms=3_000_000,
    acknowledged_ms=0,
    ended_ms=0,
    version=1,
    create_time_ms=0,
    update_time_ms=0,
)
_ENDS = {Transition.WIN, Transition.WIN_IN_PART, Transition.LOSE, Transition.WITHDRAW}
#: What may be done in each state; anything else is refused.
ALLOWED = {
    State.SUBMITTED: {Transition.INVESTIGATE, Transition.WITHDRAW},
    State.INVESTIGATING: {Transition.CHARGE_BACK, *_ENDS},
    State.CHARGEBACK: {Transition.REPRESENT, *_ENDS},
    State.REPRESENTMENT: {Transition.ARBITRATE, *_ENDS},
    State.ARBITRATION: _ENDS,
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("transition", Transition)
def test_every_transition_from_every_state(state: State, transition: Transition) -> None:
    target = DISPUTES.steps[transition].target
    found = moved(replace(DISPUTE, state=state), transition, now_ms=NOW)
    if state is target:
        assert found == replace(DISPUTE, state=state)
    elif transition in ALLOWED.get(state, ()):
        assert isinstance(found, Dispute)
        assert (found.state, found.version) == (target, 2)
        assert found.ended_ms == (0 if target in OPEN else NOW)
    else:
        assert isinstance(found, IllegalTransition)
        assert (found.source, found.target) == (state, target)


CHARGE = Charge(
    entry_id="ent",
    amount_minor=1_000,
    owed_minor=1_000,
    posted_on=date(2027, 1, 5),
    shown_on=date(2027, 1, 20),
    billed=True,
)


def earlier(state: State, amount_minor: int, entry_id: str = "ent") -> Earlier:
    return Earlier(dispute_id="before", entry_id=entry_id, state=state, amount_minor=amount_minor)


@pytest.mark.parametrize(
    ("charge", "before", "amount", "today", "found"),
    [
        (CHARGE, (), 0, date(2027, 3, 21), 1_000),
        (CHARGE, (), 1_000, date(2027, 3, 21), 1_000),
        # The 60th day after the statement is the last.
        (CHARGE, (), 0, date(2027, 3, 22), "DISPUTE_TOO_LATE"),
        (replace(CHARGE, shown_on=None), (), 0, date(2029, 1, 1), 1_000),
        (replace(CHARGE, billed=False), (), 0, date(2027, 3, 6), 1_000),
        (replace(CHARGE, billed=False), (), 0, date(2027, 3, 7), "DISPUTE_TOO_LATE"),
        (CHARGE, (), 1_001, date(2027, 2, 1), "AMOUNT_EXCEEDS_CHARGE"),
        (replace(CHARGE, owed_minor=400), (), 0, date(2027, 2, 1), 400),
        (replace(CHARGE, owed_minor=0), (), 0, date(2027, 2, 1), "AMOUNT_EXCEEDS_CHARGE"),
        (replace(CHARGE, owed_minor=-5), (), 1, date(2027, 2, 1), "AMOUNT_EXCEEDS_CHARGE"),
        (CHARGE, (earlier(State.CHARGEBACK, 1),), 1, date(2027, 2, 1), "DISPUTE_EXISTS"),
        (CHARGE, (earlier(State.LOST, 300),), 0, date(2027, 2, 1), 700),
        (CHARGE, (earlier(State.WON, 1_000),), 0, date(2027, 2, 1), "AMOUNT_EXCEEDS_CHARGE"),
        (CHARGE, (earlier(State.WITHDRAWN, 1_000),), 0, date(2027, 2, 1), 1_000),
        # Another clearing of the same purchase, whose refunds nobody can tell apart.
        (CHARGE, (earlier(State.CHARGEBACK, 600, "other"),), 0, date(2027, 2, 1), 400),
    ],
)
def test_what_may_be_disputed(
    charge: Charge, before: tuple[Earlier, ...], amount: int, today: date, found: int | str
) -> None:
    answer = disputable(charge, before, amount_minor=amount, today=today)
    assert (answer.reason if isinstance(answer, Refused) else answer) == found


def test_deadlines() -> None:
    """Two complete cycles after the one of the notice, 90 days at most; 30 for the answer."""
    rhythm = Rhythm(closing_day=15)
    cycle = first_cycle(date(2027, 1, 16), rhythm)
    assert acknowledge_by(date(2027, 2, 10)) == date(2027, 3, 12)
    assert resolve_by(date(2027, 2, 10), cycle, rhythm) == date(2027, 4, 15)
    # On the first day of a cycle, three months would pass: 90 days are less.
    assert resolve_by(date(2027, 2, 16), cycle, rhythm) == date(2027, 5, 15)
    assert resolve_by(date(2027, 7, 16), cycle, rhythm) == date(2027, 10, 14)
    assert resolve_by(date(2027, 2, 10), None, None) == date(2027, 5, 11)


@given(
    opened=st.dates(date(2027, 1, 1), date(2032, 1, 1)),
    closing_day=st.integers(1, 31),
    later=st.integers(0, 400),
)
def test_the_end_is_never_before_two_cycles_nor_after_90_days(
    opened: date, closing_day: int, later: int
) -> None:
    rhythm = Rhythm(closing_day=closing_day)
    cycle: Cycle = first_cycle(opened, rhythm)
    received = date.fromordinal(opened.toordinal() + later)
    last = resolve_by(received, cycle, rhythm)
    assert 56 <= (last - received).days <= 90


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 1_500)), max_size=8),
    shares=st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)),
    withdraws=st.booleans(),
)
def test_the_ledger_ends_with_what_was_won(
    steps: list[tuple[bool, int]], shares: tuple[int, int], withdraws: bool
) -> None:
    """Whatever was credited and taken back before: the customer has what was won, and nothing is
    left provisional.
    """
    dispute = replace(DISPUTE, state=State.INVESTIGATING)
    posted = list[Posting]()
    for grants, amount in steps:
        step = granted if grants else taken_back
        found = step(dispute, amount_minor=amount, now_ms=NOW)
        if not isinstance(found, Refused):
            dispute = found[0]
            posted += found[1]
        assert 0 <= dispute.credited_minor <= dispute.amount_minor
    merchant, issuer = min(shares), abs(shares[0] - shares[1])
    liability = Liability(
        merchant_minor=merchant, issuer_minor=issuer, cardholder_minor=1_000 - merchant - issuer
    )
    if withdraws:
        done, liability = withdrawn(dispute, now_ms=NOW), Liability(cardholder_minor=1_000)
    else:
        done = resolved(dispute, liability, now_ms=NOW)
    assert not isinstance(done, IllegalTransition)
    ended, last = done
    posted += last

    def total(kind: Kind) -> int:
        return sum(one.amount_minor for one in posted if one.kind is kind)

    credited = total(Kind.PROVISIONAL_CREDIT) - total(Kind.PROVISIONAL_CREDIT_REVERSAL)
    assert credited == liability.won_minor == ended.credited_minor
    assert total(Kind.DISPUTE_CLAIM) + total(Kind.DISPUTE_LOSS) == credited
    assert total(Kind.DISPUTE_LOSS) == liability.issuer_minor
    assert ended.merchant_minor + ended.issuer_minor + ended.cardholder_minor == 1_000
    assert ended.deadline_ms is None
    assert isinstance(granted(ended, amount_minor=0, now_ms=NOW), Refused)
    assert isinstance(acknowledged(ended, now_ms=NOW), Refused)


def test_an_end_is_not_repeated_with_another_split() -> None:
    """Who asks again for the state that it has is refused: the split would not count."""
    lost = replace(DISPUTE, state=State.LOST, ended_ms=1)
    liability = Liability(cardholder_minor=1_000)
    assert isinstance(resolved(lost, liability, now_ms=NOW), IllegalTransition)
    taken = replace(DISPUTE, state=State.WITHDRAWN, ended_ms=1)
    assert withdrawn(taken, now_ms=NOW) == (taken, ())


def test_the_next_deadline() -> None:
    assert DISPUTE.deadline_ms == 2_000_000
    assert not DISPUTE.overdue(1_999_999)
    assert DISPUTE.overdue(2_000_000)
    known = acknowledged(DISPUTE, now_ms=NOW)
    assert isinstance(known, Dispute)
    assert known.deadline_ms == 3_000_000
    assert acknowledged(known, now_ms=NOW + 1) is known
