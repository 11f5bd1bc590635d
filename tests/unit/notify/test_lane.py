"""The queue of one endpoint: order within an account, and how much is under way."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from notify.lane import AT_ONCE, FAILURES, HELD_MAX, SLOW_MS, Lane


@dataclass(frozen=True)
class Item:
    number: int
    order_key: str


def test_one_at_a_time_for_an_account() -> None:
    lane: Lane[Item] = Lane()
    lane.offer([Item(1, "a"), Item(2, "a"), Item(3, "b")])
    first, second = lane.start(), lane.start()
    assert (first, second, lane.start()) == (Item(1, "a"), Item(3, "b"), None)
    assert first is not None
    lane.finish(first, taken=True, duration_ms=1)
    assert lane.start() == Item(2, "a")


def test_what_is_not_written_is_not_sent_again() -> None:
    lane: Lane[Item] = Lane()
    item = Item(1, "a")
    lane.offer([item])
    lane.offer([item])
    assert lane.start() == item
    lane.finish(item, taken=True, duration_ms=1)
    lane.offer([item])
    assert lane.start() is None
    assert lane.held == frozenset({1})
    lane.written(1)
    lane.offer([item])
    assert lane.start() == item


def test_dead_endpoints_get_one_at_a_time() -> None:
    lane: Lane[Item] = Lane()
    assert lane.room == HELD_MAX
    for number in range(FAILURES):
        lane.offer([Item(number, str(number))])
        item = lane.start()
        assert item is not None
        lane.finish(item, taken=False, duration_ms=1)
        lane.written(number)
        assert lane.is_slow
    assert lane.room == 1
    lane.offer([Item(10, "x"), Item(11, "y")])
    item = lane.start()
    assert item is not None
    assert lane.start() is None
    lane.finish(item, taken=True, duration_ms=SLOW_MS)
    assert lane.is_slow
    assert lane.start() is not None
    assert lane.room == HELD_MAX - 2


def test_forgetting_leaves_what_is_under_way() -> None:
    lane: Lane[Item] = Lane()
    lane.offer([Item(1, "a"), Item(2, "b")])
    lane.start()
    lane.clear()
    assert lane.held == {1}
    assert lane.start() is None


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
        offered, waiting = waiting[: lane.room], waiting[lane.room :]
        lane.offer(offered)
        while (item := lane.start()) is not None:
            under_way.append(item)
            sent.append(item)
        assert len(under_way) == len({one.order_key for one in under_way}) <= AT_ONCE
        done = under_way.pop(luck.draw(st.integers(0, len(under_way) - 1)))
        lane.finish(done, taken=True, duration_ms=1)
        lane.written(done.number)
    for key in set(keys):
        mine = [one.number for one in sent if one.order_key == key]
        assert mine == sorted(mine)
    assert len(sent) == len(keys)
