"""When an overload counts as over."""

from __future__ import annotations

import pytest

from loadtest.outcome import Outcome
from loadtest.overload import recovered_s

END_S = 30.0
FINE = [(END_S + number / 1000, 0.004, int(Outcome.APPROVED)) for number in range(3_000)]


def test_good_service_at_once_took_no_time() -> None:
    during = [(END_S - 1, 5.0, int(Outcome.APPROVED)), (END_S - 1, 0.0, 8)]
    assert recovered_s([*during, *FINE], until_s=END_S) == 0


@pytest.mark.parametrize(
    "bad", [(0.3, int(Outcome.APPROVED)), (0.001, int(Outcome.RESOURCE_EXHAUSTED))]
)
def test_bad_service_lasts_to_the_end_of_its_window(bad: tuple[float, int]) -> None:
    slow = [(END_S + 0.6, *bad)] * 5
    assert recovered_s([*FINE, *slow], until_s=END_S) == pytest.approx(0.75)


def test_one_slow_call_of_a_hundred_is_no_bad_service() -> None:
    slow = [(END_S + 1.1, 0.3, int(Outcome.APPROVED))] * 2
    assert recovered_s([*FINE, *slow], until_s=END_S) == 0
