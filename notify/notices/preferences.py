"""What a user wants to be told of, and when. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from notify.notices.kind import RULES, Channel, Kind
from runtime.clock import datetime_of, ms_of

#: Unless the user says otherwise.
LARGE_PURCHASE_MINOR = 50_000
LOW_CREDIT_MINOR = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """Local times of every day; an end before the start is that of the next day."""

    start: time
    end: time
    timezone: str

    def until_ms(self, now_ms: int) -> int | None:
        """When they end, if they are; None if they are not."""
        zone = ZoneInfo(self.timezone)
        local = datetime_of(now_ms).astimezone(zone)
        now = local.time()
        overnight = self.end <= self.start
        is_quiet = (
            (now >= self.start or now < self.end) if overnight else (self.start <= now < self.end)
        )
        if not is_quiet:
            return None
        day = local.date() + timedelta(days=1 if overnight and now >= self.start else 0)
        end = datetime.combine(day, self.end, zone).astimezone(UTC)
        # When clocks are set back, an end may lie an hour behind the one that was just meant.
        return max(ms_of(end), now_ms + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What one user has chosen; 0 and what is not there: nothing."""

    user_id: str
    choices: Mapping[Kind, frozenset[Channel]] = field(default_factory=dict)
    quiet_hours: QuietHours | None = None
    large_purchase_minor: int = 0
    low_credit_minor: int = 0
    max_per_hour: int = 0
    update_time_ms: int | None = None

    @property
    def large_minor(self) -> int:
        """From which amount on a purchase is large."""
        return self.large_purchase_minor or LARGE_PURCHASE_MINOR

    @property
    def low_minor(self) -> int:
        """Below which amount available credit is low."""
        return self.low_credit_minor or LOW_CREDIT_MINOR

    def channels(self, kind: Kind) -> frozenset[Channel]:
        """By what the user is told of a kind."""
        rule = RULES[kind]
        if kind is Kind.PASSWORD_RESET:
            return rule.default
        chosen = self.choices.get(kind, rule.default)
        return chosen | {Channel.EMAIL} if rule.required else chosen

    def cap(self, installation: int) -> int:
        """How much in an hour by one channel."""
        return min(self.max_per_hour or installation, installation)

    def without(self, kind: Kind, channel: Channel, *, now_ms: int) -> Preferences:
        """The preferences of who does not want a kind by a channel; the same if that is so."""
        channels = self.channels(kind) - {channel}
        if channels == self.channels(kind):
            return self
        return replace(self, choices={**self.choices, kind: channels}, update_time_ms=now_ms)
