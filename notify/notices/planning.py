"""Which events users are told of. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from notify.notices.kind import RULES, Channel, Kind
from notify.notices.notice import Notice, NoticeState, Reason, notice_id
from notify.notices.preferences import Preferences
from runtime import ids
from runtime.events.catalogue import Event
from runtime.record import record

#: Purchases that somebody has just made.
PURCHASES = frozenset({"authorization.approved", "authorization.posted", "authorization.advised"})
#: Kinds of events that mean one thing, whatever they say.
_PLAIN: Mapping[str, Kind] = {
    "authorization.declined": Kind.PURCHASE_DECLINED,
    "payment.credited": Kind.PAYMENT_SUCCEEDED,
    "payment.failed": Kind.PAYMENT_FAILED,
    "payment.returned": Kind.PAYMENT_RETURNED,
    "payment.refunded": Kind.PAYMENT_REFUNDED,
    "payment.refund_failed": Kind.PAYMENT_REFUNDED,
    "payment.scheduled": Kind.PAYMENT_SCHEDULED,
    "statement.ready": Kind.STATEMENT_READY,
    "report.ready": Kind.STATEMENT_READY,
    "card.shipped": Kind.CARD_SHIPPED,
    "account.spend_unusual": Kind.SECURITY,
    "account.declines_unusual": Kind.SECURITY,
    "account.country_unusual": Kind.SECURITY,
    "account.user_added": Kind.SECURITY,
    "account.user_removed": Kind.SECURITY,
    "user.suspended": Kind.SECURITY,
    "user.reactivated": Kind.SECURITY,
}
#: Types of events that anybody is told of.
TOLD = PURCHASES | set(_PLAIN)
_HOUR_MS = 3_600_000


@record
class Happened:
    """An event that is told."""

    id: str
    event: Event
    #: Who owns the account, as far as it is known.
    owner_id: str
    #: Who manages the company that owns it; only of what is for managers.
    managers: tuple[str, ...] = ()

    @property
    def is_for_managers(self) -> bool:
        """Whether a company's managers are told: of what is nobody's card and must be said."""
        return (
            not self.event.user_id
            and ids.is_id(self.owner_id, ids.COMPANY)
            and RULES[_kind(self.event)].required
        )

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Who is told: whose card it is, or who owns the account, or manages its owner."""
        told = self.event.user_id or self.owner_id
        return (told,) if ids.is_id(told, ids.USER) else self.managers


def is_told(event: Event, *, now_ms: int) -> bool:
    """Whether somebody may be told of it: also what happened long ago comes in some day."""
    if event.type not in TOLD:
        return False
    return event.time_ms + RULES[_kind(event)].lifetime_ms > now_ms


def notices(
    happened: Happened, user_id: str, preferences: Preferences, *, now_ms: int
) -> Iterator[Notice]:
    """What one of those who are told is told."""
    event = happened.event
    for kind, channel in _wanted(event, preferences):
        yield Notice(
            id=notice_id(happened.id, kind, channel, user_id),
            source_id=happened.id,
            kind=kind,
            channel=channel,
            user_id=user_id,
            topic="account.low_credit" if kind is Kind.LOW_CREDIT else event.type,
            account_id=event.account_id,
            data=event.data,
            due_time_ms=now_ms,
            expire_time_ms=now_ms + RULES[kind].lifetime_ms,
            create_time_ms=now_ms,
        )


def capped(notice: Notice, *, sent: int, cap: int) -> Notice:
    """The notice, suppressed if the user was told enough in the last hour."""
    if RULES[notice.kind].required or sent < cap:
        return notice
    return replace(
        notice,
        state=NoticeState.SUPPRESSED,
        reason=Reason.RATE_CAPPED,
        finish_time_ms=notice.create_time_ms,
    )


def window_start_ms(now_ms: int) -> int:
    """Since when counts what was sent."""
    return now_ms - _HOUR_MS


def _kind(event: Event) -> Kind:
    return _PLAIN.get(event.type, Kind.PURCHASE_APPROVED)


def _wanted(event: Event, preferences: Preferences) -> Iterator[tuple[Kind, Channel]]:
    if event.type not in PURCHASES:
        kind = _PLAIN[event.type]
        yield from ((kind, channel) for channel in sorted(preferences.channels(kind)))
        return
    approved = preferences.channels(Kind.PURCHASE_APPROVED)
    if _minor(event.data, "amount") >= preferences.large_minor:
        large = preferences.channels(Kind.LARGE_PURCHASE)
        yield from ((Kind.LARGE_PURCHASE, channel) for channel in sorted(large))
        approved -= large
    yield from ((Kind.PURCHASE_APPROVED, channel) for channel in sorted(approved))
    if _has_become_low(event.data, preferences.low_minor):
        low = preferences.channels(Kind.LOW_CREDIT)
        yield from ((Kind.LOW_CREDIT, channel) for channel in sorted(low))


def _has_become_low(data: Mapping[str, Any], low_minor: int) -> bool:
    """Told once, by the purchase that crosses the line."""
    after = _minor(data, "available_credit")
    return after < low_minor <= after + _minor(data, "amount")


def _minor(data: Mapping[str, Any], name: str) -> int:
    return int(data[name]["amount_minor"])
