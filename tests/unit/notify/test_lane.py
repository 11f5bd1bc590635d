"""The queue of one endpoint: order within an account, and how much is under way."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from notify.lane import AT_ONCE, FAILURES, HELD_MAX, PAUSE_MS, PAUSE_MS_MAX, SLOW_MS, Lane


@dataclass(frozen=True)
class Item:
    number: int
    order_key: str


def test_one_at_a_time_for_an_account() -> None:
    lane: Lane[Item] = Lane()
    lane.offer([Item(1, "a"), Item(2, "a"), Item(3, "b")])
    first, second = lane.start(now_ms=0), lane.start(now_ms=0)
    assert (first, second, lane.start(now_ms=0)) == (Item(1, "a"), Item(3, "b"), None)
    assert first is not None
    lane.finish(first, taken=True, duration_ms=1, now_ms=0)
    assert lane.start(now_ms=0) == Item(2, "a")


def test_what_is_not_written_is_not_sent_again() -> None:
    lane: Lane[Item] = Lane()
    item = Item(1, "a")
    lane.offer([item])
    lane.offer([item])
    assert lane.start(now_ms=0) == item
    lane.finish(item, taken=True, duration_ms=1, now_ms=0)
    lane.offer([item])
    assert lane.start(now_ms=0) is None
    assert lane.held == frozenset({1})
    lane.written(1)
    lane.offer([item])
    assert lane.start(now_ms=0) == item


def failed(lane: Lane[Item], number: int, *, now_ms: int) -> None:
    """One more event that is not taken."""
    lane.offer([Item(number, str(number))])
    item = lane.start(now_ms=now_ms)
    assert item is not None
    lane.finish(item, taken=False, duration_ms=1, now_ms=now_ms)
    lane.written(number)
    assert lane.is_slow


def test_dead_endpoints_get_one_at_a_time_and_pauses() -> None:
    lane: Lane[Item] = Lane()
    assert lane.room(now_ms=0) == HELD_MAX
    for number in range(FAILURES):
        failed(lane, number, now_ms=0)
    now_ms, pause_ms = 0, PAUSE_MS
    for number in range(FAILURES, FAILURES + 8):
        lane.offer([Item(99, "later")])
        assert lane.room(now_ms=now_ms + pause_ms - 1) == 0
        assert lane.start(now_ms=now_ms + pause_ms - 1) is None
        lane.clear()
        now_ms, pause_ms = now_ms + pause_ms, min(2 * pause_ms, PAUSE_MS_MAX)
        assert lane.room(now_ms=now_ms) == 1
        failed(lane, number, now_ms=now_ms)
    now_ms += PAUSE_MS_MAX
    lane.offer([Item(100, "x"), Item(101, "y")])
    item = lane.start(now_ms=now_ms)
    assert item is not None
    assert lane.start(now_ms=now_ms) is None
    lane.finish(item, taken=True, duration_ms=SLOW_MS, now_ms=now_ms)
    assert lane.is_slow
    assert lane.start(now_ms=now_ms) is not None
    assert lane.room(now_ms=now_ms) == HELD_MAX - 2


def test_what_fails_together_is_one_failure_for_the_pause() -> None:
    lane: Lane[Item] = Lane()
    lane.offer([Item(number, str(number)) for number in range(AT_ONCE)])
    items = [lane.start(now_ms=0) for _ in range(AT_ONCE)]
    for item in items:
        assert item is not None
        lane.finish(item, taken=False, duration_ms=1, now_ms=0)
        lane.written(item.number)
    assert (lane.room(now_ms=PAUSE_MS - 1), lane.room(now_ms=PAUSE_MS)) == (0, 1)


def test_forgetting_leaves_what_is_under_way() -> None:
    lane: Lane[Item] = Lane()
    lane.offer([Item(1, "a"), Item(2, "b")])
    lane.start(now_ms=0)
    lane.clear()
    assert lane.held == {1}
    assert lane.start(now_ms=0) is None


@given(st.lists(st.sampled_from("abcdefghijkl"), max_size=60), st.data())
def test_any_answers_keep_the_order_of_each_account(keys: list[str], luck: st.DataObject) -> None:
    """Goal: whatever is answered first, each account's events are sent in their order, never two
    of one at a time, never more than allowed.
    """
    lane: Lane[Item] = Lane()
    waiting = [Item(number, key) for number, key in enumerate(keys)]
    under_way: list[Item] = []
    sent: list[Item] = []
    while waiting or lane.held:
        offered, waiting = waiting[: lane.room(now_ms=0)], waiting[lane.room(now_ms=0) :]
        lane.offer(offered)
        while (item := lane.start(now_ms=0)) is not None:
            under_way.append(item)
            sent.append(item)
        assert len(under_way) == len({one.order_key for one in under_way}) <= AT_ONCE
        done = under_way.pop(luck.draw(st.integers(0, len(under_way) - 1)))
        lane.finish(done, taken=True, duration_ms=1, now_ms=0)
        lane.written(done.number)
    for key in set(keys):
        mine = [one.number for one in sent if one.order_key == key]
        assert mine == sorted(mine)
    assert len(sent) == len(keys)
