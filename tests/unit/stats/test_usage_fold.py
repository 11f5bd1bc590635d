"""What requests of the API come to: ranges of durations, and sums that are sums of parts."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.usage_fold import (
    DURATION_US_MAX,
    Key,
    Request,
    Sum,
    end_us,
    fold,
    is_error,
    is_failed,
    is_refused,
    range_of,
)

DAY = date(2026, 11, 20)


def request(**fields: Any) -> Request:
    known: dict[str, Any] = {
        "day": DAY,
        "method": "/a",
        "caller": "usr_1",
        "api_key_id": "",
        "http_status": 200,
        "grpc_status": None,
        "request_bytes": 1,
        "response_bytes": 2,
        "duration_us": 3,
    }
    return Request(**known | fields)


@given(st.integers(min_value=0, max_value=DURATION_US_MAX))
def test_a_range_ends_at_most_a_32nd_above_what_is_in_it(duration_us: int) -> None:
    end = end_us(range_of(duration_us))
    assert duration_us <= end <= duration_us + duration_us // 32
    assert range_of(end) == range_of(duration_us)
    assert range_of(end + 1) == range_of(duration_us) + 1


def test_ranges_are_numbered_without_gaps_and_fit_a_smallint() -> None:
    ends = [end_us(number) for number in range(range_of(DURATION_US_MAX) + 1)]
    assert all(before < after for before, after in pairwise(ends))
    assert ends[:64] == list(range(64))
    assert ends[-1] == DURATION_US_MAX
    assert len(ends) < 2**15


requests = st.builds(
    request,
    day=st.sampled_from([DAY, date(2026, 11, 21)]),
    method=st.sampled_from(["/a", "/b", ""]),
    caller=st.sampled_from(["usr_1", "mer_1", ""]),
    api_key_id=st.sampled_from(["", "key_1"]),
    http_status=st.sampled_from([0, 200, 404, 429, 503]),
    grpc_status=st.sampled_from([None, 0, 5, 8, 14]),
    duration_us=st.integers(min_value=-1, max_value=DURATION_US_MAX + 1),
)


@given(st.lists(requests), st.integers(min_value=0, max_value=20))
def test_sums_of_parts_are_the_sums_of_the_whole(several: list[Request], cut: int) -> None:
    """However the log is cut into pages; and callers add up to everybody."""
    whole = fold(several)
    parts = [fold(several[:cut]), fold(several[cut:])]
    assert {key: add(part.get(key, Sum()) for part in parts) for key in whole} == whole
    everybody = {key: one for key, one in whole.items() if key.everybody}
    for key, one in everybody.items():
        mine = (
            other
            for about, other in whole.items()
            if not about.everybody and (about.day, about.method) == (key.day, key.method)
        )
        assert add(mine) == one
    assert sum(one.calls for one in everybody.values()) == len(several)
    assert all(sum(one.ranges.values()) == one.calls for one in whole.values())


def add(several: Any) -> Sum:
    found = Sum()
    for one in several:
        for name in Sum.__slots__:
            mine, other = getattr(found, name), getattr(one, name)
            if name == "ranges":
                for number, calls in other.items():
                    mine[number] = mine.get(number, 0) + calls
            else:
                setattr(found, name, max(mine, other) if name == "longest_us" else mine + other)
    return found


def test_whose_requests_are_counted_together() -> None:
    found = fold([request(api_key_id="key_1"), request(api_key_id="key_1"), request()])
    assert {key: one.calls for key, one in found.items()} == {
        Key(everybody=True, caller="", day=DAY, api_key_id="", method="/a"): 3,
        Key(everybody=False, caller="usr_1", day=DAY, api_key_id="key_1", method="/a"): 2,
        Key(everybody=False, caller="usr_1", day=DAY, api_key_id="", method="/a"): 1,
    }


@pytest.mark.parametrize(
    ("http_status", "grpc_status", "outcome"),
    [
        (200, None, "---"),
        (200, 0, "---"),
        (0, None, "---"),
        (404, None, "E--"),
        (200, 5, "E--"),
        (401, None, "ER-"),
        (403, None, "ER-"),
        (429, None, "ER-"),
        (200, 16, "ER-"),
        (200, 7, "ER-"),
        (200, 8, "ER-"),
        (500, None, "E-F"),
        (504, None, "E-F"),
        (200, 13, "E-F"),
        (200, 14, "E-F"),
    ],
)
def test_how_a_request_ended(http_status: int, grpc_status: int | None, outcome: str) -> None:
    one = request(http_status=http_status, grpc_status=grpc_status)
    found = (is_error(one), is_refused(one), is_failed(one))
    assert (
        "".join(letter if yes else "-" for letter, yes in zip("ERF", found, strict=True)) == outcome
    )
