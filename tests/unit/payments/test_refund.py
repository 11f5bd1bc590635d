"""Refunds of credit balances: which steps there are, what goes where, and when it is late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments import payment as payments
from payments import reconcile_refunds
from payments import refund as life
from payments.payment import Source, State
from payments.reconcile import ABSENT, Booked
from payments.reconcile_refunds import GivenBack
from payments.refund import Refund, RefundState, RefundStep, WrongRefundState
from tests.unit.payments.test_payment import ACCOUNT, GOING_BACK, HELD, NOW, RELEASED

NEW = life.requested(
    RELEASED, 1_000, refund_id="rfd_0a" + "1" * 32, day=date(2027, 1, 20), now_ms=NOW
)
DEBITED = life.debited(NEW, now_ms=NOW)
ASKED = life.asking(DEBITED, until_ms=NOW + 1, now_ms=NOW)
SENT = life.sent(ASKED, reference="re_1", now_ms=NOW)
DOWN = life.turned_down(ASKED, reason="LOST", now_ms=NOW)
FAILED = life.put_back(DOWN, now_ms=NOW)
GONE = life.refused(NEW, now_ms=NOW)
BY_BANK = life.debited(replace(NEW, source=Source.WIRE), now_ms=NOW)
STATES = {
    "new": NEW,
    "debited": DEBITED,
    "asked": ASKED,
    "sent": SENT,
    "down": DOWN,
    "failed": FAILED,
    "gone": GONE,
    "by bank": BY_BANK,
}
MOVES: dict[str, tuple[Callable[[Refund], Refund], set[str]]] = {
    "debited": (lambda one: life.debited(one, now_ms=NOW), {"new"}),
    "refused": (lambda one: life.refused(one, now_ms=NOW), {"new"}),
    "asking": (lambda one: life.asking(one, until_ms=NOW, now_ms=NOW), {"debited"}),
    "waiting": (
        lambda one: life.waiting(one, reference="r", again_ms=NOW, now_ms=NOW),
        {"debited", "asked"},
    ),
    "sent": (
        lambda one: life.sent(one, reference="r", now_ms=NOW),
        {"debited", "asked", "by bank"},
    ),
    "turned down": (
        lambda one: life.turned_down(one, reason="R", now_ms=NOW),
        {"debited", "asked", "by bank", "sent"},
    ),
    "put back": (lambda one: life.put_back(one, now_ms=NOW), {"down"}),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("state", STATES)
def test_what_leads_where(state: str, move: str) -> None:
    change, allowed = MOVES[move]
    before = STATES[state]
    if state not in allowed:
        with pytest.raises(WrongRefundState):
            change(before)
        return
    after = change(before)
    assert (after.version, after.amount_minor) == (before.version + 1, before.amount_minor)
    waits = after.step in (RefundStep.NONE, RefundStep.CONFIRM)
    assert (after.due_ms is None) is waits


@pytest.mark.parametrize(
    ("day", "send_by"),
    [
        (date(2027, 1, 20), date(2027, 1, 29)),
        # Asked for on a Friday, and on a Sunday.
        (date(2027, 1, 22), date(2027, 2, 2)),
        (date(2027, 1, 24), date(2027, 2, 2)),
    ],
)
def test_seven_business_days(day: date, send_by: date) -> None:
    assert life.send_by(day) == send_by


@given(amount=st.integers(1, 500), left=st.lists(st.integers(0, 100), max_size=8))
def test_all_of_one_payment_before_the_next(amount: int, left: list[int]) -> None:
    """Goal: never more than asked for, nor than is left of a payment; as much as there is."""
    several = [(replace(RELEASED, id=str(number)), one) for number, one in enumerate(left)]
    parts = life.spread(amount, several)
    assert sum(part for _, part in parts) == min(amount, sum(left))
    of = dict(enumerate(left))
    assert all(0 < part <= of[int(payment.id)] for payment, part in parts)
    assert all(part == of[int(payment.id)] for payment, part in parts[:-1])


def test_what_may_be_refunded() -> None:
    assert life.may_be_refunded(RELEASED)
    assert not life.may_be_refunded(HELD)
    assert not life.may_be_refunded(GOING_BACK)


def test_a_payment_counts_what_was_given_back() -> None:
    """In part, wholly, and when that came back; one that was returned says both."""
    part = payments.refunded(RELEASED, 1_000, now_ms=NOW)
    assert (part.state, part.refunded_minor) == (State.SUCCEEDED, 1_000)
    whole = payments.refunded(part, 4_000, now_ms=NOW)
    assert (whole.state, whole.refunded_minor) == (State.REFUNDED, 5_000)
    assert payments.refunded(whole, -4_000, now_ms=NOW).state is State.SUCCEEDED
    back = payments.taken_back(payments.went_back(whole, reason="R", now_ms=NOW), now_ms=NOW)
    assert (back.state, back.refunded_minor) == (State.RETURNED, 5_000)
    assert payments.refunded(back, -4_000, now_ms=NOW).state is State.RETURNED


@pytest.mark.parametrize(
    ("refund", "agrees"),
    [
        (NEW, {ABSENT, "DEBITED"}),
        (ASKED, {"DEBITED"}),
        (BY_BANK, {"DEBITED"}),
        (SENT, {"DEBITED"}),
        (DOWN, {"DEBITED", "PUT_BACK"}),
        (FAILED, {"PUT_BACK"}),
        (GONE, {ABSENT}),
    ],
)
def test_what_the_ledger_may_say(refund: Refund, agrees: set[str]) -> None:
    for state in ("DEBITED", "PUT_BACK", ABSENT):
        booked = Booked(account_id=ACCOUNT, amount_minor=1_000, state=state)
        found = list(reconcile_refunds.against_ledger(refund, None if state == ABSENT else booked))
        assert (found == []) is (state in agrees), (state, found)


GIVEN = GivenBack(
    reference="re_1", refund_id=NEW.id, amount_minor=1_000, currency_code="USD", given=True
)


@pytest.mark.parametrize(
    ("refund", "given_back", "remedy"),
    [
        (SENT, [GIVEN], ""),
        (SENT, [], reconcile_refunds.NOT_GIVEN),
        (SENT, [replace(GIVEN, given=False)], reconcile_refunds.NOT_GIVEN),
        (SENT, [GIVEN, GIVEN], reconcile_refunds.GIVEN_TWICE),
        (SENT, [replace(GIVEN, amount_minor=1)], reconcile_refunds.GIVEN_TWICE),
        (ASKED, [GIVEN], ""),
        (ASKED, [], ""),
        (FAILED, [GIVEN], reconcile_refunds.NOT_DEBITED),
        (GONE, [], ""),
    ],
)
def test_what_the_processor_may_say(
    refund: Refund, given_back: list[GivenBack], remedy: str
) -> None:
    found = [one.remedy for one in reconcile_refunds.against_processor(refund, given_back)]
    assert found == ([remedy] if remedy else [])


def test_what_the_payment_may_say() -> None:
    whole = replace(RELEASED, refunded_minor=1_000)
    assert not list(reconcile_refunds.against_payment(whole, [SENT, FAILED]))
    (found,) = reconcile_refunds.against_payment(RELEASED, [SENT])
    assert (found.found, found.expected) == ("0", "1000")
    assert SENT.state is RefundState.SUCCEEDED
