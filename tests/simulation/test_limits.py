"""Random histories of limited cards, driven through the wire and through a model.

Goal: limits are spent to the cent, counted in the period in which the money was spent, given back
to exactly that period, and told as they are: by refusals and by GetSpendUsage, after every step.
Method: the machine of purchases with three cards (one replaces another, one pays once), limits of
every kind on cards and account that are changed in the middle, and a clock that jumps to the edges
of their windows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant
from redis.asyncio import Redis

from holdfast.authz.v1 import spend_usage_pb2 as pb
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls, SpendLimit
from tests.authz_checks import answered, usd
from tests.authz_mesh import ADMIN
from tests.databases import Database
from tests.simulation.limits import DAY_MS, Left, ModelLimit, ModelWindow
from tests.simulation.machine import move
from tests.simulation.model import ModelCard, ModelPlace
from tests.simulation.purchases import CASH, PurchaseMachine
from tests.simulation.running import TIMEOUT_S, run_histories

#: Every history begins at this moment, a Friday: 2027-01-15T08:00Z.
BEGIN_MS = 1_800_000_000_000
PLACES = (
    ModelPlace(),
    ModelPlace("m-1", "Corner shop, other till", "5812"),
    ModelPlace("m-9", "CORNER SHOP", "5812"),
    ModelPlace("m-2", "Elsewhere", "5411"),
    ModelPlace("m-3", "Far away", "5812"),
)
#: Clocks are put forward at midnight in Santiago: some days there begin at one o'clock.
ZONES = st.sampled_from(["UTC", "Europe/Madrid", "America/Santiago", "Pacific/Kiritimati"])
CALENDARS = st.builds(
    ModelWindow,
    unit=st.sampled_from(["DAY", "WEEK", "MONTH", "YEAR", "LIFETIME"]),
    timezone=ZONES,
    week_start=st.integers(1, 7),
)
ROLLING = st.builds(
    ModelWindow,
    unit=st.just("ROLLING"),
    length_ms=st.sampled_from([60_000, 3_600_000, DAY_MS, 7 * DAY_MS + 1, 366 * DAY_MS]),
)
LIMITS = st.builds(
    ModelLimit,
    subject=st.just(""),
    name=st.sampled_from(["a", "b"]),
    amount=st.sampled_from([50, 120, 300, 900]),
    count=st.sampled_from([None, None, 1, 3, 5]),
    window=CALENDARS | ROLLING,
    categories=st.sampled_from([(), (), ("5812",), ("5411", CASH)]),
)
COUNTS = st.builds(
    ModelLimit,
    subject=st.just(""),
    name=st.just("c"),
    amount=st.none(),
    count=st.integers(1, 4),
    window=CALENDARS | ROLLING,
)
CONTROLS = st.lists(LIMITS | COUNTS, max_size=3, unique_by=lambda limit: limit.name)


class LimitedMachine(PurchaseMachine):
    """Three cards of one account: the second replaces the first, the third pays once."""

    def equip(self) -> None:
        self.mesh.clock.advance(BEGIN_MS - self.mesh.clock.now_ms())
        first = self.card_id
        self.cards = [first, *(self.mesh.ids.new("card", 10) for _ in range(2))]
        self.model.limit = 5_000
        self.model.cards[first].lock = self.data.draw(st.booleans(), label="lock")
        self.model.cards[self.cards[1]] = ModelCard(line=first)
        self.model.cards[self.cards[2]] = ModelCard(line=self.cards[2], single_use=True)
        self.versions |= dict.fromkeys(self.cards[1:], 0)
        for subject in ("account", first, self.cards[2]):
            self.set_limits(subject, self.data.draw(CONTROLS))

    def card_of(self, name: str) -> str:
        if name.startswith("net-"):
            return self.cards[int(name[4:]) % len(self.cards)]
        return self.model.of(name).card

    def controls_of(self, subject: str) -> SpendControls | None:
        card = self.model.cards.get(subject)
        limits = self.model.limits.of.get(card.line if card else subject, ())
        lock = card is not None and card.lock
        return SpendControls(limits=map(_message, limits), merchant_lock=lock)

    def set_limits(self, subject: str, limits: list[ModelLimit]) -> None:
        """A limit that stays as it was goes on counting; any other one begins now."""
        self.mesh.clock.advance(1)
        kept = {limit.key: limit for limit in self.model.limits.of.get(subject, ())}
        before = {_content(limit): limit for limit in kept.values()}
        now = self.mesh.clock.now_ms()
        self.model.limits.of[subject] = tuple(
            before.get(_content(limit)) or replace(limit, subject=subject, since=now)
            for limit in limits
        )
        if subject == "account":
            self.configure_account()
        for card_id, card in self.model.cards.items():
            if card.line == subject:
                self.configure_card(card_id)

    @move(limits=CONTROLS)
    def limit_the_account(self, limits: list[ModelLimit]) -> None:
        self.set_limits("account", limits)

    @move(limits=CONTROLS)
    def limit_the_card(self, limits: list[ModelLimit]) -> None:
        self.set_limits(self.model.cards[self.card_id].line, limits)

    @move(2, lock=st.sampled_from([False, True, True]))
    def lock_to_a_merchant(self, lock: bool) -> None:
        self.model.cards[self.card_id].lock = lock
        self.configure_card(self.card_id)

    @move(2, number=st.integers(0, 2))
    def take_another_card(self, number: int) -> None:
        self.card_id = self.cards[number]

    @move(3, place=st.sampled_from(PLACES))
    def go_elsewhere(self, place: ModelPlace) -> None:
        self.place = place

    def limits_now(self) -> list[ModelLimit]:
        return [limit for limits in self.model.limits.of.values() for limit in limits]

    @move(3, by=st.sampled_from([-1, 0, 0, 1]))
    def jump_to_an_edge(self, by: int) -> None:
        """To where a period ends, or what was spent first stops to count; or nearly."""
        limits = self.limits_now()
        if not limits:
            return
        limit = self.data.draw(st.sampled_from(limits))
        (left,) = self.model.left([limit], self.now())
        if left.reset is None or left.reset + by < self.now():
            return
        self.wait(self.mesh.settle())  # an old journal would stop everything
        self.mesh.clock.advance(left.reset + by - self.now())
        self.seen["edge of ROLLING" if limit.window.unit == "ROLLING" else "edge"] += 1

    def now(self) -> int:
        return self.mesh.clock.now_ms()

    @invariant()
    def usage_agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        request = pb.GetSpendUsageRequest(card_id=self.card_id)
        found, _ = self.wait(
            answered(self.mesh.authorization.GetSpendUsage, request, metadata=ADMIN)
        )
        limits = self.model.limits_at(self.card_id, None)
        assert list(found.limits) == [_usage(one) for one in self.model.left(limits, self.now())]

    def teardown(self) -> None:
        if hasattr(self, "model"):
            for card_id in self.cards:
                self.card_id = card_id
                self.usage_agrees()
        super().teardown()


def _content(limit: ModelLimit) -> tuple[object, ...]:
    return (limit.name, limit.amount, limit.count, limit.window, limit.categories)


def _message(limit: ModelLimit) -> SpendLimit:
    found = SpendLimit(control_id=limit.name, count=limit.count or 0, categories=limit.categories)
    found.counting_since.FromMilliseconds(limit.since)
    if limit.amount is not None:
        found.amount.CopyFrom(usd(limit.amount))
    window = limit.window
    if window.unit == "ROLLING":
        found.rolling.FromMilliseconds(window.length_ms)
    else:
        unit = CalendarWindow.Unit.Value(f"UNIT_{window.unit}")
        found.calendar.CopyFrom(
            CalendarWindow(unit=unit, timezone=window.timezone, week_start=window.week_start)
        )
    return found


def _usage(left: Left) -> pb.LimitUsage:
    limit = left.limit
    found = pb.LimitUsage(
        control_id=limit.label,
        used_amount=usd(left.used),
        used_count=left.used_count,
        limit_count=limit.count,
        left_count=left.count,
    )
    if limit.amount is not None and left.amount is not None:
        found.limit_amount.CopyFrom(usd(limit.amount))
        found.left_amount.CopyFrom(usd(left.amount))
    found.start_time.FromMilliseconds(left.start)
    if left.reset is not None:
        found.reset_time.FromMilliseconds(left.reset)
    return found


#: What the histories must have met, or they have shown nothing.
MET = {
    "approved",
    "part",
    "SPEND_LIMIT_EXCEEDED",
    "VELOCITY_COUNT_EXCEEDED",
    "MERCHANT_NOT_ALLOWED",
    "SINGLE_USE_ALREADY_USED",
    "increment approved",
    "increment SPEND_LIMIT_EXCEEDED",
    "edge",
    "edge of ROLLING",
}


@pytest.mark.timeout(TIMEOUT_S)
def test_random_histories_of_limits_agree_with_the_model(database: Database, money: Redis) -> None:
    """See the module: one deterministic set of histories."""
    LimitedMachine.seen = Counter()
    run_histories(LimitedMachine, database, money, examples=40)
    assert MET - set(LimitedMachine.seen) == set()
