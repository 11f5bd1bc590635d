"""Junk per address: bounded in number, in time and in memory."""

from __future__ import annotations

from dataclasses import replace

from gateway.edge import shut_by_junk
from gateway.junk_keys import ADDRESSES_MAX, JUNK_MAX, JunkKeys
from gateway.limits import WINDOW_MS, Kind, Limit
from runtime.clock import ManualClock


def test_so_much_and_no_more_within_a_window() -> None:
    junk = JunkKeys()
    assert [junk.take("192.0.2.1", now_ms=number) for number in range(JUNK_MAX)] == [0] * JUNK_MAX
    assert junk.take("192.0.2.1", now_ms=1_000) == WINDOW_MS - 1_000
    assert junk.take("192.0.2.2", now_ms=1_000) == 0
    # A right key does not count.
    junk.give_back("192.0.2.1")
    assert junk.take("192.0.2.1", now_ms=1_000) == 0
    assert junk.take("192.0.2.1", now_ms=WINDOW_MS) == 0
    # A clock that was set back shuts nobody out.
    assert junk.take("192.0.2.1", now_ms=-WINDOW_MS) == 0


def test_hosts_of_one_customer_are_one() -> None:
    junk = JunkKeys()
    for number in range(JUNK_MAX):
        assert junk.take(f"2001:db8::{number:x}", now_ms=0) == 0
    assert junk.take("2001:db8::ffff:1", now_ms=0) > 0
    assert junk.take("2001:db8:0:1::1", now_ms=0) == 0


def test_memory_is_bounded() -> None:
    junk = JunkKeys()
    for number in range(ADDRESSES_MAX + 100):
        junk.take(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", now_ms=number)
    assert len(junk._counts) == ADDRESSES_MAX


def test_who_has_shown_too_much_waits_for_the_rest_of_the_window() -> None:
    junk = JunkKeys(2)
    junk.take("2001:db8::1", now_ms=0)
    assert junk.wait_ms("2001:db8::/64", now_ms=400) == 0
    junk.take("2001:db8::2", now_ms=400)
    assert [junk.wait_ms("2001:db8::/64", now_ms=ms) for ms in (400, WINDOW_MS - 1, WINDOW_MS)] == [
        WINDOW_MS - 400,
        1,
        0,
    ]
    # Asking counts nothing, and a clock that was set back shuts nobody out.
    assert junk.wait_ms("2001:db8::/64", now_ms=-1) == 0
    assert junk.wait_ms("2001:db8:0:1::/64", now_ms=400) == 0


def test_too_much_junk_shuts_the_window_of_refresh_tokens_only() -> None:
    clock, junk = ManualClock(), JunkKeys(1)
    refreshes = Limit(kind=Kind.REFRESH, whose="192.0.2.1", per_minute=600)
    assert shut_by_junk(junk, 1, clock, refreshes) is None
    junk.take("192.0.2.1", now_ms=clock.now_ms())
    clock.advance(1_000)
    shut = Limit(kind=Kind.JUNK_TOKEN, whose="192.0.2.1", per_minute=1)
    assert shut_by_junk(junk, 1, clock, refreshes) == (shut, WINDOW_MS - 1_000)
    assert shut_by_junk(junk, 1, clock, replace(refreshes, whose="192.0.2.2")) is None
    assert shut_by_junk(junk, 1, clock, replace(refreshes, kind=Kind.SIGN_IN)) is None
    # 0: any number.
    assert shut_by_junk(junk, 0, clock, refreshes) is None
