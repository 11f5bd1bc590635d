"""How late an account is. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

#: Open-end credit is charged off at 180 days (65 FR 36903, Uniform Retail Credit Classification).
CHARGE_OFF_DAYS = 180


class Bucket(StrEnum):
    """Days past due; the names are the contract's."""

    CURRENT = "CURRENT"
    DAYS_1_29 = "DAYS_1_29"
    DAYS_30 = "DAYS_30"
    DAYS_60 = "DAYS_60"
    DAYS_90 = "DAYS_90"
    DAYS_120 = "DAYS_120"
    DAYS_150 = "DAYS_150"
    CHARGED_OFF = "CHARGED_OFF"


#: Days past due at which each begins.
BEGINS = (
    (CHARGE_OFF_DAYS, Bucket.CHARGED_OFF),
    (150, Bucket.DAYS_150),
    (120, Bucket.DAYS_120),
    (90, Bucket.DAYS_90),
    (60, Bucket.DAYS_60),
    (30, Bucket.DAYS_30),
    (1, Bucket.DAYS_1_29),
    (0, Bucket.CURRENT),
)
ORDER = tuple(bucket for _, bucket in reversed(BEGINS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The minimum that one statement asked for, without what was past due by then."""

    due: date
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How late an account is on a day."""

    days_past_due: int
    past_due_minor: int
    oldest_due: date | None

    @property
    def bucket(self) -> Bucket:
        """Its bucket."""
        return bucket_of(self.days_past_due)


def bucket_of(days_past_due: int) -> Bucket:
    """The bucket of a number of days past due."""
    return next(bucket for begins, bucket in BEGINS if days_past_due >= begins)


def standing(demands: tuple[Demand, ...], *, paid_minor: int, today: date) -> Standing:
    """Payments (returned ones taken out, disputed amounts not demanded) pay the oldest demand
    first; an account is as late as the oldest that is not paid. On the due date is in time.
    """
    left, oldest, past_due = paid_minor, None, 0
    for demand in sorted(demands, key=lambda one: one.due):
        unpaid = max(demand.amount_minor - left, 0)
        left = max(left - demand.amount_minor, 0)
        if unpaid and demand.due < today:
            past_due += unpaid
            oldest = oldest or demand.due
    days = (today - oldest).days if oldest else 0
    return Standing(days_past_due=days, past_due_minor=past_due, oldest_due=oldest)


def still_demanded(demands: tuple[Demand, ...], *, paid_minor: int) -> tuple[Demand, ...]:
    """What payments have left of the demands, oldest first; what is paid beyond them is forgotten:
    it lowers what the next statement asks for.
    """
    found, left = list[Demand](), paid_minor
    for demand in sorted(demands, key=lambda one: one.due):
        unpaid = max(demand.amount_minor - max(left, 0), 0)
        left -= demand.amount_minor - unpaid
        if unpaid:
            found.append(Demand(due=demand.due, amount_minor=unpaid))
    return tuple(found)


def next_boundary(demands: tuple[Demand, ...], *, paid_minor: int, bucket: Bucket) -> date | None:
    """The first day on which an account that pays nothing more is later than `bucket`."""
    left = still_demanded(demands, paid_minor=paid_minor)
    if not left:
        return None
    later = [days for days, one in BEGINS if ORDER.index(one) > ORDER.index(bucket)]
    return left[0].due + timedelta(days=min(later)) if later else None


def blocks_spending(bucket: Bucket, *, blocked_from: Bucket) -> bool:
    """Whether new purchases are declined, by the bucket that the product blocks from."""
    return bucket is not Bucket.CURRENT and ORDER.index(bucket) >= ORDER.index(blocked_from)
