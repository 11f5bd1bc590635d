"""What endpoints want, and when what they did not take is sent again."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import pytest

from notify.endpoint import (
    WAITS_MS,
    Endpoint,
    EndpointState,
    IllegalChange,
    due_again_ms,
    has_failed_too_long,
    move,
    rotate,
    update,
    wants,
)

ACTIVE, PAUSED, DISABLED, DELETED = EndpointState
HOUR_MS = 3_600_000
ENDPOINT = Endpoint(
    id="whe_0a" + "1" * 32,
    owner_id="co_0a" + "1" * 32,
    url="https://example.com/",
    description="",
    types=(),
    state=ACTIVE,
    secret=b"one",
    previous_secret=None,
    previous_expire_time_ms=None,
    failing_since_ms=5,
    version=1,
    create_time_ms=1,
    update_time_ms=1,
)


def test_when_an_event_is_sent_again() -> None:
    """What receivers know from elsewhere: 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h."""
    assert [due_again_ms(tries, now_ms=100) for tries in range(1, 9)] == [
        *(100 + wait for wait in (5_000, 300_000, 1_800_000, 2 * HOUR_MS, 5 * HOUR_MS)),
        *(100 + 10 * HOUR_MS, 100 + 10 * HOUR_MS),
        None,
    ]
    assert WAITS_MS[0] == 0
    assert list(accumulate(WAITS_MS))[-1] == 27 * HOUR_MS + 35 * 60_000 + 5_000


@pytest.mark.parametrize(
    ("types", "name", "wanted"),
    [
        ((), "card.frozen", True),
        (("card.frozen",), "card.frozen", True),
        (("card.*",), "card.frozen", True),
        (("user.created", "card.*"), "card.frozen", True),
        (("card.issued",), "card.frozen", False),
        (("car.*",), "card.frozen", False),
    ],
)
def test_what_an_endpoint_wants(types: tuple[str, ...], name: str, wanted: bool) -> None:
    assert wants(types, name) is wanted


@pytest.mark.parametrize(
    ("before", "wanted", "allowed"),
    [
        (ACTIVE, PAUSED, True),
        (ACTIVE, DELETED, True),
        (PAUSED, ACTIVE, True),
        (PAUSED, DELETED, True),
        (DISABLED, ACTIVE, True),
        (DISABLED, DELETED, True),
        (DISABLED, PAUSED, False),
        (DELETED, ACTIVE, False),
        (DELETED, PAUSED, False),
    ],
)
def test_states(before: EndpointState, wanted: EndpointState, allowed: bool) -> None:
    found = move(replace(ENDPOINT, state=before), wanted, now_ms=9)
    if not allowed:
        assert isinstance(found, IllegalChange)
        return
    assert isinstance(found, Endpoint)
    assert (found.state, found.version, found.update_time_ms) == (wanted, 2, 9)
    # Whoever is resumed has another five days.
    assert found.failing_since_ms is None


def test_the_same_again_changes_nothing() -> None:
    assert move(ENDPOINT, ACTIVE, now_ms=9) is ENDPOINT
    same = update(ENDPOINT, url=ENDPOINT.url, description="", types=(), now_ms=9)
    assert same is ENDPOINT


def test_rotation() -> None:
    rotated = rotate(ENDPOINT, b"two", overlap_ms=10, now_ms=5)
    assert (rotated.secret, rotated.previous_secret) == (b"two", b"one")
    assert rotated.previous_expire_time_ms == 15
    at_once = rotate(rotated, b"three", overlap_ms=0, now_ms=6)
    assert (at_once.previous_secret, at_once.previous_expire_time_ms) == (None, None)


@pytest.mark.parametrize(("since_ms", "given_up"), [(None, False), (0, True), (1, False)])
def test_five_days(since_ms: int | None, given_up: bool) -> None:
    assert has_failed_too_long(since_ms, now_ms=5 * 24 * HOUR_MS) is given_up
