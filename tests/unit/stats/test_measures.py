"""What follows from what was counted."""

from __future__ import annotations

import pytest

from stats.measures import COLUMNS, SUMMED, Measures, change_basis_points, rounded, total


@pytest.mark.parametrize(
    ("dividend", "divisor", "found"),
    [(10, 4, 3), (9, 4, 2), (-10, 4, -3), (-9, 4, -2), (0, 3, 0), (1, 2, 1), (-1, 2, -1)],
)
def test_halves_are_rounded_away_from_zero(dividend: int, divisor: int, found: int) -> None:
    assert rounded(dividend, divisor) == found


def test_all_adds_up_but_the_largest_and_the_last() -> None:
    numbers = dict.fromkeys(SUMMED, 3)
    found = total(
        [Measures(**numbers, largest_minor=7, corrected_ms=1), Measures(**numbers, corrected_ms=5)]
    )
    assert found == Measures(**dict.fromkeys(SUMMED, 6), largest_minor=7, corrected_ms=5)
    assert (*SUMMED, "largest_minor", "corrected_ms") == COLUMNS
    assert total([]) == Measures()


@pytest.mark.parametrize(
    ("measures", "net", "average", "approval"),
    [
        (Measures(), 0, None, None),
        (Measures(purchase_count=3, purchase_minor=1_000), 1_000, 333, None),
        # More came back than was spent.
        (Measures(purchase_count=1, purchase_minor=100, refund_minor=250), -150, 100, None),
        (Measures(authorized_count=2, declined_count=1), 0, None, 6_667),
        (Measures(declined_count=4), 0, None, 0),
        (Measures(authorized_count=4), 0, None, 10_000),
    ],
)
def test_what_follows(
    measures: Measures, net: int, average: int | None, approval: int | None
) -> None:
    assert measures.net_spend_minor == net
    assert measures.average_minor == average
    assert measures.approval_basis_points == approval


@pytest.mark.parametrize(
    ("now", "then", "change"),
    [(150, 100, 5_000), (50, 100, -5_000), (100, 0, None), (-50, -100, 5_000), (0, 3, -10_000)],
)
def test_change(now: int, then: int, change: int | None) -> None:
    assert change_basis_points(now, then) == change
