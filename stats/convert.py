"""Statistics on the wire."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from holdfast.stats.v1 import stat_pb2 as pb
from holdfast.stats.v1 import stats_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.clock import ms_of
from runtime.errors import NotFound
from runtime.money import is_currency
from runtime.paging import Page, page_of
from runtime.record import record
from runtime.validate import Violations, timestamp
from stats.measures import Measures, change_basis_points, total
from stats.period import MONDAY, SATURDAY, SUNDAY, Period, PeriodType, before, periods
from stats.store import SUBJECTS, Day, KeptStat, Slice

#: Periods of one answer, without and with breakdowns.
PERIODS_MAX = {PeriodType.DAY: 400, PeriodType.WEEK: 160, PeriodType.MONTH: 120}
BROKEN_DOWN_MAX = {PeriodType.DAY: 31, PeriodType.WEEK: 14, PeriodType.MONTH: 12}
TOP_DEFAULT, TOP_MAX = 10, 100

#: No period has as many versions.
_VERSIONS = 10_000_000

_FIRST, _LAST = date(2000, 1, 1), date(2099, 12, 31)
_WEEK_STARTS = {
    pb.WEEK_START_MONDAY: MONDAY,
    pb.WEEK_START_SATURDAY: SATURDAY,
    pb.WEEK_START_SUNDAY: SUNDAY,
}
_DIMENSIONS = frozenset(pb.Dimension.values())
_RARE = {"cash_advances": "cash", "charge_offs": "charge_off", "recoveries": "recovery"}
_SUBJECT = "must be an account, card, user, company, department or programme"
_DAY = "must be a day such as 2026-11-21, from 2000 to 2099"

GetPeriods = rpc.GetDailyStatsRequest | rpc.GetWeeklyStatsRequest | rpc.GetMonthlyStatsRequest


@record
class Wanted:
    """Which periods are asked for."""

    subject_id: str
    periods: tuple[Period, ...]
    currency: str
    dimensions: tuple[pb.Dimension.ValueType, ...]
    top: int


def wanted(request: GetPeriods, kind: PeriodType, *, week_start: int = MONDAY) -> Wanted:
    """Checks GetDailyStats, GetWeeklyStats and GetMonthlyStats; `week_start` is the installation's,
    for those who do not say.
    """
    violations = Violations()
    check_subject(request.subject_id, violations)
    start, end = day_fields(request, violations)
    if isinstance(request, rpc.GetWeeklyStatsRequest):
        violations.enum("week_start", request.week_start, frozenset(pb.WeekStart.values()))
        week_start = _WEEK_STARTS.get(request.week_start, week_start)
    if request.currency_code and not is_currency(request.currency_code):
        violations.add("currency_code", "must be an ISO 4217 currency code, e.g. USD")
    for number, one in enumerate(request.breakdowns):
        violations.enum(f"breakdowns[{number}]", one, _DIMENSIONS, required=True)
    if not 0 <= request.top <= TOP_MAX:
        violations.add("top", f"must be 1 to {TOP_MAX}")
    limit = (BROKEN_DOWN_MAX if request.breakdowns else PERIODS_MAX)[kind]
    found = list[Period]()
    if start and end:
        if end < start:
            violations.add("end_date", "must not be before start_date")
        found = periods(kind, start, end, week_start=week_start, limit=limit + 1)
        if len(found) > limit:
            violations.add("end_date", f"is too far: at most {limit} periods are given at once")
    violations.raise_if_any()
    return Wanted(
        subject_id=request.subject_id,
        periods=tuple(found),
        currency=request.currency_code,
        dimensions=tuple(dict.fromkeys(request.breakdowns)),
        top=request.top or TOP_DEFAULT,
    )


def get_stat(request: rpc.GetStatRequest) -> str:
    """Checks GetStat."""
    violations = Violations()
    violations.id("stat_id", request.stat_id, ids.STAT)
    violations.raise_if_any()
    return request.stat_id


def list_stats(request: rpc.ListStatsRequest) -> tuple[Page, str]:
    """Checks ListStats; returns the page and the type, '' for all."""
    violations = Violations()
    check_subject(request.subject_id, violations)
    violations.enum("type", request.type, frozenset(pb.PeriodType.values()))
    page = page_of(
        request.page_size,
        request.page_token,
        scope=f"stats|{request.subject_id}|{request.type}",
        violations=violations,
    )
    violations.raise_if_any()
    kind = pb.PeriodType.Name(request.type).removeprefix("PERIOD_TYPE_") if request.type else ""
    return page, kind


def check_subject(subject_id: str, violations: Violations) -> None:
    """What statistics can be about."""
    if not ids.is_programme_id(subject_id) and not ids.is_id(subject_id, *SUBJECTS):
        violations.add("subject_id", _SUBJECT if subject_id else "is required")


def stats_of(
    period: Period,
    days: Sequence[Day],
    slices: Sequence[Slice] = (),
    *,
    currency: str,
    dimensions: Collection[pb.Dimension.ValueType] = (),
) -> pb.PeriodStats:
    """A period in one currency, of the days of the period and of the one before."""
    earlier = before(period)
    mine = [one for one in days if one.currency == currency]
    measures = total(one.measures for one in mine if one.day in period)
    previous = total(one.measures for one in mine if one.day in earlier)
    return pb.PeriodStats(
        type=pb.PeriodType.Value(f"PERIOD_TYPE_{period.type}"),
        start_date=period.start.isoformat(),
        end_date=period.end.isoformat(),
        currency_code=currency,
        totals=_totals(measures, currency),
        previous=_comparison(measures, previous, currency),
        breakdowns=_breakdowns(slices, currency, dimensions),
    )


def names_of(dimensions: Iterable[pb.Dimension.ValueType]) -> list[str]:
    """Dimensions as the store knows them."""
    return [pb.Dimension.Name(one).removeprefix("DIMENSION_") for one in dimensions]


def span(several: Sequence[Period]) -> tuple[date, date]:
    """The days that are needed for periods and those before them."""
    return before(several[0]).start, several[-1].end


def stat(kept: KeptStat) -> pb.Stat:
    """A closed period."""
    return pb.Stat(
        id=kept.id,
        subject_id=kept.subject_id,
        version=kept.version,
        create_time=timestamp(ms_of(kept.create_time)),
        stats=pb.PeriodStats.FromString(kept.body),
    )


def stat_not_found(stat_id: str) -> NotFound:
    """The error for a closed period that is not there, or another's."""
    return NotFound("no such stat", reason="STAT_NOT_FOUND", metadata={"stat_id": stat_id})


def place_of(kept: KeptStat) -> int:
    """First day and version of a closed period as a sort key of pages."""
    return kept.start_date.toordinal() * _VERSIONS + kept.version


def kept_at(place: int) -> tuple[date, int]:
    """The first day and version of a sort key; of one that no page has, the last day of all."""
    day, version = divmod(place, _VERSIONS)
    return (date.fromordinal(day) if 0 < day <= date.max.toordinal() else date.max), version


def day_fields(request: Any, violations: Violations) -> tuple[date | None, date | None]:
    """The first and the last day of a request, which may leave the last out; None if wrong."""
    start = day_field("start_date", request.start_date, violations)
    end = day_field("end_date", request.end_date, violations) if request.end_date else start
    return start, end


def day_field(field: str, text: str, violations: Violations) -> date | None:
    """A day that a request names; None if it is wrong."""
    if not text:
        violations.add(field, "is required")
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = date.min
    if found.isoformat() != text or not _FIRST <= found <= _LAST:
        violations.add(field, _DAY)
        return None
    return found


def _totals(one: Measures, currency: str) -> pb.Totals:
    def tally(name: str) -> pb.Tally:
        return _tally(getattr(one, f"{name}_count"), getattr(one, f"{name}_minor"), currency)

    found = pb.Totals(
        authorized=tally("authorized"),
        reversed=tally("reversed"),
        expired=tally("expired"),
        declined_count=one.declined_count,
        approval_basis_points=one.approval_basis_points,
        purchases=tally("purchase"),
        refunds=tally("refund"),
        net_spend=_money(one.net_spend_minor, currency),
        payments=tally("payment"),
        fees=tally("fee"),
        interest=tally("interest"),
        adjustments=tally("adjustment"),
        correction_count=one.correction_count,
    )
    # Absent where there was none, as in periods that were closed before this was told apart.
    for field, name in _RARE.items():
        if getattr(one, f"{name}_count"):
            getattr(found, field).CopyFrom(tally(name))
    if (average_minor := one.average_minor) is not None:
        found.average_purchase.CopyFrom(_money(average_minor, currency))
        found.largest_purchase.CopyFrom(_money(one.largest_minor, currency))
    if one.corrected_ms:
        found.last_correction_time.CopyFrom(timestamp(one.corrected_ms))
    return found


def _comparison(now: Measures, then: Measures, currency: str) -> pb.Comparison:
    return pb.Comparison(
        net_spend=_money(then.net_spend_minor, currency),
        purchases=_tally(then.purchase_count, then.purchase_minor, currency),
        net_spend_change_basis_points=change_basis_points(
            now.net_spend_minor, then.net_spend_minor
        ),
    )


def _breakdowns(
    slices: Iterable[Slice], currency: str, dimensions: Collection[pb.Dimension.ValueType]
) -> list[pb.Breakdown]:
    by_name: Mapping[str, list[Slice]] = {
        pb.Dimension.Name(one): list[Slice]() for one in dimensions
    }
    for one in slices:
        if (several := by_name.get(f"DIMENSION_{one.dimension}")) is not None:
            several.append(one)
    return [
        pb.Breakdown(
            dimension=pb.Dimension.Value(name),
            slices=[_slice(one, currency) for one in several],
            more_count=several[0].number - len(several) if several else 0,
        )
        for name, several in by_name.items()
    ]


def _slice(one: Any, currency: str) -> pb.Slice:
    found = pb.Slice(
        key=one.key,
        label=one.label,
        authorized=_tally(one.authorized_count, one.authorized_minor, currency),
        declined_count=one.declined_count,
        purchases=_tally(one.purchase_count, one.purchase_minor, currency),
        refunds=_tally(one.refund_count, one.refund_minor, currency),
    )
    if one.cash_count:
        found.cash_advances.CopyFrom(_tally(one.cash_count, one.cash_minor, currency))
    return found


def _tally(count: int, amount_minor: int, currency: str) -> pb.Tally:
    return pb.Tally(count=count, amount=_money(amount_minor, currency))


def _money(amount_minor: int, currency: str) -> Money:
    return Money(currency_code=currency, amount_minor=amount_minor)
