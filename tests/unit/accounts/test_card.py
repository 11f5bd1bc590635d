from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from accounts.card import (
    CARDS,
    Card,
    CardKind,
    CardState,
    IssueCard,
    ShippingState,
    Transition,
    issue_card,
    move,
    set_holder_suspended,
    with_number,
)
from accounts.machine import IllegalTransition
from runtime.clock import ms_of

INACTIVE, ACTIVE, FROZEN, CLOSED, LOST, STOLEN = CardState
FREEZE, UNFREEZE, CLOSE, ACTIVATE, REPORT_LOST, REPORT_STOLEN = Transition


def _card(kind: CardKind = CardKind.VIRTUAL, *, now_ms: int = 1_000) -> Card:
    command = IssueCard(account_id="acct_0a1", kind=kind)
    return issue_card(command, card_id="card_0a1", now_ms=now_ms)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (CardKind.VIRTUAL, ACTIVE),
        (CardKind.PHYSICAL, INACTIVE),
        (CardKind.SINGLE_USE, ACTIVE),
        (CardKind.MERCHANT_LOCKED, ACTIVE),
    ],
)
def test_issue_card(kind: CardKind, state: CardState) -> None:
    card = _card(kind)
    assert (card.kind, card.state, card.version) == (kind, state, 1)
    assert card.root_card_id == card.id
    shipped = ShippingState.ORDERED if state is INACTIVE else ShippingState.UNSPECIFIED
    assert (card.shipping, card.received) == (shipped, False)


@pytest.mark.parametrize(
    ("issued", "month", "year"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), 1, 2030),
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), 12, 2030),
        (datetime(2028, 2, 29, tzinfo=UTC), 2, 2032),
    ],
)
def test_cards_are_valid_for_four_years(issued: datetime, month: int, year: int) -> None:
    card = _card(now_ms=ms_of(issued))
    assert (card.expiry_month, card.expiry_year) == (month, year)


#: Every transition from every state, in their order: the next state, or None where it is refused.
ROWS: dict[Transition, tuple[CardState | None, ...]] = {
    FREEZE: (None, FROZEN, FROZEN, None, None, None),
    UNFREEZE: (None, ACTIVE, ACTIVE, None, None, None),
    CLOSE: (CLOSED, CLOSED, CLOSED, CLOSED, LOST, STOLEN),
    ACTIVATE: (ACTIVE, ACTIVE, None, None, None, None),
    REPORT_LOST: (LOST, LOST, LOST, None, LOST, None),
    REPORT_STOLEN: (STOLEN, STOLEN, STOLEN, None, STOLEN, STOLEN),
}
TABLE = [
    (transition, state, target)
    for transition, row in ROWS.items()
    for state, target in zip(CardState, row, strict=True)
]


def test_table_is_complete() -> None:
    assert set(ROWS) == set(Transition) == set(CARDS.steps)


@pytest.mark.parametrize(("transition", "state", "target"), TABLE)
def test_move(transition: Transition, state: CardState, target: CardState | None) -> None:
    card = replace(_card(), state=state)
    moved = move(card, transition, now_ms=2_000)
    if target is None:
        assert isinstance(moved, IllegalTransition)
        assert (moved.source, moved.target) == (state, CARDS.steps[transition].target)
        assert moved.allowed == CARDS.reachable(state)
    elif target is state:
        assert moved is card
    else:
        assert moved == replace(card, state=target, version=2, update_time_ms=2_000)


@pytest.mark.parametrize(
    ("state", "states"),
    [
        (INACTIVE, {ACTIVE, CLOSED, LOST, STOLEN}),
        (ACTIVE, {FROZEN, CLOSED, LOST, STOLEN}),
        (FROZEN, {ACTIVE, CLOSED, LOST, STOLEN}),
        (CLOSED, set()),
        (LOST, {STOLEN}),
        (STOLEN, set()),
    ],
)
def test_reachable(state: CardState, states: set[CardState]) -> None:
    assert set(CARDS.reachable(state)) == states


def test_with_number() -> None:
    card = _card()
    assert (card.bin, card.last4) == ("", "")
    numbered = with_number(card, bin_digits="400000", last4="0002")
    assert numbered == replace(card, bin="400000", last4="0002")


@pytest.mark.parametrize("state", CardState)
def test_suspending_its_holder_leaves_a_card_in_its_state(state: CardState) -> None:
    card = replace(_card(), state=state)
    stopped = set_holder_suspended(card, True, now_ms=2_000)
    assert stopped == replace(card, holder_suspended=True, version=2, update_time_ms=2_000)
    assert set_holder_suspended(stopped, True, now_ms=3_000) is stopped
    resumed = set_holder_suspended(stopped, False, now_ms=3_000)
    assert resumed == replace(card, version=3, update_time_ms=3_000)
