"""What users are told, when, and how often: tables and properties."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.notices.kind import CHOSEN, RULES, Channel, Kind
from notify.notices.notice import (
    ATTEMPTS_MAX,
    RETRY_MS,
    Drop,
    Notice,
    NoticeState,
    Reason,
    Send,
    Wait,
    after_failure,
    decide,
    notice_id,
)
from notify.notices.planning import TOLD, Happened, capped, is_told, notices
from notify.notices.preferences import Preferences, QuietHours
from runtime.clock import datetime_of
from runtime.events.catalogue import CATALOGUE, Event, money

USER, COMPANY = "usr_0a" + "1" * 32, "co_0a" + "2" * 32
ACCOUNT, EVENT = "acct_0a" + "3" * 32, "evt_0a" + "4" * 32
NOW_MS = 1_800_000_000_000
EMAIL, SMS, PUSH = Channel.EMAIL, Channel.SMS, Channel.PUSH


def wants(**choices: set[Channel]) -> Preferences:
    return Preferences(
        user_id=USER, choices={Kind(name): frozenset(one) for name, one in choices.items()}
    )


def told(
    kind: str, wanted: Preferences, *, minor: int = 1_000, left: int = 90_000
) -> set[tuple[Kind, Channel]]:
    data: dict[str, Any] = {
        "amount": money(minor, "USD"),
        "available_credit": money(left, "USD"),
    }
    event = Event(type=kind, time_ms=NOW_MS, account_id=ACCOUNT, user_id=USER, data=data)
    happened = Happened(id=EVENT, event=event, owner_id=USER)
    found = list(notices(happened, USER, wanted, now_ms=NOW_MS))
    assert len({one.id for one in found}) == len(found)
    return {(one.kind, one.channel) for one in found}


K = Kind
APPROVED = "authorization.approved"


@pytest.mark.parametrize(
    ("kind", "wanted", "figures", "expected"),
    [
        (APPROVED, wants(), {}, set()),
        (APPROVED, wants(PURCHASE_APPROVED={SMS}), {}, {(K.PURCHASE_APPROVED, SMS)}),
        (APPROVED, wants(), {"minor": 50_000}, {(K.LARGE_PURCHASE, EMAIL)}),
        (APPROVED, wants(), {"minor": 49_999}, set()),
        # Told once by each channel.
        (
            APPROVED,
            wants(PURCHASE_APPROVED={EMAIL, PUSH}),
            {"minor": 50_000},
            {(K.LARGE_PURCHASE, EMAIL), (K.PURCHASE_APPROVED, PUSH)},
        ),
        # By the purchase that crosses the line, and by no other.
        (APPROVED, wants(), {"left": 9_999}, {(K.LOW_CREDIT, EMAIL)}),
        (APPROVED, wants(), {"left": 10_000}, set()),
        (APPROVED, wants(), {"left": 9_000}, {(K.LOW_CREDIT, EMAIL)}),
        (APPROVED, wants(), {"left": 8_999}, set()),
        (APPROVED, wants(LOW_CREDIT=set()), {"left": 9_999}, set()),
        ("authorization.declined", wants(), {}, {(K.PURCHASE_DECLINED, EMAIL)}),
        ("payment.credited", wants(), {}, {(K.PAYMENT_SUCCEEDED, EMAIL)}),
        ("payment.refunded", wants(), {}, {(K.PAYMENT_REFUNDED, EMAIL)}),
        ("payment.refund_failed", wants(), {}, {(K.PAYMENT_REFUNDED, EMAIL)}),
        ("payment.returned", wants(), {}, {(K.PAYMENT_RETURNED, EMAIL)}),
        # Nobody switches off what must be said.
        ("statement.ready", wants(STATEMENT_READY=set()), {}, {(K.STATEMENT_READY, EMAIL)}),
        ("user.suspended", wants(SECURITY={SMS}), {}, {(K.SECURITY, EMAIL), (K.SECURITY, SMS)}),
        # Who is given a share in an account was not asked: so everybody is told.
        ("account.user_added", wants(SECURITY=set()), {}, {(K.SECURITY, EMAIL)}),
        ("account.user_removed", wants(SECURITY=set()), {}, {(K.SECURITY, EMAIL)}),
        ("card.shipped", wants(CARD_SHIPPED=set()), {}, set()),
    ],
)
def test_what_an_event_tells(
    kind: str, wanted: Preferences, figures: dict[str, int], expected: set[Any]
) -> None:
    assert told(kind, wanted, **figures) == expected


def test_types_that_are_told_exist() -> None:
    assert set(CATALOGUE) >= TOLD


UNUSUAL = "account.spend_unusual"
MANAGERS = (f"usr_0a{'8' * 32}", f"usr_0a{'9' * 32}")


@pytest.mark.parametrize(
    ("kind", "user_id", "owner_id", "expected"),
    [
        (APPROVED, USER, COMPANY, (USER,)),
        (APPROVED, "", USER, (USER,)),
        (APPROVED, "", COMPANY, ()),
        (APPROVED, "", "", ()),
        (UNUSUAL, "", USER, (USER,)),
        (UNUSUAL, "", COMPANY, MANAGERS),
        (UNUSUAL, USER, COMPANY, (USER,)),
        ("payment.failed", "", COMPANY, MANAGERS),
        ("statement.ready", "", COMPANY, MANAGERS),
        # What need not be said is not said to many.
        ("payment.credited", "", COMPANY, ()),
    ],
)
def test_who_is_told(kind: str, user_id: str, owner_id: str, expected: tuple[str, ...]) -> None:
    """Whose card it is, or whose account; a company is no person, but has managers."""
    event = Event(type=kind, time_ms=NOW_MS, account_id=ACCOUNT, user_id=user_id)
    happened = Happened(id=EVENT, event=event, owner_id=owner_id)
    if happened.is_for_managers:
        happened = replace(happened, managers=MANAGERS)
    assert happened.user_ids == expected


def test_what_happened_long_ago_is_no_news() -> None:
    """A notify that begins with a ledger of years writes to nobody about them."""
    for name in TOLD:
        old = Event(type=name, time_ms=NOW_MS - 31 * 86_400_000, account_id=ACCOUNT)
        new = Event(type=name, time_ms=NOW_MS - 60_000, account_id=ACCOUNT)
        assert (is_told(old, now_ms=NOW_MS), is_told(new, now_ms=NOW_MS)) == (False, True)
    assert not is_told(Event(type="card.issued", time_ms=NOW_MS), now_ms=NOW_MS)


def notice(kind: Kind, channel: Channel = EMAIL, *, expire_ms: int = NOW_MS + 1) -> Notice:
    return Notice(
        id=notice_id(EVENT, kind, channel, USER),
        source_id=EVENT,
        kind=kind,
        channel=channel,
        user_id=USER,
        topic=APPROVED,
        due_time_ms=NOW_MS,
        expire_time_ms=expire_ms,
        create_time_ms=NOW_MS,
    )


ALL_DAY = QuietHours(start=time(0, 0), end=time(23, 59), timezone="UTC")


def test_what_becomes_of_what_is_due() -> None:
    plain = wants()
    quiet = Preferences(user_id=USER, quiet_hours=ALL_DAY)

    def decided(one: Notice, wanted: Preferences = plain) -> Send | Wait | Drop:
        return decide(one, wanted, now_ms=NOW_MS)

    assert decided(notice(K.CARD_SHIPPED)) == Send()
    assert decided(notice(K.CARD_SHIPPED, expire_ms=NOW_MS)) == Drop(reason=Reason.EXPIRED)
    assert decided(notice(K.CARD_SHIPPED, SMS)) == Drop(reason=Reason.UNSUBSCRIBED)
    assert decided(notice(K.SECURITY), quiet) == Send(), "it is urgent"
    assert decided(notice(K.PASSWORD_RESET), quiet) == Send()
    waits = decided(notice(K.STATEMENT_READY), quiet)
    assert isinstance(waits, Wait)
    assert waits.until_ms > NOW_MS


def test_failures_wait_longer_and_longer_and_end() -> None:
    assert list(RETRY_MS) == sorted(RETRY_MS)
    waits = [after_failure(number, now_ms=0) for number in range(1, ATTEMPTS_MAX + 1)]
    assert waits == [*RETRY_MS, None]


@given(kind=st.sampled_from(Kind), sent=st.integers(0, 9), cap=st.integers(1, 9))
def test_caps_suppress_what_can_be_done_without(kind: Kind, sent: int, cap: int) -> None:
    found = capped(notice(kind), sent=sent, cap=cap)
    if RULES[kind].required or sent < cap:
        assert found.state is NoticeState.PENDING
    else:
        assert (found.state, found.reason) == (NoticeState.SUPPRESSED, Reason.RATE_CAPPED)


@given(own=st.integers(0, 100), installation=st.integers(1, 100))
def test_nobody_raises_the_installations_cap(own: int, installation: int) -> None:
    cap = Preferences(user_id=USER, max_per_hour=own).cap(installation)
    assert cap == (min(own, installation) if own else installation)


ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Pacific/Chatham")
MINUTES = st.integers(0, 24 * 60 - 1).map(lambda one: time(one // 60, one % 60))


@given(
    now_ms=st.integers(1_767_225_600_000, 1_830_297_600_000),
    start=MINUTES,
    end=MINUTES,
    zone=st.sampled_from(ZONES),
)
def test_quiet_hours_end(now_ms: int, start: time, end: time, zone: str) -> None:
    """Within them one waits until the local time at which they end, at most a day and the hour
    that clocks are set by; outside of them nobody waits.
    """
    if start == end:
        return
    local = datetime_of(now_ms).astimezone(ZoneInfo(zone)).time()
    inside = start <= local < end if start < end else (local >= start or local < end)
    until_ms = QuietHours(start=start, end=end, timezone=zone).until_ms(now_ms)
    assert (until_ms is not None) is inside
    if until_ms is None:
        return
    assert now_ms < until_ms <= now_ms + 25 * 3_600_000
    ended = datetime_of(until_ms).astimezone(ZoneInfo(zone))
    set_that_day = len({(ended + timedelta(hours=one)).utcoffset() for one in (-30, 0, 30)}) > 1
    assert set_that_day or ended.time() == end


@given(kind=st.sampled_from(CHOSEN), channel=st.sampled_from(Channel))
def test_who_unsubscribes_is_told_no_more_unless_it_must_be(kind: Kind, channel: Channel) -> None:
    everything = Preferences(user_id=USER, choices=dict.fromkeys(CHOSEN, frozenset(Channel)))
    after = everything.without(kind, channel, now_ms=NOW_MS)
    kept = RULES[kind].required and channel is EMAIL
    assert (channel in after.channels(kind)) is kept
    for other in CHOSEN:
        if other is not kind:
            assert after.channels(other) == everything.channels(other)
