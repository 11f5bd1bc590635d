"""Controls that a purchase breaks by itself: one row per rule, and which says no first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from authz import convert_controls
from authz.controls import NO_CONTROLS, Channel, Controls, Hours, Limit, Place, Rule, broken
from authz.decision import PRECEDENCE, RULES, Declined, Plan, Reason, decide
from authz.snapshot import (
    RulesSnapshot,
    Snapshot,
    UserSnapshot,
    limits_of,
    maximum_of,
)
from authz.windows import Calendar, Rolling, Unit, slots_of
from holdfast.type.v1 import spend_controls_pb2 as pb
from holdfast.type.v1.default_rules_pb2 import DefaultRules
from holdfast.type.v1.money_pb2 import Money
from tests.unit.authz.test_decision import ACCOUNT, CARD, NOW_MS, PURCHASE

PLACE = Place(
    merchant_id="M-1",
    descriptor="Corner Shop",
    category_code="5411",
    country_code="US",
    channels=frozenset({Channel.ECOMMERCE}),
)
#: In the order in which one is asked after the other.
SCOPES = (
    "card",
    "account",
    "user",
    "programme/card",
    "programme/account",
    "company/card",
    "company/account",
)
DAILY = Limit(
    control_id="daily",
    amount_minor=1_000,
    count=None,
    window=Calendar(unit=Unit.DAY),
    categories=(),
    counting_since_ms=7,
)


@pytest.mark.parametrize(
    ("rule", "fields", "place", "breaks"),
    [
        (Rule.ADDRESS_MATCH, {"address_match": True}, {"address_mismatch": True}, True),
        (Rule.ADDRESS_MATCH, {}, {"address_mismatch": True}, False),
        (Rule.CHANNELS, {"blocked_channels": frozenset({Channel.ECOMMERCE})}, {}, True),
        (Rule.CHANNELS, {"blocked_channels": frozenset({Channel.CASH})}, {}, False),
        (Rule.COUNTRIES, {"allowed_countries": frozenset({"DE"})}, {}, True),
        (Rule.COUNTRIES, {"allowed_countries": frozenset({"US"})}, {}, False),
        (Rule.COUNTRIES, {"allowed_countries": frozenset({"US"})}, {"country_code": ""}, True),
        (Rule.COUNTRIES, {"blocked_countries": frozenset({"US"})}, {}, True),
        (Rule.COUNTRIES, {"blocked_countries": frozenset({"US"})}, {"country_code": ""}, False),
        (Rule.CATEGORIES, {"allowed_categories": ((5400, 5500),)}, {}, False),
        (Rule.CATEGORIES, {"allowed_categories": ((5412, 5500),)}, {}, True),
        (Rule.CATEGORIES, {"allowed_categories": ((0, 9999),)}, {"category_code": ""}, True),
        (Rule.CATEGORIES, {"blocked_categories": ((5411, 5411),)}, {}, True),
        (Rule.CATEGORIES, {"blocked_categories": ((5412, 5412),)}, {}, False),
        (Rule.MERCHANTS, {"allowed_merchants": frozenset({"M-1"})}, {}, False),
        (Rule.MERCHANTS, {"allowed_merchants": frozenset({"corner shop"})}, {}, False),
        (Rule.MERCHANTS, {"allowed_merchants": frozenset({"M-2"})}, {}, True),
        (Rule.MERCHANTS, {"blocked_merchants": frozenset({"corner shop"})}, {}, True),
        (Rule.MERCHANTS, {"blocked_merchants": frozenset({"M-2"})}, {}, False),
        (Rule.MAXIMUM, {"maximum_minor": 99}, {}, True),
        (Rule.MAXIMUM, {"maximum_minor": 100}, {}, False),
    ],
)
def test_rules(rule: Rule, fields: dict[str, Any], place: dict[str, Any], breaks: bool) -> None:
    assert broken(rule, Controls(**fields), replace(PLACE, **place), 100, NOW_MS) is breaks
    assert not broken(rule, NO_CONTROLS, replace(PLACE, **place), 100, NOW_MS)


@pytest.mark.parametrize(
    ("start", "end", "weekdays", "when", "inside"),
    [
        (540, 1080, {1}, "2026-05-04T07:00", True),  # 09:00 of a Monday in Madrid
        (540, 1080, {1}, "2026-05-04T06:59", False),
        (540, 1080, {1}, "2026-05-04T16:00", False),
        (540, 1080, {2}, "2026-05-04T07:00", False),
        (1320, 360, {1}, "2026-05-04T20:00", True),  # 22:00 to 06:00, from a Monday
        (1320, 360, {1}, "2026-05-05T03:59", True),
        (1320, 360, {1}, "2026-05-05T04:00", False),
        (1320, 360, {1}, "2026-05-04T03:00", False),
        (570, 1080, {1}, "2026-05-04T07:29", False),
        (570, 1080, {1}, "2026-05-04T07:30", True),
        (1320, 360, {7}, "2026-05-04T03:59", True),  # the day before a Monday is a Sunday
        (1320, 360, {6}, "2026-05-10T03:59", True),  # and before that a Saturday
        (540, 540, {1}, "2026-05-04T07:00", True),  # a whole day, from nine to nine
        (540, 540, {1}, "2026-05-05T06:59", True),
        (540, 540, {1}, "2026-05-05T07:00", False),
        (0, 1440, {1}, "2026-05-04T21:59", True),
        (0, 1440, {1}, "2026-05-04T22:00", False),
    ],
)
def test_active_hours(start: int, end: int, weekdays: set[int], when: str, inside: bool) -> None:
    hours = Hours(timezone="Europe/Madrid", weekdays=frozenset(weekdays), start=start, end=end)
    now_ms = int(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()) * 1000
    assert hours.contains(now_ms) is inside
    controls = Controls(active_hours=(hours,))
    assert broken(Rule.ACTIVE_HOURS, controls, PLACE, 1, now_ms) != inside


def _decided(card: Controls, account: Controls, **place: Any) -> Declined | Plan:
    snapshot = Snapshot(
        card=replace(CARD, controls=card), account=replace(ACCOUNT, controls=account)
    )
    return decide(replace(PURCHASE, place=replace(PLACE, **place)), snapshot, now_ms=NOW_MS)


def test_rules_stand_in_the_order_of_precedence() -> None:
    ranks = [PRECEDENCE.index(reason) for reason in RULES.values()]
    assert ranks == sorted(ranks)
    assert list(RULES) == list(Rule)


def test_a_refusal_names_the_control_and_what_it_allows() -> None:
    low, high = Controls(maximum_minor=50), Controls(maximum_minor=100)
    for card, account, control in ((low, high, "card"), (high, low, "account")):
        assert _decided(card, account) == Declined(
            reason=Reason.PER_TRANSACTION_LIMIT,
            control=f"{control}/transaction_maximum",
            left_minor=50,
        )


def test_the_first_reason_wins_whosever_control_it_is() -> None:
    card = Controls(maximum_minor=1)
    account = Controls(blocked_channels=frozenset({Channel.ECOMMERCE}))
    verdict = _decided(card, account)
    assert verdict == Declined(
        reason=Reason.CHANNEL_NOT_ALLOWED, control="account/blocked_channels"
    )


def _everywhere(controls: Controls) -> Snapshot:
    """A snapshot in which everything has these controls."""
    rules = RulesSnapshot(card_controls=controls, account_controls=controls)
    return Snapshot(
        card=replace(CARD, controls=controls, user_id="usr_0b1"),
        account=replace(ACCOUNT, controls=controls),
        user=UserSnapshot(controls=controls),
        programme=rules,
        company=rules,
    )


def _with(snapshot: Snapshot, scope: str, controls: Controls) -> Snapshot:
    """The same, but for what one of them says."""
    whose, _, part = scope.partition("/")
    fields: dict[str, Any] = {f"{part}_controls" if part else "controls": controls}
    parts: dict[str, Any] = {whose: replace(getattr(snapshot, whose), **fields)}
    return replace(snapshot, **parts)


def test_whose_control_is_named_follows_the_order_of_scopes() -> None:
    """One after the other is taken away: the next one says no, under its own name."""
    purchase = replace(PURCHASE, place=PLACE)
    snapshot = _everywhere(Controls(blocked_countries=frozenset({"US"}), maximum_minor=1))
    for scope in SCOPES:
        verdict = decide(purchase, snapshot, now_ms=NOW_MS)
        assert verdict == Declined(
            reason=Reason.COUNTRY_NOT_ALLOWED, control=f"{scope}/{Rule.COUNTRIES}"
        )
        snapshot = _with(snapshot, scope, NO_CONTROLS)
    assert isinstance(decide(purchase, snapshot, now_ms=NOW_MS), Plan)


@pytest.mark.parametrize("strictest", SCOPES)
def test_the_strictest_wins_whosever_it_is(strictest: str) -> None:
    """The reason that stands first wins over the scope that does; so does the lowest maximum."""
    early = Controls(blocked_channels=frozenset({Channel.ECOMMERCE}), maximum_minor=98)
    snapshot = _with(_everywhere(Controls(maximum_minor=99)), strictest, early)
    verdict = decide(replace(PURCHASE, place=PLACE), snapshot, now_ms=NOW_MS)
    assert verdict == Declined(
        reason=Reason.CHANNEL_NOT_ALLOWED, control=f"{strictest}/{Rule.CHANNELS}"
    )
    assert maximum_of(snapshot) == f"98,{strictest}/{Rule.MAXIMUM}"
    assert maximum_of(Snapshot(card=CARD, account=ACCOUNT)) == ""


def test_no_two_scopes_share_a_counter() -> None:
    """The same limit everywhere counts seven times, each under its own key and name."""
    snapshot = _everywhere(Controls(limits=(DAILY,)))
    uses = limits_of(snapshot.scopes, PLACE, now_ms=NOW_MS)
    assert [(use.key, use.name) for use in uses] == [
        ("c0a0:daily:7", "card/daily"),
        ("a0a1:daily:7", "account/daily"),
        ("u0a1-0b1:daily:7", "user/daily"),
        ("pc0a0:daily:7", "programme/card/daily"),
        ("pa0a1:daily:7", "programme/account/daily"),
        ("oc0a0:daily:7", "company/card/daily"),
        ("oa0a1:daily:7", "company/account/daily"),
    ]


def test_rules_from_the_wire_bind_their_currency() -> None:
    """Of another currency: no maximum, a limit's count only, and no limit of an amount alone."""
    week = pb.CalendarWindow(unit=pb.CalendarWindow.UNIT_WEEK)
    five = Money(currency_code="USD", amount_minor=5)
    controls = pb.SpendControls(
        transaction_maximum=five,
        limits=[
            pb.SpendLimit(control_id="both", amount=five, count=2, calendar=week),
            pb.SpendLimit(control_id="amount", amount=five, calendar=week),
        ],
    )
    raw = DefaultRules(card_controls=controls).SerializeToString()
    dollars = convert_controls.rules_of(3, raw, "USD", of_programme=True)
    assert (dollars.version, dollars.account_controls) == (3, NO_CONTROLS)
    assert dollars.card_controls.maximum_minor == 5
    assert [limit.amount_minor for limit in dollars.card_controls.limits] == [5, 5]
    euros = convert_controls.rules_of(3, raw, "EUR", of_programme=True).card_controls
    assert euros.maximum_minor is None
    assert [(one.control_id, one.amount_minor, one.count) for one in euros.limits] == [
        ("both", None, 2)
    ]


def test_limits_of_card_and_account_count_for_their_own_subject() -> None:
    verdict = _decided(Controls(limits=(DAILY,)), Controls(limits=(DAILY,)))
    assert isinstance(verdict, Plan)
    assert [(use.key, use.name) for use in verdict.uses] == [
        ("c0a0:daily:7", "card/daily"),
        ("a0a1:daily:7", "account/daily"),
    ]
    assert {(use.limit, use.slots) for use in verdict.uses} == {
        (DAILY, slots_of(DAILY.window, now_ms=NOW_MS))
    }


def test_the_plan_names_the_control_that_locks_to_a_merchant() -> None:
    lock, none = Controls(merchant_lock=True), NO_CONTROLS
    for card, account, control in ((lock, lock, "card"), (none, lock, "account")):
        verdict = _decided(card, account)
        assert isinstance(verdict, Plan)
        assert verdict.merchant_lock == f"{control}/merchant_lock"


def test_the_hours_are_those_of_the_moment() -> None:
    """1,900,000,000 s is 2030-03-17T17:46:40Z."""
    for start, end, declined in ((1066, 1067, False), (1067, 1068, True)):
        hours = Hours(timezone="UTC", weekdays=frozenset({7}), start=start, end=end)
        verdict = _decided(Controls(active_hours=(hours,)), NO_CONTROLS)
        assert isinstance(verdict, Declined) is declined


def test_a_limit_of_categories_counts_only_theirs() -> None:
    scoped = Controls(limits=(replace(DAILY, categories=((5411, 5499),)),))
    for code, count in (("5411", 1), ("5500", 0), ("", 0)):
        verdict = _decided(scoped, NO_CONTROLS, category_code=code)
        assert isinstance(verdict, Plan)
        assert len(verdict.uses) == count


def test_what_verifies_an_account_counts_nowhere() -> None:
    snapshot = Snapshot(card=replace(CARD, controls=Controls(limits=(DAILY,))), account=ACCOUNT)
    verdict = decide(replace(PURCHASE, amount_minor=0, place=PLACE), snapshot, now_ms=NOW_MS)
    assert isinstance(verdict, Plan)
    assert verdict.uses == ()


def test_controls_from_the_wire() -> None:
    message = pb.SpendControls(
        transaction_maximum=Money(currency_code="USD", amount_minor=5),
        allowed_categories=["5411", "3501-3999"],
        blocked_merchants=["Corner Shop"],
        blocked_channels=[pb.CHANNEL_CASH],
        active_hours=[pb.ActiveHours(start="09:30", weekdays=[6, 7])],
        limits=[
            pb.SpendLimit(
                control_id="week",
                count=3,
                calendar=pb.CalendarWindow(unit=pb.CalendarWindow.UNIT_WEEK, week_start=7),
            ),
            pb.SpendLimit(control_id="roll", amount=Money(currency_code="USD", amount_minor=9)),
        ],
    )
    message.limits[0].counting_since.FromMilliseconds(1_500)
    message.limits[1].rolling.FromSeconds(90)
    found = convert_controls.controls_of(message.SerializeToString(), "USD")
    assert found.maximum_minor == 5
    assert found.allowed_categories == ((5411, 5411), (3501, 3999))
    assert found.blocked_merchants == {"Corner Shop", "corner shop"}
    assert found.blocked_channels == {Channel.CASH}
    assert found.active_hours == (
        Hours(timezone="UTC", weekdays=frozenset({6, 7}), start=570, end=1440),
    )
    week, roll = found.limits
    assert (week.count, week.amount_minor, week.counting_since_ms) == (3, None, 1_500)
    assert week.window == Calendar(unit=Unit.WEEK, week_start=7)
    assert (roll.count, roll.amount_minor) == (None, 9)
    assert roll.window == Rolling(duration_ms=90_000)
    assert convert_controls.controls_of(b"", "USD") is NO_CONTROLS
