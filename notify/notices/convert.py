"""Notifications on the wire."""

from __future__ import annotations

import re
from datetime import time
from typing import Any
from zoneinfo import available_timezones

from holdfast.notify.v1 import notification_pb2
from holdfast.notify.v1 import notification_service_pb2 as pb
from notify.notices.kind import CHOSEN, RULES, Channel, Kind
from notify.notices.notice import Notice, NoticeState, notice_id
from notify.notices.preferences import Preferences, QuietHours
from notify.notices.unsubscribing import TOKEN_LENGTH_MAX
from runtime import ids
from runtime.errors import InvalidArgument, Violation
from runtime.money import AMOUNT_MINOR_LIMIT
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, milliseconds, timestamp

MAX_PER_HOUR = 10_000
#: A token of ours that a mail carries.
_TOKEN_LENGTH_MAX = 200
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_TIMEZONES = frozenset(available_timezones())
_KIND = notification_pb2.NotificationKind
_CHANNEL = notification_pb2.NotificationChannel
_STATE = notification_pb2.Notification.State
_TOPIC = notification_pb2.Notice.Topic
_TOPICS = {
    _TOPIC.TOPIC_PASSWORD_RESET: (Kind.PASSWORD_RESET, "user.password_reset"),
    _TOPIC.TOPIC_PASSWORD_CHANGED: (Kind.SECURITY, "user.password_changed"),
    _TOPIC.TOPIC_SECOND_FACTOR_CHANGED: (Kind.SECURITY, "user.second_factor_changed"),
    _TOPIC.TOPIC_NEW_SIGN_IN: (Kind.SECURITY, "user.new_sign_in"),
    _TOPIC.TOPIC_API_KEY_MADE: (Kind.SECURITY, "user.api_key_made"),
}


def user(user_id: str) -> str:
    """Checks a request that names a user and nothing else."""
    violations = Violations()
    violations.id("user_id", user_id, ids.USER)
    violations.raise_if_any()
    return user_id


def page(request: pb.ListNotificationsRequest) -> Page:
    """Checks ListNotificationsRequest."""
    violations = Violations()
    violations.id("user_id", request.user_id, ids.USER)
    scope = f"notifications {request.user_id}"
    found = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return found


def update(
    request: pb.UpdateNotificationPreferencesRequest, context: Any, *, now_ms: int
) -> tuple[RequestKey, Preferences]:
    """Checks UpdateNotificationPreferencesRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("user_id", request.user_id, ids.USER)
    if not request.HasField("preferences"):
        violations.add("preferences", "is required")
    given = request.preferences
    for name in ("large_purchase_minor", "low_credit_minor"):
        if not 0 <= getattr(given, name) < AMOUNT_MINOR_LIMIT:
            violations.add(f"preferences.{name}", "must be 0 or more, and below 2^53 (minor units)")
    if not 0 <= given.max_per_hour <= MAX_PER_HOUR:
        violations.add("preferences.max_per_hour", f"must be 0 to {MAX_PER_HOUR}")
    choices = _choices(given, violations)
    quiet = _quiet_hours(given, violations) if given.HasField("quiet_hours") else None
    violations.raise_if_any()
    wanted = Preferences(
        user_id=request.user_id,
        choices=choices,
        quiet_hours=quiet,
        large_purchase_minor=given.large_purchase_minor,
        low_credit_minor=given.low_credit_minor,
        max_per_hour=given.max_per_hour,
        update_time_ms=now_ms,
    )
    return key, wanted


def token(request: pb.UnsubscribeRequest) -> str:
    """Checks UnsubscribeRequest."""
    violations = Violations()
    violations.text("token", request.token, limit=TOKEN_LENGTH_MAX, required=True)
    violations.raise_if_any()
    return request.token


def wrong_token() -> InvalidArgument:
    """The error for a token that nobody of ours has made."""
    return InvalidArgument.of([Violation("token", "is none of ours")])


def notice(request: pb.SendNoticeRequest, *, now_ms: int) -> tuple[Notice, str]:
    """Checks SendNoticeRequest; returns the notice, and what only the user may read."""
    violations = Violations()
    violations.request_id(request.request_id)
    given = request.notice
    violations.enum("notice.topic", given.topic, _TOPICS, required=True)
    violations.id("notice.user_id", given.user_id, ids.USER)
    violations.text("notice.token", given.token, limit=_TOKEN_LENGTH_MAX)
    if bool(given.token) is not (given.topic == _TOPIC.TOPIC_PASSWORD_RESET):
        violations.add("notice.token", "goes with PASSWORD_RESET, and only with it")
    if not given.HasField("expire_time"):
        violations.add("notice.expire_time", "is required")
    violations.timestamp("notice.expire_time", given)
    violations.raise_if_any()
    kind, topic = _TOPICS[given.topic]
    source_id = f"notice:{request.request_id}"
    made = Notice(
        id=notice_id(source_id, kind, Channel.EMAIL, given.user_id),
        source_id=source_id,
        kind=kind,
        channel=Channel.EMAIL,
        user_id=given.user_id,
        topic=topic,
        due_time_ms=now_ms,
        expire_time_ms=milliseconds(given.expire_time),
        create_time_ms=now_ms,
    )
    return made, given.token


def preferences(found: Preferences) -> notification_pb2.NotificationPreferences:
    """The preferences on the wire: every kind, chosen or not."""
    quiet, chosen_ms = found.quiet_hours, found.update_time_ms
    return notification_pb2.NotificationPreferences(
        user_id=found.user_id,
        choices=[
            notification_pb2.NotificationChoice(
                kind=kind_of(kind),
                channels=sorted(channel_of(one) for one in found.channels(kind)),
            )
            for kind in CHOSEN
        ],
        quiet_hours=(
            notification_pb2.QuietHours(
                start=f"{quiet.start:%H:%M}", end=f"{quiet.end:%H:%M}", timezone=quiet.timezone
            )
            if quiet
            else None
        ),
        large_purchase_minor=found.large_minor,
        low_credit_minor=found.low_minor,
        max_per_hour=found.max_per_hour,
        update_time=None if chosen_ms is None else timestamp(chosen_ms),
    )


def message(found: Notice) -> notification_pb2.Notification:
    """The notice on the wire, without what it says."""
    finish_ms = found.finish_time_ms
    is_pending = found.state is NoticeState.PENDING
    return notification_pb2.Notification(
        id=found.id,
        user_id=found.user_id,
        kind=kind_of(found.kind),
        channel=channel_of(found.channel),
        topic=found.topic,
        state=_STATE.Value(f"STATE_{found.state}"),
        reason=found.reason,
        event_id=found.source_id if ids.is_id(found.source_id, ids.EVENT) else "",
        account_id=found.account_id,
        attempt_count=found.attempts,
        create_time=timestamp(found.create_time_ms),
        finish_time=None if finish_ms is None else timestamp(finish_ms),
        next_attempt_time=timestamp(found.due_time_ms) if is_pending else None,
    )


def kind_of(kind: Kind) -> Any:
    """The contract's number of a kind."""
    return _KIND.Value(f"NOTIFICATION_KIND_{kind}")


def channel_of(channel: Channel) -> Any:
    """The contract's number of a channel."""
    return _CHANNEL.Value(f"NOTIFICATION_CHANNEL_{channel}")


def _choices(
    given: notification_pb2.NotificationPreferences, violations: Violations
) -> dict[Kind, frozenset[Channel]]:
    found: dict[Kind, frozenset[Channel]] = {}
    known = {kind_of(kind) for kind in CHOSEN}
    for number, one in enumerate(given.choices):
        field = f"preferences.choices[{number}]"
        violations.enum(f"{field}.kind", one.kind, known, required=True)
        wrong = [one for one in one.channels if not one or one not in _CHANNEL.values()]
        if wrong:
            violations.add(f"{field}.channels", "is not a known value")
        if one.kind not in known or wrong:
            continue
        kind = Kind(_KIND.Name(one.kind).removeprefix("NOTIFICATION_KIND_"))
        channels = frozenset(
            Channel(_CHANNEL.Name(two).removeprefix("NOTIFICATION_CHANNEL_"))
            for two in one.channels
        )
        if kind in found:
            violations.add(f"{field}.kind", "is there twice")
        if RULES[kind].required and Channel.EMAIL not in channels:
            violations.add(f"{field}.channels", "must have EMAIL: this is always sent")
        found[kind] = channels
    return found


def _quiet_hours(
    given: notification_pb2.NotificationPreferences, violations: Violations
) -> QuietHours | None:
    quiet, field = given.quiet_hours, "preferences.quiet_hours"
    count = len(violations.found)
    for name in ("start", "end"):
        if not _TIME.fullmatch(getattr(quiet, name)):
            violations.add(f"{field}.{name}", "must be a time of day, e.g. 22:00")
    if quiet.start and quiet.start == quiet.end:
        violations.add(f"{field}.end", "must differ from start")
    if quiet.timezone not in _TIMEZONES:
        violations.add(f"{field}.timezone", "must be an IANA timezone, e.g. America/New_York")
    if len(violations.found) > count:
        return None
    return QuietHours(
        start=time.fromisoformat(quiet.start),
        end=time.fromisoformat(quiet.end),
        timezone=quiet.timezone,
    )
