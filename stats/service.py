"""StatsService: what was spent, by period."""

from __future__ import annotations

from datetime import date
from typing import Any

from holdfast.stats.v1 import stat_pb2 as stats_pb
from holdfast.stats.v1 import stats_service_pb2 as pb
from holdfast.stats.v1.stats_service_pb2_grpc import StatsServiceServicer
from runtime.clock import datetime_of
from runtime.paging import Position
from runtime.validate import milliseconds
from stats import convert, convert_anomaly
from stats.convert import Wanted
from stats.period import MONDAY, PeriodType
from stats.store import StatsStore
from stats.subjects import Subjects

#: Sorts behind every id.
_ID_LAST = "~"
#: The end of the year 9998, behind every time.
_TIME_LAST_MS = 253_370_764_799_000


class StatsService(StatsServiceServicer):
    """Shows what was counted."""

    def __init__(self, store: StatsStore, subjects: Subjects, *, week_start: int = MONDAY) -> None:
        self._store = store
        self._week_start = week_start
        self._subjects = subjects

    async def GetStat(self, request: pb.GetStatRequest, context: Any) -> pb.GetStatResponse:
        """Returns a closed period."""
        stat_id = convert.get_stat(request)
        kept = await self._store.stat(stat_id)
        if kept is None:
            raise convert.stat_not_found(stat_id)
        return pb.GetStatResponse(stat=convert.stat(kept))

    async def ListStats(self, request: pb.ListStatsRequest, context: Any) -> pb.ListStatsResponse:
        """Lists closed periods."""
        page, kind = convert.list_stats(request)
        await self._subjects.currency_of(request.subject_id)
        day, version = convert.kept_at(page.after.key) if page.after else (date.max, 0)
        start = (day, version, page.after.id if page.after else _ID_LAST)
        found = await self._store.stats(request.subject_id, kind, before=start, limit=page.fetch)
        shown, more = page.cut(found)
        token = ""
        if more:
            last = shown[-1]
            token = page.token_after(Position(convert.place_of(last), last.id))
        return pb.ListStatsResponse(
            stats=[convert.stat(one) for one in shown], next_page_token=token
        )

    async def GetDailyStats(
        self, request: pb.GetDailyStatsRequest, context: Any
    ) -> pb.GetDailyStatsResponse:
        """Returns days."""
        found = await self._periods(convert.wanted(request, PeriodType.DAY))
        return pb.GetDailyStatsResponse(periods=found)

    async def GetWeeklyStats(
        self, request: pb.GetWeeklyStatsRequest, context: Any
    ) -> pb.GetWeeklyStatsResponse:
        """Returns weeks."""
        found = await self._periods(
            convert.wanted(request, PeriodType.WEEK, week_start=self._week_start)
        )
        return pb.GetWeeklyStatsResponse(periods=found)

    async def GetMonthlyStats(
        self, request: pb.GetMonthlyStatsRequest, context: Any
    ) -> pb.GetMonthlyStatsResponse:
        """Returns months."""
        found = await self._periods(convert.wanted(request, PeriodType.MONTH))
        return pb.GetMonthlyStatsResponse(periods=found)

    async def ListAnomalies(
        self, request: pb.ListAnomaliesRequest, context: Any
    ) -> pb.ListAnomaliesResponse:
        """Lists what was unusual."""
        page, kind = convert_anomaly.list_anomalies(request)
        if request.account_id:
            await self._subjects.currency_of(request.account_id)
        start = page.after or Position(_TIME_LAST_MS, _ID_LAST)
        rows = await self._store.anomalies(
            request.account_id,
            kind,
            before=(datetime_of(start.key), start.id),
            limit=page.fetch,
        )
        shown, more = page.cut([convert_anomaly.anomaly(row) for row in rows])
        token = ""
        if more:
            last = shown[-1]
            token = page.token_after(Position(milliseconds(last.create_time), last.id))
        return pb.ListAnomaliesResponse(anomalies=shown, next_page_token=token)

    async def _periods(self, wanted: Wanted) -> list[stats_pb.PeriodStats]:
        subject_id = wanted.subject_id
        own_currency = await self._subjects.currency_of(subject_id)
        first, last = convert.span(wanted.periods)
        days = await self._store.days(subject_id, first, last, currency=wanted.currency)
        currencies = {one.currency for one in days}
        if not currencies and (known := wanted.currency or own_currency):
            currencies = {known}
        return [
            convert.stats_of(
                period,
                days,
                await self._store.slices(
                    subject_id,
                    period,
                    currency=currency,
                    dimensions=convert.names_of(wanted.dimensions),
                    top=wanted.top,
                )
                if wanted.dimensions
                else (),
                currency=currency,
                dimensions=wanted.dimensions,
            )
            for period in wanted.periods
            for currency in sorted(currencies)
        ]
