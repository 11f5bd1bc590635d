"""How late an account is. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

#: Open-end credit is charged off at 180 days (65 FR 36903, Uniform Retail Credit Classification).
CHARGE_OFF_DAYS = 180
#: Cycles whose payments may still come back.
REMEMBERED_CYCLES = 4


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What one cycle's payments came to, in case that one of them comes back."""

    met: tuple[Demand, ...]
    #: Paid beyond all demands.
    spare_minor: int


def standing(left: tuple[Demand, ...], *, today: date) -> Standing:
    """An account is as late as the oldest demand that is not paid. On the due date is in time."""
    late = [one for one in left if one.due < today]
    oldest = min((one.due for one in late), default=None)
    return Standing(
        days_past_due=(today - oldest).days if oldest else 0,
        past_due_minor=sum(one.amount_minor for one in late),
        oldest_due=oldest,
    )


def settle(
    demands: tuple[Demand, ...], before: tuple[Settled, ...], *, paid_minor: int
) -> tuple[tuple[Demand, ...], tuple[Settled, ...]]:
    """What a cycle's payments, less those that were returned, leave of the demands, oldest first;
    and what the latest cycles' payments came to, latest first. Who got back more than was paid
    owes again what earlier payments had met.
    """
    if paid_minor < 0:
        return _taken_back(demands, before, back_minor=-paid_minor)
    left, met, rest = list[Demand](), list[Demand](), paid_minor
    for demand in sorted(demands, key=lambda one: one.due):
        paid = min(demand.amount_minor, rest)
        rest -= paid
        for amount, found in ((paid, met), (demand.amount_minor - paid, left)):
            if amount:
                found.append(Demand(due=demand.due, amount_minor=amount))
    return tuple(left), (Settled(met=tuple(met), spare_minor=rest), *before)[:REMEMBERED_CYCLES]


def _taken_back(
    demands: tuple[Demand, ...], before: tuple[Settled, ...], *, back_minor: int
) -> tuple[tuple[Demand, ...], tuple[Settled, ...]]:
    """The latest payments first, and of each cycle's what it did not need first."""
    owed, settled = list(demands), list[Settled]()
    for one in before:
        spare = min(one.spare_minor, back_minor)
        back_minor -= spare
        met = list[Demand]()
        for demand in reversed(one.met):
            again = min(demand.amount_minor, back_minor)
            back_minor -= again
            for amount, found in ((again, owed), (demand.amount_minor - again, met)):
                if amount:
                    found.append(Demand(due=demand.due, amount_minor=amount))
        settled.append(Settled(met=tuple(reversed(met)), spare_minor=one.spare_minor - spare))
    return tuple(sorted(owed, key=lambda one: one.due)), tuple(settled)


def no_more_than(demands: tuple[Demand, ...], owed_minor: int) -> tuple[Demand, ...]:
    """Demands as far as anything is owed: what a refund has settled is not asked for. The oldest
    stay: what is past due stays past due.
    """
    found, rest = list[Demand](), max(owed_minor, 0)
    for demand in sorted(demands, key=lambda one: one.due):
        amount = min(demand.amount_minor, rest)
        rest -= amount
        if amount:
            found.append(Demand(due=demand.due, amount_minor=amount))
    return tuple(found)


def next_boundary(left: tuple[Demand, ...], *, bucket: Bucket) -> date | None:
    """The first day on which an account that pays nothing more is later than `bucket`."""
    if not left:
        return None
    later = [days for days, one in BEGINS if ORDER.index(one) > ORDER.index(bucket)]
    return min(one.due for one in left) + timedelta(days=min(later)) if later else None


def bucket_from(days_past_due: int) -> Bucket:
    """The first bucket that begins on such a day or after it."""
    later = [bucket for begins, bucket in BEGINS if begins >= days_past_due]
    return later[-1] if later else Bucket.CHARGED_OFF


def blocks_spending(bucket: Bucket, *, blocked_from: Bucket) -> bool:
    """Whether new purchases are declined, by the bucket that the product blocks from."""
    return bucket is not Bucket.CURRENT and ORDER.index(bucket) >= ORDER.index(blocked_from)
