"""What movements come to, on which day and at which place."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.fold import Fold, Origin
from stats.measures import Measures, total
from stats.movement import COUNTED, Movement
from tests.unit.stats.histories import FIRST_DAY, PLACE, counted, histories, movement

AUTH: dict[str, Any] = {"authorization_id": "auth_1"}
SHOP = PLACE._replace(
    merchant="shop",
    category="5411",
    country="GB",
    channel="CHIP",
    merchant_currency="GBP",
)


def folded(
    movements: list[Movement], sizes: tuple[int, ...] = (1_000,)
) -> tuple[dict[date, Measures], Fold]:
    """The days of movements that are taken in in pages of these sizes, and the last page."""
    origins: dict[str, Origin] = {}
    days: dict[date, list[Measures]] = {}
    rest, number = movements, 0
    while True:
        size = sizes[number % len(sizes)]
        page, rest, number = rest[:size], rest[size:], number + 1
        fold = Fold(dict(origins))
        for one in page:
            fold.take(one)
        origins |= fold.changed
        for cell, measures in fold.cells.items():
            days.setdefault(cell.day, []).append(measures)
        if not rest:
            return {day: total(several) for day, several in days.items()}, fold


def summed(days: dict[date, Measures]) -> dict[date, dict[str, int]]:
    """Without zeros, and without what the model does not know."""
    unknown = {"correction_count", "corrected_ms", "largest_minor"}
    found = {
        day: {k: v for k, v in asdict(one).items() if v and k not in unknown}
        for day, one in days.items()
    }
    return {day: facts for day, facts in found.items() if facts}


@given(movements=histories(), sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_pages_of_any_size_come_to_what_the_model_has(
    movements: list[Movement], sizes: list[int]
) -> None:
    days, _ = folded(movements, tuple(sizes))
    assert summed(days) == counted(movements)
    # And however it is cut, to the very same.
    assert {day: one for day, one in folded(movements)[0].items() if one != Measures()} == {
        day: one for day, one in days.items() if one != Measures()
    }


def test_every_type_that_counts_has_its_rule() -> None:
    for kind in COUNTED:
        folded([movement(kind, amount_minor=1)])


@pytest.mark.parametrize(
    ("movements", "first", "second"),
    [
        # What is given back on a later day corrects the first one, and the day says so.
        (
            [
                movement("AUTHORIZATION", amount_minor=70, approved_minor=70, **AUTH),
                movement("REVERSAL", day=1, number=2, amount_minor=70, approved_minor=70, **AUTH),
            ],
            Measures(
                authorized_count=1,
                authorized_minor=70,
                reversed_count=1,
                reversed_minor=70,
                correction_count=1,
                corrected_ms=2,
            ),
            None,
        ),
        # On the same day nothing is corrected.
        (
            [
                movement("PAYMENT_CREDIT", amount_minor=70, payment_id="pay_1"),
                movement("PAYMENT_RETURN", number=2, amount_minor=70, payment_id="pay_1"),
            ],
            Measures(),
            None,
        ),
        # A part of a refund is taken back: it is still one.
        (
            [
                movement("REFUND", amount_minor=70, **AUTH),
                movement("REFUND_REVERSAL", day=1, number=2, amount_minor=20, **AUTH),
            ],
            Measures(refund_count=1, refund_minor=50, correction_count=1, corrected_ms=2),
            None,
        ),
        # Of two refunds that of which just as much is left, though it is not the last one.
        (
            [
                movement("REFUND", amount_minor=70, **AUTH),
                movement("REFUND", day=1, number=2, amount_minor=90, **AUTH),
                movement("REFUND_REVERSAL", day=1, number=3, amount_minor=70, **AUTH),
            ],
            Measures(correction_count=1, corrected_ms=3),
            Measures(refund_count=1, refund_minor=90),
        ),
        # A refund that names no purchase is taken back on the day on which it is.
        (
            [
                movement("REFUND", amount_minor=70),
                movement("REFUND_REVERSAL", day=1, number=2, amount_minor=70),
            ],
            Measures(refund_count=1, refund_minor=70),
            Measures(refund_count=-1, refund_minor=-70),
        ),
        # The first message is the reversal of something unknown: it counts on its own day.
        (
            [movement("REVERSAL", day=1, amount_minor=5, **AUTH)],
            None,
            Measures(reversed_count=1, reversed_minor=5),
        ),
        # A reversal of what was never held gives nothing back,
        ([movement("REVERSAL", amount_minor=0, **AUTH)], None, None),
        # but for what the authorization has met of it: once, whatever comes later.
        (
            [
                movement("REVERSAL", amount_minor=0, **AUTH),
                movement(
                    "AUTHORIZATION",
                    day=1,
                    number=2,
                    amount_minor=70,
                    approved_minor=70,
                    reversed_minor=20,
                    **AUTH,
                ),
                movement(
                    "ADVICE",
                    day=1,
                    number=3,
                    amount_minor=90,
                    approved_minor=90,
                    reversed_minor=20,
                    **AUTH,
                ),
            ],
            None,
            Measures(authorized_count=1, authorized_minor=90, reversed_count=1, reversed_minor=20),
        ),
        # More was reversed than was approved: what is approved later is given back, too,
        (
            [
                movement("AUTHORIZATION", amount_minor=50, approved_minor=50, **AUTH),
                movement("REVERSAL", number=2, amount_minor=50, approved_minor=50, **AUTH),
                movement(
                    "INCREMENT",
                    number=3,
                    amount_minor=9,
                    approved_minor=89,
                    reversed_minor=80,
                    **AUTH,
                ),
            ],
            Measures(authorized_count=1, authorized_minor=89, reversed_count=1, reversed_minor=80),
            None,
        ),
        # but for what has expired before it was reversed.
        (
            [
                movement("AUTHORIZATION", amount_minor=50, approved_minor=50, **AUTH),
                movement("EXPIRY", number=2, amount_minor=50, approved_minor=50, **AUTH),
                movement("REVERSAL", number=3, approved_minor=50, **AUTH),
                movement("ADVICE", number=4, approved_minor=50, reversed_minor=50, **AUTH),
            ],
            Measures(authorized_count=1, authorized_minor=50, expired_count=1, expired_minor=50),
            None,
        ),
        # The clearing comes before its authorization.
        (
            [
                movement("CAPTURE", amount_minor=30, **AUTH),
                movement(
                    "AUTHORIZATION", day=1, number=2, amount_minor=30, approved_minor=30, **AUTH
                ),
            ],
            Measures(purchase_count=1, purchase_minor=30, largest_minor=30),
            Measures(authorized_count=1, authorized_minor=30),
        ),
        # Declined by us, approved by the network all the same.
        (
            [
                movement("DECLINE", place=PLACE._replace(decline_reason="STOLEN"), **AUTH),
                movement("ADVICE", day=1, number=2, amount_minor=9, approved_minor=9, **AUTH),
            ],
            Measures(declined_count=1),
            Measures(authorized_count=1, authorized_minor=9),
        ),
        # More of it is declined, on the day on which that was asked for.
        (
            [
                movement("AUTHORIZATION", amount_minor=50, approved_minor=50, **AUTH),
                movement("INCREMENT_DECLINE", day=1, number=2, approved_minor=50, **AUTH),
            ],
            Measures(authorized_count=1, authorized_minor=50),
            Measures(declined_count=1),
        ),
        # What is charged off, and what is paid of it later.
        (
            [
                movement("CHARGE_OFF", amount_minor=90),
                movement("RECOVERY", day=1, number=2, amount_minor=20),
            ],
            Measures(charge_off_count=1, charge_off_minor=90),
            Measures(recovery_count=1, recovery_minor=20),
        ),
        # An increment on a later day: more of the same purchase.
        (
            [
                movement("AUTHORIZATION", amount_minor=50, approved_minor=50, **AUTH),
                movement("INCREMENT", day=1, number=2, amount_minor=25, approved_minor=75, **AUTH),
            ],
            Measures(authorized_count=1, authorized_minor=75, correction_count=1, corrected_ms=2),
            None,
        ),
    ],
)
def test_the_day_that_it_belongs_to(
    movements: list[Movement], first: Measures | None, second: Measures | None
) -> None:
    days, _ = folded(movements, (1,))
    nothing = Measures()
    assert days.get(FIRST_DAY, nothing) == (first or nothing)
    assert days.get(FIRST_DAY + timedelta(days=1), nothing) == (second or nothing)


@pytest.mark.parametrize(
    ("category", "said", "cash"),
    [
        ("5411", None, False),
        ("6010", None, True),
        ("6011", None, True),
        ("6012", None, False),
        # What the ledger says counts.
        ("5411", True, True),
        ("6011", False, False),
    ],
)
@pytest.mark.parametrize("kind", ["CAPTURE", "FORCE_POST", "FINANCIAL"])
def test_cash_is_told_apart(kind: str, category: str, said: bool | None, cash: bool) -> None:
    place = SHOP._replace(category=category)
    _, fold = folded([movement(kind, amount_minor=7, approved_minor=7, place=place, cash=said)])
    (found,) = fold.cells.values()
    assert (found.purchase_count, found.purchase_minor) == (1, 7)
    assert (found.cash_count, found.cash_minor) == ((1, 7) if cash else (0, 0))


def test_a_clearing_of_cash_that_names_no_merchant_is_cash() -> None:
    machine = SHOP._replace(category="6011")
    days, _ = folded(
        [
            movement("AUTHORIZATION", amount_minor=5, approved_minor=5, place=machine, **AUTH),
            movement("CAPTURE", day=1, number=2, amount_minor=5, **AUTH),
        ]
    )
    assert [one.cash_minor for one in days.values()] == [0, 5]


def test_more_is_declined_where_the_purchase_was() -> None:
    """And nothing is begun by it: its authorization may be unknown."""
    more = movement(
        "INCREMENT_DECLINE",
        day=1,
        number=2,
        place=PLACE._replace(decline_reason="OVER_LIMIT"),
        **AUTH,
    )
    _, fold = folded(
        [movement("AUTHORIZATION", amount_minor=5, approved_minor=5, place=SHOP, **AUTH), more]
    )
    (place,) = (cell.place for cell, found in fold.cells.items() if found.declined_count)
    assert place == SHOP._replace(decline_reason="OVER_LIMIT")
    _, fold = folded([more])
    assert not fold.changed
    ((cell, found),) = fold.cells.items()
    assert (cell.place.decline_reason, found) == ("OVER_LIMIT", Measures(declined_count=1))


def test_a_clearing_that_names_no_merchant_has_that_of_its_authorization() -> None:
    _, fold = folded(
        [
            movement("AUTHORIZATION", amount_minor=5, approved_minor=5, place=SHOP, **AUTH),
            movement("CAPTURE", day=1, number=2, amount_minor=5, **AUTH),
            movement("REFUND", day=2, number=3, amount_minor=2, **AUTH),
        ]
    )
    assert {(cell.day - FIRST_DAY).days: cell.place for cell in fold.cells} == {
        0: SHOP,
        1: SHOP,
        2: SHOP,
    }


def test_a_clearing_that_names_another_merchant_has_nothing_of_it() -> None:
    other = PLACE._replace(merchant="other")
    _, fold = folded(
        [
            movement("AUTHORIZATION", amount_minor=5, approved_minor=5, place=SHOP, **AUTH),
            movement("CAPTURE", day=1, number=2, amount_minor=5, place=other, **AUTH),
        ]
    )
    (place,) = (cell.place for cell in fold.cells if cell.day > FIRST_DAY)
    assert (place.merchant, place.category, place.country) == ("other", "", "")
    assert (place.channel, place.merchant_currency) == ("CHIP", "GBP")


def test_whose_totals_it_is_in() -> None:
    assert PLACE.subjects == [
        PLACE.account_id,
        PLACE.card_id,
        PLACE.company_id,
        PLACE.programme_id,
    ]
    assert PLACE.digest() != SHOP.digest()
    assert bytes.fromhex(PLACE.digest().removeprefix("\\x")) != b""
    assert SHOP._replace(merchant="other").digest() != SHOP.digest()
