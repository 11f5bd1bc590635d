"""Which refunds of a purchase a reversal takes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.refunds import LOOKED_AT_MAX, count_name, name_of, names_of, taken_back


@pytest.mark.parametrize(
    ("left_minor", "amount_minor", "expected"),
    [
        ([], 5, []),
        ([70], 20, [(0, 20)]),
        # The one of which that much is left, the last one of several.
        ([90, 70, 70], 70, [(1, 70)]),
        ([90, 0, 20], 20, [(2, 20)]),
        # None is: the last ones.
        ([0, 30, 50], 60, [(1, 30), (2, 30)]),
        # More than there is.
        ([30, 50], 100, [(0, 30), (1, 50)]),
    ],
)
def test_of_which(
    left_minor: list[int], amount_minor: int, expected: list[tuple[int, int]]
) -> None:
    assert taken_back(left_minor, amount_minor) == expected


@given(left_minor=st.lists(st.integers(0, 9)), amount_minor=st.integers(1, 30))
def test_never_more_than_is_left_and_as_much_as_there_is(
    left_minor: list[int], amount_minor: int
) -> None:
    found = taken_back(left_minor, amount_minor)
    assert len(dict(found)) == len(found)
    assert all(0 < part <= left_minor[number] for number, part in found)
    assert sum(part for _, part in found) == min(amount_minor, sum(left_minor))


def test_names_have_a_bound() -> None:
    assert names_of("auth_1", 2) == [name_of("auth_1", 2), name_of("auth_1", 1)]
    assert names_of("auth_1", 0) == []
    several = names_of("auth_1", LOOKED_AT_MAX + 7)
    assert (len(several), several[-1]) == (LOOKED_AT_MAX, name_of("auth_1", 8))
    assert count_name("auth_1") not in names_of("auth_1", 5)
