"""The sliding window, on a real Valkey and against the rule it keeps, written down in a line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.asyncio import Redis

from gateway.limit_connection import RECONNECT_S, LimitConnection
from gateway.limiter import Asked, Limiter, Taken
from gateway.limits import WINDOW_MS, Kind, Limit
from gateway.scripts import TAKE_REQUEST
from gateway.session_store import session_key
from runtime.clock import ManualClock
from runtime.devstack.supervisor import Devstack
from runtime.errors import Unavailable

LIMIT = Limit(kind=Kind.CALLER, whose="usr_1", per_minute=100)


def _connection(stack: Devstack, url: str = "") -> LimitConnection:
    settings = stack.settings
    return LimitConnection(settings, url or settings.cache_url or "", (TAKE_REQUEST,))


@pytest.fixture
def connection(devstack_base: Devstack, cache: Redis) -> Iterator[LimitConnection]:
    del cache
    opened = _connection(devstack_base)
    yield opened
    opened.close()


def _take(limiter: Limiter, limit: Limit) -> Taken:
    (taken,) = limiter.take([Asked(limit)])
    return taken


async def test_request_101_is_refused_and_request_100_is_not(connection: LimitConnection) -> None:
    clock = ManualClock()
    limiter = Limiter(connection, clock)
    begun_ms = clock.now_ms()
    for number in range(100):
        taken = _take(limiter, LIMIT)
        assert (taken.allowed, taken.remaining) == (True, 99 - number)
        clock.advance(100)
    refused = _take(limiter, LIMIT)
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert refused.wait_ms == begun_ms + WINDOW_MS + 1 - clock.now_ms()
    # Not a millisecond too early, and then one.
    clock.advance(refused.wait_ms - 1)
    assert not (_take(limiter, LIMIT)).allowed
    clock.advance(1)
    assert (_take(limiter, LIMIT)).allowed
    assert not (_take(limiter, LIMIT)).allowed


async def test_no_window_has_more_than_its_limit(connection: LimitConnection) -> None:
    """Method: bursts and pauses of every length; each answer is compared with the rule: refused if
    and only if `limit` were let through in the window before.
    """
    clock, limit = ManualClock(), Limit(kind=Kind.KEY, whose="key_1", per_minute=7)
    limiter, let_through = Limiter(connection, clock), list[int]()
    state = 1
    for _ in range(600):
        state = state * 1_103_515_245 % 2**31
        clock.advance((0, 1, 40, 900, 8_000, 59_999)[state % 6])
        now_ms = clock.now_ms()
        recent = [then for then in let_through if then >= now_ms - WINDOW_MS]
        taken = _take(limiter, limit)
        assert taken.allowed == (len(recent) < limit.per_minute)
        if taken.allowed:
            let_through.append(now_ms)


async def test_processes_at_once_let_exactly_the_limit_through(devstack_base: Devstack) -> None:
    """Four connections, each with batches of its own, as gateways have them side by side."""
    clock = ManualClock()

    def ask(_: int) -> int:
        connection = _connection(devstack_base)
        limiter = Limiter(connection, clock)
        allowed = sum(one.allowed for _ in range(25) for one in limiter.take([Asked(LIMIT)] * 10))
        connection.close()
        return allowed

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(ask, range(4))) == 100


async def test_a_window_is_bounded_and_forgotten(connection: LimitConnection, cache: Redis) -> None:
    limiter = Limiter(connection, ManualClock())
    limiter.take([Asked(LIMIT)] * 300)
    assert await cache.llen(LIMIT.key) == 100
    assert 0 < await cache.pttl(LIMIT.key) <= WINDOW_MS + 1
    used = await cache.memory_usage(LIMIT.key)
    assert used is not None
    assert used < 2048


async def test_a_lower_limit_counts_at_once(connection: LimitConnection) -> None:
    clock = ManualClock()
    limiter = Limiter(connection, clock)
    for _ in range(50):
        _take(limiter, LIMIT)
    lower = Limit(kind=LIMIT.kind, whose=LIMIT.whose, per_minute=10)
    assert not (_take(limiter, lower)).allowed
    clock.advance(WINDOW_MS + 1)
    assert (_take(limiter, lower)).allowed


async def test_a_clock_that_goes_back_gives_nothing_away(connection: LimitConnection) -> None:
    clock = ManualClock()
    limiter = Limiter(connection, clock)
    for _ in range(100):
        _take(limiter, LIMIT)
    clock.advance(-30_000)
    assert not (_take(limiter, LIMIT)).allowed
    # By more than a window: nobody is shut out until the clock has come back.
    clock.advance(-3_600_000)
    assert (_take(limiter, LIMIT)).allowed


async def test_who_shows_a_session_that_ended_uses_up_nothing(
    connection: LimitConnection, cache: Redis
) -> None:
    limiter = Limiter(connection, ManualClock())
    await cache.hset(session_key("lives"), "user_id", "usr_1")
    ended, lives = limiter.take([Asked(LIMIT, "ended"), Asked(LIMIT, "lives")])
    # It is not refused here: the check of sessions says why.
    assert (ended.allowed, ended.lives) == (True, False)
    assert (lives.allowed, lives.lives, lives.remaining) == (True, True, 99)


async def test_scripts_that_valkey_forgot_are_loaded_again(
    connection: LimitConnection, cache: Redis
) -> None:
    limiter = Limiter(connection, ManualClock())
    assert _take(limiter, LIMIT).remaining == 99
    await cache.script_flush()
    assert [one.remaining for one in limiter.take([Asked(LIMIT)] * 3)] == [98, 97, 96]


async def test_without_valkey_it_says_so_at_once(devstack_base: Devstack) -> None:
    connection = _connection(devstack_base, "unix:///nowhere.sock")
    for _ in range(2):
        with pytest.raises(Unavailable):
            _take(Limiter(connection, ManualClock()), LIMIT)


async def test_calls_do_not_put_off_a_new_connection(
    connection: LimitConnection, cache: Redis
) -> None:
    """Somebody asks all the time, as at a busy edge: the limiter is back at once all the same."""
    limiter = Limiter(connection, ManualClock())
    assert _take(limiter, LIMIT).allowed
    await cache.client_kill_filter(user="gateway")
    refused, deadline_s = 0, time.monotonic() + 10 * RECONNECT_S
    while time.monotonic() < deadline_s:
        try:
            assert _take(limiter, LIMIT).allowed
            break
        except Unavailable:
            refused += 1
            time.sleep(RECONNECT_S / 10)  # noqa: ASYNC251 - the limiter blocks, too
    else:
        raise AssertionError(f"refused {refused} times")
    assert refused > 0
