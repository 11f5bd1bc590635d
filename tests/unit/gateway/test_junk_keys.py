"""Junk per address: bounded in number, in time and in memory."""

from __future__ import annotations

from gateway.junk_keys import ADDRESSES_MAX, JUNK_MAX, JunkKeys
from gateway.limits import WINDOW_MS


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
