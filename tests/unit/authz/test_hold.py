"""The hold arithmetic: the same in any order, never below zero, nothing once it is closed."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.answers import state
from authz.hold import APPROVED, DECLINED, EXPIRED, FINAL, VOID, Hold, State
from holdfast.authz.v1.authorization_pb2 import Authorization

AMOUNT = st.integers(1, 10_000)
EVENTS = st.one_of(
    st.tuples(st.just("approved"), AMOUNT),
    st.tuples(st.just("reversed"), AMOUNT),
    st.tuples(st.just("captured"), AMOUNT),
    st.tuples(st.sampled_from([FINAL, VOID, EXPIRED]), st.just(0)),
)


def _apply(hold: Hold, event: tuple[str, int]) -> Hold:
    name, amount = event
    match name:
        case "approved":
            return replace(hold, approved_minor=hold.approved_minor + amount)
        case "reversed":
            return replace(hold, reversed_minor=hold.reversed_minor + amount)
        case "captured":
            return replace(hold, captured_minor=hold.captured_minor + amount)
    return replace(hold, flags=hold.flags + name)


@given(st.lists(EVENTS, max_size=8).flatmap(lambda e: st.tuples(st.just(e), st.permutations(e))))
def test_order_does_not_matter(orders: tuple[list[tuple[str, int]], list[tuple[str, int]]]) -> None:
    one, other = (reduce(_apply, events, Hold()) for events in orders)
    assert one.held_minor == other.held_minor
    assert one.state == other.state


@given(st.lists(EVENTS, max_size=8))
def test_held_is_never_negative_and_nothing_once_closed(events: list[tuple[str, int]]) -> None:
    hold = reduce(_apply, events, Hold())
    assert 0 <= hold.held_minor <= hold.approved_minor
    if hold.closed:
        assert hold.held_minor == 0


@given(st.lists(EVENTS, max_size=8))
def test_what_was_given_back_is_what_is_missing_without_reversals(
    events: list[tuple[str, int]],
) -> None:
    """A full reversal gives everything back; the end of a hold for another reason does not."""
    hold = reduce(_apply, events, Hold())
    flags = "".join(one for one in hold.flags if one not in (FINAL, EXPIRED))
    open_, whole = replace(hold, flags=flags), replace(hold, flags="", reversed_minor=0)
    assert hold.given_back_minor == whole.held_minor - open_.held_minor


def test_cleared_in_full_is_not_closed() -> None:
    """Measured on a live network: a later advice reopens it (docs: domain 1.3)."""
    hold = Hold(approved_minor=5_000, captured_minor=7_340, flags=APPROVED)
    assert hold.held_minor == 0
    assert not hold.closed
    assert replace(hold, approved_minor=9_000).held_minor == 1_660


@pytest.mark.parametrize(
    ("hold", "expected"),
    [
        (Hold(), State.PENDING),
        (Hold(approved_minor=10, flags="a"), State.PENDING),
        (Hold(approved_minor=0, flags="a"), State.VERIFIED),
        (Hold(approved_minor=10, captured_minor=4, flags="a"), State.PENDING),
        (Hold(approved_minor=10, captured_minor=10, flags="a"), State.CAPTURED),
        (Hold(approved_minor=10, captured_minor=4, flags="af"), State.CAPTURED),
        (Hold(approved_minor=10, captured_minor=4, reversed_minor=6, flags="a"), State.CAPTURED),
        (Hold(captured_minor=4, flags="d"), State.CAPTURED),
        (Hold(flags="d"), State.DECLINED),
        (Hold(flags="vd"), State.DECLINED),
        (Hold(approved_minor=10, flags="ae"), State.EXPIRED),
        (Hold(approved_minor=10, captured_minor=4, flags="ae"), State.CAPTURED),
        (Hold(approved_minor=10, reversed_minor=10, flags="av"), State.REVERSED),
        (Hold(approved_minor=10, reversed_minor=10, flags="a"), State.REVERSED),
        (Hold(approved_minor=10, reversed_minor=4, flags="a"), State.PENDING),
        (Hold(flags="v"), State.REVERSED),
    ],
)
def test_state(hold: Hold, expected: State) -> None:
    assert hold.state is expected
    assert Authorization.State.Name(state(hold)) == f"STATE_{expected}"


def test_flags_are_distinct_letters() -> None:
    assert len({FINAL, VOID, EXPIRED, DECLINED, APPROVED}) == 5
