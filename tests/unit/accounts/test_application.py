"""The states of applications, and the scorecard."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.applications.application import (
    FINAL,
    Application,
    Fulfilment,
    State,
    Transition,
    move,
)
from accounts.applications.notice import Bureau, Creditor, adverse_action
from accounts.applications.scorecard import (
    REASONS_MAX,
    SCORE_MAX,
    Facts,
    Identity,
    Outcome,
    Policy,
    score,
)
from accounts.machine import IllegalTransition

SUBMITTED, IN_REVIEW, PENDING, APPROVED, DECLINED, WITHDRAWN, EXPIRED = State

APPLICATION = Application(
    id="app_0a" + "1" * 32,
    user_id="usr_0a" + "2" * 32,
    company_id="",
    programme_id="prog_x",
    state=SUBMITTED,
    currency_code="USD",
    requested_limit_minor=100_000,
    applicant=b"",
    data_key=b"",
    person_key=b"",
    decision=b"",
    offered_limit_minor=0,
    granted_limit_minor=0,
    missing="IDENTITY,INCOME",
    fulfilment=Fulfilment.NONE,
    expire_time_ms=100,
    version=1,
    create_time_ms=1,
    update_time_ms=1,
)

#: Where each transition leads from each state; what is not here is refused.
TABLE: dict[Transition, dict[State, State]] = {
    Transition.REVIEW: {SUBMITTED: IN_REVIEW, PENDING: IN_REVIEW, IN_REVIEW: IN_REVIEW},
    Transition.ASK_DOCUMENTS: {SUBMITTED: PENDING, IN_REVIEW: PENDING, PENDING: PENDING},
    Transition.PASS: {SUBMITTED: APPROVED, APPROVED: APPROVED},
    Transition.FAIL: {SUBMITTED: DECLINED, DECLINED: DECLINED},
    Transition.APPROVE: {IN_REVIEW: APPROVED, APPROVED: APPROVED},
    Transition.DECLINE: {IN_REVIEW: DECLINED, PENDING: DECLINED, DECLINED: DECLINED},
    Transition.WITHDRAW: {
        SUBMITTED: WITHDRAWN,
        IN_REVIEW: WITHDRAWN,
        PENDING: WITHDRAWN,
        WITHDRAWN: WITHDRAWN,
    },
    Transition.EXPIRE: {
        SUBMITTED: EXPIRED,
        IN_REVIEW: EXPIRED,
        PENDING: EXPIRED,
        EXPIRED: EXPIRED,
    },
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("transition", Transition)
def test_every_transition_from_every_state(state: State, transition: Transition) -> None:
    application = replace(APPLICATION, state=state)
    moved = move(application, transition, now_ms=9)
    target = TABLE[transition].get(state)
    if target is None:
        assert isinstance(moved, IllegalTransition)
        assert moved.source == state
        assert bool(moved.allowed) is (state not in FINAL)
    elif target is state:
        assert moved is application
    else:
        assert isinstance(moved, Application)
        assert (moved.state, moved.version, moved.update_time_ms) == (target, 2, 9)
        opens = target is APPROVED
        assert moved.fulfilment is (Fulfilment.OPEN_ACCOUNT if opens else Fulfilment.NONE)
        assert moved.missing == (APPLICATION.missing if target is PENDING else "")


def test_ids_of_what_it_opens_follow_from_it() -> None:
    again = replace(APPLICATION, version=7, state=APPROVED)
    assert (again.account_id, again.card_id) == (APPLICATION.account_id, APPLICATION.card_id)
    assert APPLICATION.account_id.startswith("acct_0a")
    assert APPLICATION.card_id.startswith("card_0a")


GOOD = Facts(
    age=40,
    identity=Identity.VERIFIED,
    watch_list=False,
    duplicate=False,
    other_person=False,
    credit_score=780,
    delinquencies=0,
    inquiries=0,
    bankruptcy=False,
    income_minor=600_000,
    housing_minor=100_000,
    debt_minor=0,
    earning=True,
    employment_months=48,
    requested_minor=500_000,
)
POLICY = Policy(
    approve_score=700,
    decline_score=500,
    limit_min_minor=50_000,
    limit_max_minor=1_000_000,
    income_percent=200,
    always_review=False,
)


@pytest.mark.parametrize(
    ("change", "outcome", "reason"),
    [
        ({}, Outcome.APPROVE, ""),
        ({"credit_score": 650, "inquiries": 3}, Outcome.REVIEW, ""),
        ({"credit_score": None}, Outcome.REVIEW, ""),
        ({"identity": Identity.UNVERIFIED}, Outcome.ASK_DOCUMENTS, ""),
        ({"identity": Identity.MISMATCH}, Outcome.DECLINE, "Unable to verify identity"),
        ({"bankruptcy": True}, Outcome.DECLINE, "Bankruptcy"),
        ({"age": 17}, Outcome.DECLINE, "Applicant does not have the legal capacity to contract"),
        (
            {"income_minor": 110_000},
            Outcome.DECLINE,
            "Income insufficient for amount of credit requested",
        ),
        (
            {"credit_score": 540, "delinquencies": 3},
            Outcome.DECLINE,
            "Delinquent past or present credit obligations with others",
        ),
        # A person looks first, and nothing is told of why.
        ({"watch_list": True, "bankruptcy": True}, Outcome.REVIEW, ""),
        ({"duplicate": True}, Outcome.REVIEW, ""),
        ({"other_person": True, "bankruptcy": True}, Outcome.REVIEW, ""),
    ],
)
def test_outcomes(change: dict[str, Any], outcome: Outcome, reason: str) -> None:
    scored = score(replace(GOOD, **change), POLICY)
    assert scored.outcome is outcome, scored
    if reason:
        assert reason in scored.reasons


def test_limits() -> None:
    """In whole hundreds, never above what was asked for, granted at most, or carried."""
    assert score(GOOD, POLICY).limit_minor == 500_000
    assert score(replace(GOOD, requested_minor=123_456), POLICY).limit_minor == 120_000
    assert score(replace(GOOD, requested_minor=2_000_000), POLICY).limit_minor == 1_000_000
    poor = replace(GOOD, income_minor=180_000, requested_minor=2_000_000)
    assert score(poor, POLICY).limit_minor == 160_000
    assert score(replace(GOOD, requested_minor=40_000), POLICY).limit_minor == 0


def test_a_person_always_looks_if_the_programme_says_so() -> None:
    assert score(GOOD, replace(POLICY, always_review=True)).outcome is Outcome.REVIEW


FACTS = st.builds(
    Facts,
    age=st.integers(16, 100),
    identity=st.sampled_from(Identity),
    watch_list=st.booleans(),
    duplicate=st.booleans(),
    other_person=st.booleans(),
    credit_score=st.none() | st.integers(300, 850),
    delinquencies=st.integers(0, 20),
    inquiries=st.integers(0, 30),
    bankruptcy=st.booleans(),
    income_minor=st.integers(0, 10**8),
    housing_minor=st.integers(0, 10**8),
    debt_minor=st.integers(0, 10**8),
    earning=st.booleans(),
    employment_months=st.integers(0, 500),
    requested_minor=st.integers(1, 10**8),
)


@given(FACTS)
def test_every_outcome_explains_itself(facts: Facts) -> None:
    scored = score(facts, POLICY)
    assert 0 <= scored.score <= SCORE_MAX
    assert len(scored.reasons) <= REASONS_MAX
    if scored.outcome is Outcome.DECLINE:
        assert scored.reasons
    if scored.outcome is Outcome.APPROVE:
        assert POLICY.limit_min_minor <= scored.limit_minor <= POLICY.limit_max_minor
        assert not any((facts.watch_list, facts.duplicate, facts.other_person, facts.bankruptcy))


@given(FACTS, st.integers(18, 99))
def test_age_never_counts(facts: Facts, age: int) -> None:
    """Beyond the capacity to contract (12 CFR 1002.6(b)(2))."""
    adult = replace(facts, age=40)
    assert score(replace(facts, age=age), POLICY) == score(adult, POLICY)


@given(FACTS, st.integers(1, 200))
def test_a_better_credit_score_is_never_worse(facts: Facts, more: int) -> None:
    if facts.credit_score is not None:
        better = replace(facts, credit_score=facts.credit_score + more)
        assert score(better, POLICY).score >= score(facts, POLICY).score


def test_the_notice_says_what_the_law_asks_for() -> None:
    text = adverse_action(
        creditor=Creditor(name="Test Bank", agency="Test Agency"),
        reasons=("Bankruptcy", "Length of employment"),
        bureau=Bureau(
            name="Bureau", score=540, score_low=300, score_high=850, factors=("Too many inquiries",)
        ),
        day=date(2027, 1, 15),
    )
    for part in (
        "Test Bank is unable to approve",
        "- Bankruptcy\n- Length of employment",
        "Equal Credit Opportunity Act",
        "Test Agency",
        "obtained from Bureau",
        "no later than 60 days",
        "score of 540, created on 2027-01-15, from a range of 300 to 850",
        "Too many inquiries",
    ):
        assert part in text
    without = adverse_action(
        creditor=Creditor(name="B", agency="A"), reasons=("X",), bureau=None, day=date(2027, 1, 15)
    )
    assert "free copy" not in without
