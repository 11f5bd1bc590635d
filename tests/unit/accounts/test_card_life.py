from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from accounts.card import (
    Card,
    CardKind,
    CardState,
    Expiry,
    IssueCard,
    ShippingState,
    issue_card,
    with_number,
)
from accounts.card_life import (
    SHIPPING,
    AlreadyReplaced,
    CardNotInState,
    CardNotShipped,
    Details,
    RenewalNotDue,
    ReplacementReason,
    ShippingTransition,
    UpdateShipping,
    WrongDetails,
    activate,
    clear_suspicion,
    reissue,
    renew,
    renewable_from_ms,
    replace_card,
    update,
    update_shipping,
)
from accounts.machine import IllegalTransition
from runtime.clock import ms_of

INACTIVE, ACTIVE, FROZEN, CLOSED, LOST, STOLEN = CardState
NONE, ORDERED, SHIPPED, DELIVERED, RETURNED = ShippingState
SHIP, DELIVER, RETURN = ShippingTransition
NOW = ms_of(datetime(2026, 11, 21, tzinfo=UTC))
LATER = NOW + 1


def _card(kind: CardKind = CardKind.PHYSICAL, **fields: object) -> Card:
    command = IssueCard(account_id="acct_0a1", kind=kind, user_id="usr_0b1", controls=b"c")
    card = issue_card(command, card_id="card_0a1", now_ms=NOW)
    return replace(with_number(card, bin_digits="400000", last4="0007"), **fields)  # type: ignore[arg-type]


#: Every transition from every state, in their order: the next state, or None where it is refused.
ROWS: dict[ShippingTransition, tuple[ShippingState | None, ...]] = {
    SHIP: (None, SHIPPED, SHIPPED, None, SHIPPED),
    DELIVER: (None, None, DELIVERED, DELIVERED, None),
    RETURN: (None, None, RETURNED, RETURNED, RETURNED),
}


def test_table_is_complete() -> None:
    assert set(ROWS) == set(ShippingTransition) == set(SHIPPING.steps)


@pytest.mark.parametrize(
    ("transition", "state", "target"),
    [
        (transition, state, target)
        for transition, row in ROWS.items()
        for state, target in zip(ShippingState, row, strict=True)
    ],
)
def test_shipping(
    transition: ShippingTransition, state: ShippingState, target: ShippingState | None
) -> None:
    card = _card(shipping=state)
    moved = update_shipping(card, UpdateShipping(transition=transition), now_ms=LATER)
    if target is None:
        assert isinstance(moved, IllegalTransition)
        assert moved.allowed == SHIPPING.reachable(state)
    elif target is state:
        assert moved is card
    else:
        assert moved == replace(card, shipping=target, version=2, update_time_ms=LATER)


def test_what_a_carrier_does_not_tell_stays() -> None:
    told = UpdateShipping(transition=SHIP, carrier="Post", tracking_number="1")
    card = update_shipping(_card(), told, now_ms=LATER)
    assert isinstance(card, Card)
    told = UpdateShipping(transition=DELIVER, tracking_number="2")
    delivered = update_shipping(card, told, now_ms=LATER)
    assert isinstance(delivered, Card)
    assert (delivered.carrier, delivered.tracking_number) == ("Post", "2")


PRINTED = Details(last4="0007", expiry=Expiry(2030, 11))


@pytest.mark.parametrize(
    ("card", "details", "expected"),
    [
        (_card(shipping=SHIPPED), PRINTED, (ACTIVE, True)),
        (_card(shipping=DELIVERED), PRINTED, (ACTIVE, True)),
        (_card(), PRINTED, CardNotShipped(state=ORDERED)),
        (_card(shipping=RETURNED), PRINTED, CardNotShipped(state=RETURNED)),
        # An administrator hands it over.
        (_card(), None, (ACTIVE, True)),
        (_card(shipping=SHIPPED), replace(PRINTED, last4="0008"), WrongDetails()),
        (_card(shipping=SHIPPED), replace(PRINTED, expiry=Expiry(2030, 12)), WrongDetails()),
        # Plastic that was made anew.
        (_card(shipping=SHIPPED, state=ACTIVE), PRINTED, (ACTIVE, True)),
        (_card(shipping=ORDERED, state=ACTIVE), PRINTED, CardNotShipped(state=ORDERED)),
        (
            _card(state=FROZEN),
            None,
            IllegalTransition(
                subject="card",
                source=FROZEN,
                target=ACTIVE,
                allowed=(ACTIVE, CLOSED, LOST, STOLEN),
            ),
        ),
    ],
)
def test_activate(card: Card, details: Details | None, expected: object) -> None:
    found = activate(card, details, now_ms=LATER)
    if isinstance(expected, tuple):
        state, received = expected
        assert found == replace(
            card, state=state, received=received, version=2, update_time_ms=LATER
        )
    else:
        assert found == expected


def test_what_came_in_place_of_a_frozen_card_is_activated_frozen() -> None:
    for card, state in ((_card(shipping=SHIPPED), FROZEN), (_card(state=ACTIVE), ACTIVE)):
        found = activate(card, None, now_ms=LATER, frozen=True)
        assert isinstance(found, Card)
        assert (found.state, found.received) == (state, True)


@pytest.mark.parametrize("card", [_card(state=ACTIVE, received=True), _card(CardKind.VIRTUAL)])
def test_active_cards_stay_as_they_are(card: Card) -> None:
    assert activate(card, replace(PRINTED, last4="9999"), now_ms=LATER) is card


@pytest.mark.parametrize(
    ("state", "reason", "end"),
    [
        *((state, ReplacementReason.LOST, LOST) for state in (INACTIVE, ACTIVE, FROZEN, LOST)),
        *((state, ReplacementReason.STOLEN, STOLEN) for state in (ACTIVE, LOST, STOLEN)),
        (STOLEN, ReplacementReason.LOST, STOLEN),
        (ACTIVE, ReplacementReason.DAMAGED, CLOSED),
        (LOST, ReplacementReason.DAMAGED, LOST),
        (FROZEN, ReplacementReason.COMPROMISED, CLOSED),
    ],
)
@pytest.mark.parametrize("kind", list(CardKind))
@pytest.mark.parametrize("noted", [False, True], ids=["", "frozen before"])
def test_replace(
    kind: CardKind, state: CardState, reason: ReplacementReason, end: CardState, noted: bool
) -> None:
    card = _card(kind, state=state, nickname="n", root_card_id="card_0a0", version=7)
    both = replace_card(card, reason, card_id="card_0a2", now_ms=LATER, frozen=noted)
    assert isinstance(both, tuple)
    old, new = both
    assert old == replace(
        card, state=end, replaced_by_card_id="card_0a2", version=8, update_time_ms=LATER
    )
    first = IssueCard(account_id="acct_0a1", kind=kind, user_id="usr_0b1", controls=b"c")
    made = issue_card(first, card_id="card_0a2", now_ms=LATER)
    frozen = (noted or state is FROZEN) and made.state is ACTIVE
    assert new == replace(
        made,
        state=FROZEN if frozen else made.state,
        root_card_id="card_0a0",
        nickname="n",
        replaces_card_id="card_0a1",
    )


def test_what_cannot_be_replaced() -> None:
    damaged = ReplacementReason.DAMAGED
    refusal = replace_card(_card(state=CLOSED), damaged, card_id="card_0a2", now_ms=LATER)
    assert refusal == CardNotInState(state=CLOSED, allowed=(INACTIVE, ACTIVE, FROZEN, LOST, STOLEN))
    again = _card(state=LOST, replaced_by_card_id="card_0a2")
    refusal = replace_card(again, damaged, card_id="card_0a3", now_ms=LATER)
    assert refusal == AlreadyReplaced(replaced_by_card_id="card_0a2")


@pytest.mark.parametrize("state", list(CardState))
def test_reissue(state: CardState) -> None:
    card = _card(state=state, shipping=DELIVERED, received=True, expiry_year=2028, carrier="x")
    found = reissue(card, now_ms=LATER)
    if state in (CLOSED, LOST, STOLEN):
        assert found == CardNotInState(state=state, allowed=(INACTIVE, ACTIVE, FROZEN))
        return
    assert found == replace(
        card,
        expiry_year=2030,
        shipping=ORDERED,
        received=False,
        carrier="",
        version=2,
        update_time_ms=LATER,
    )


def test_reissue_never_shortens() -> None:
    card = _card(CardKind.VIRTUAL, expiry_year=2031)
    assert reissue(card, now_ms=LATER) is card


@pytest.mark.parametrize(
    ("expiry", "days", "due"),
    [
        (Expiry(2026, 12), 30, datetime(2026, 12, 2, tzinfo=UTC)),
        (Expiry(2028, 2), 1, datetime(2028, 2, 29, tzinfo=UTC)),
        (Expiry(2026, 12), 90, datetime(2026, 10, 3, tzinfo=UTC)),
    ],
)
def test_renewable_from(expiry: Expiry, days: int, due: datetime) -> None:
    assert renewable_from_ms(expiry, days=days) == ms_of(due)


def test_renew() -> None:
    card = _card(CardKind.VIRTUAL, expiry_year=2027, expiry_month=1)
    due_ms = ms_of(datetime(2026, 11, 3, tzinfo=UTC))
    assert renew(card, now_ms=due_ms - 1) == RenewalNotDue(due_time_ms=due_ms)
    longer = replace(card, expiry_year=2031, version=2, update_time_ms=due_ms)
    assert renew(card, now_ms=due_ms) == longer
    # Long expired: not for a time that is over, too.
    late_ms = ms_of(datetime(2033, 5, 1, tzinfo=UTC))
    late = renew(card, now_ms=late_ms)
    assert isinstance(late, Card)
    assert (late.expiry_year, late.expiry_month) == (2037, 5)
    assert isinstance(renew(replace(card, state=LOST), now_ms=due_ms), CardNotInState)


def test_update() -> None:
    card = _card(nickname="a")
    assert update(card, nickname=None, user_id=None, now_ms=LATER) is card
    assert update(card, nickname="a", user_id="usr_0b1", now_ms=LATER) is card
    changed = update(card, nickname="", user_id="", now_ms=LATER)
    assert changed == replace(card, nickname="", user_id="", version=2, update_time_ms=LATER)
    closed = replace(card, state=CLOSED)
    assert isinstance(update(closed, nickname="b", user_id=None, now_ms=LATER), Card)
    assert isinstance(update(closed, nickname=None, user_id="", now_ms=LATER), CardNotInState)


def test_clear_suspicion() -> None:
    cleared = clear_suspicion(_card(), now_ms=LATER)
    assert (cleared.suspicion_clear_time_ms, cleared.version) == (LATER, 2)
