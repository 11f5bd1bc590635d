"""The life of a payment: which step follows which, and what no state allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from payments import payment as life
from payments.payment import Basis, Cause, Payment, Source, State, Step, WrongState

NOW = 1_800_000_000_000
ACCOUNT = "acct_0a" + "1" * 32

NEW = Payment(
    id="pay_0a" + "2" * 32,
    account_id=ACCOUNT,
    state=State.PENDING,
    step=Step.CHARGE,
    source=Source.IN_HOUSE,
    funding_source_id="src_0a" + "3" * 32,
    basis=Basis.FIXED,
    amount_minor=5_000,
    currency_code="USD",
    cause=Cause.REQUEST,
    time_zone="America/New_York",
    due_ms=NOW,
    create_ms=NOW,
    update_ms=NOW,
)
SCHEDULED = replace(NEW, state=State.SCHEDULED, step=Step.BEGIN)
ASKED = life.asking(NEW, until_ms=NOW + 60_000, now_ms=NOW)
CHARGED = life.charged(ASKED, reference="ch_1", receive_ms=NOW, now_ms=NOW)
HELD = life.credited(CHARGED, hold_days=2, release_ms=NOW + 1_000, now_ms=NOW)
RELEASED = life.released(HELD, now_ms=NOW)
GOING_BACK = life.went_back(HELD, reason="R01", now_ms=NOW)
RETURNED = life.taken_back(GOING_BACK, now_ms=NOW)
FAILED = life.failed(ASKED, reference="ch_1", reason="INSUFFICIENT_FUNDS", now_ms=NOW)
CANCELED = life.canceled(NEW, now_ms=NOW)
ALL = {
    "scheduled": SCHEDULED,
    "new": NEW,
    "asked": ASKED,
    "charged": CHARGED,
    "held": HELD,
    "released": RELEASED,
    "going back": GOING_BACK,
    "returned": RETURNED,
    "failed": FAILED,
    "canceled": CANCELED,
}

#: Each move, and the payments that it is allowed for.
MOVES: dict[str, tuple[Callable[[Payment], Payment], set[str]]] = {
    "begun": (lambda one: life.begun(one, amount_minor=1, now_ms=NOW), {"scheduled"}),
    "canceled": (lambda one: life.canceled(one, now_ms=NOW), {"scheduled", "new"}),
    "asking": (lambda one: life.asking(one, until_ms=NOW, now_ms=NOW), {"new"}),
    "waiting": (
        lambda one: life.waiting(one, reference="ch", again_ms=NOW, now_ms=NOW),
        {"asked"},
    ),
    "charged": (
        lambda one: life.charged(one, reference="ch", receive_ms=NOW, now_ms=NOW),
        {"asked"},
    ),
    "failed": (lambda one: life.failed(one, reference="", reason="X", now_ms=NOW), {"asked"}),
    "credited": (
        lambda one: life.credited(one, hold_days=0, release_ms=NOW, now_ms=NOW),
        {"charged"},
    ),
    "hurried": (lambda one: life.hurried(one, now_ms=NOW), {"held"}),
    "released": (lambda one: life.released(one, now_ms=NOW), {"held"}),
    "went back": (
        lambda one: life.went_back(one, reason="R01", now_ms=NOW),
        {"charged", "held", "released"},
    ),
    "taken back": (lambda one: life.taken_back(one, now_ms=NOW), {"going back"}),
}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("where", ALL)
def test_every_move_is_allowed_where_it_is_and_nowhere_else(name: str, where: str) -> None:
    """Goal: no way leads from one state to another but those that are meant."""
    move, allowed = MOVES[name]
    if where not in allowed:
        with pytest.raises(WrongState):
            move(ALL[where])
        return
    moved = move(ALL[where])
    assert moved.version == ALL[where].version + 1
    assert (moved.step is Step.NONE) == (moved.due_ms is None)


def test_states_as_people_see_them() -> None:
    assert [one.state for one in (SCHEDULED, NEW, ASKED, CHARGED, HELD, RELEASED)] == [
        State.SCHEDULED,
        State.PENDING,
        State.PROCESSING,
        State.PROCESSING,
        State.SUCCEEDED,
        State.SUCCEEDED,
    ]
    assert (RETURNED.state, FAILED.state, CANCELED.state) == ("RETURNED", "FAILED", "CANCELED")
    assert (HELD.released, RELEASED.released, RELEASED.release_ms) == (False, True, NOW + 1_000)
    assert (FAILED.reason, RETURNED.reason) == ("INSUFFICIENT_FUNDS", "R01")


def test_money_that_went_back_before_it_was_credited_is_credited_first() -> None:
    """Goal: the ledger has both, and what is taken back is never released."""
    going = life.went_back(CHARGED, reason="R01", now_ms=NOW)
    assert (going.state, going.step) == (State.PROCESSING, Step.CREDIT)
    with pytest.raises(WrongState):
        life.went_back(going, reason="R02", now_ms=NOW)
    credited = life.credited(going, hold_days=0, release_ms=NOW, now_ms=NOW)
    assert (credited.state, credited.step, credited.due_ms) == (
        State.SUCCEEDED,
        Step.TAKE_BACK,
        NOW,
    )


def test_a_released_payment_that_went_back_is_taken_back() -> None:
    going = life.went_back(RELEASED, reason="R01", now_ms=NOW)
    assert life.taken_back(going, now_ms=NOW).state is State.RETURNED


def test_a_processor_is_asked_again_only_as_long_as_it_knows_a_repetition() -> None:
    last_ms = NOW + life.CHARGE_AGAIN_MS - 1
    assert life.may_charge_again(ASKED, now_ms=last_ms)
    assert not life.may_charge_again(ASKED, now_ms=last_ms + 1)


def test_a_payment_is_held_from_its_release_time_on() -> None:
    """Goal: what has been held long enough before it is credited is released at once."""
    late = life.credited(CHARGED, hold_days=1, release_ms=NOW - 5, now_ms=NOW)
    assert (late.release_ms, late.due_ms) == (NOW - 5, NOW)
