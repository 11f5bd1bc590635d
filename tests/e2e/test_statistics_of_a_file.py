"""Statistics of real purchases are what their file comes to, to the cent.

Method: cards of a published file, each with all of its rows, are sent through a mesh of its own;
then every month of a sample of cards, and every month, week and day of the programme, is held
against sums that csv alone gives. `STATISTICS=whole` sends the whole file: minutes.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holdfast.stats.v1 import stat_pb2 as pb
from holdfast.stats.v1 import stats_service_pb2 as rpc
from runtime.cli.stats import rebuild_stats
from runtime.devstack.supervisor import Devstack
from runtime.devstack.temporary import temporary_mesh
from runtime.mesh_client import MeshClient, connect
from runtime.replay.rows import RowFile
from runtime.replay.sending import Sender
from runtime.replay.tally import CardTally
from tests.purchase_file import SHARED, Expected, Sums, expected, slice_of

WHOLE = os.environ.get("STATISTICS") == "whole"
ROWS = 2_500
SAMPLE = 200
PROGRAMME = "prog_standard"
FIRST, LAST = date(2013, 11, 1), date(2016, 12, 31)
#: How long counting may lag once the last purchase is answered.
PATIENCE_S = 120.0
CALL_TIMEOUT_S = 20.0
#: Periods of one request.
MONTHS, WEEKS, DAYS = 1_200, 1_000, 390

pytestmark = [
    pytest.mark.skipif(not SHARED.exists(), reason="the file of purchases is not there"),
    pytest.mark.timeout(1_800 if WHOLE else 300),
]


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is sent."""
    if WHOLE:
        return SHARED
    return slice_of(SHARED, tmp_path_factory.mktemp("file") / "cards.csv", rows=ROWS)


@pytest.fixture(scope="module")
async def own_mesh() -> AsyncIterator[Devstack]:
    """Nobody else's purchases are in the programme's totals."""
    async with temporary_mesh() as stack:
        yield stack


@pytest.fixture(scope="module")
async def sent(own_mesh: Devstack, whole_file: Path) -> AsyncIterator[tuple[MeshClient, Sender]]:
    """The file has gone through the mesh, and is counted."""
    async with connect(own_mesh.settings, own_mesh.ports) as mesh:
        sums, began = expected(whole_file), time.monotonic()
        sender = Sender(
            mesh,
            run_id="statistics",
            credit_limit=Decimal(10_000_000),
            rate=None,
            on_bad=lambda _: None,
        )
        with RowFile(whole_file) as rows:
            await sender.run(rows.rows())
        replayed = time.monotonic()
        assert (sender.tally.declined, sender.tally.bad_rows) == (0, sums.skipped)
        until = replayed + PATIENCE_S
        wanted = sums.rows - sums.skipped
        while (found := await _counted(mesh)) < wanted:
            assert time.monotonic() < until, f"{found} of {wanted} are counted"
            await asyncio.sleep(0.2)
        lag_s = time.monotonic() - replayed
        sys.stderr.write(
            f"\n{sums.rows} rows of {len(sums.cards)} cards in {replayed - began:.1f} s,"
            f" counted {lag_s:.1f} s later\n"
        )
        yield mesh, sender


async def _counted(mesh: MeshClient) -> int:
    months = await asked(mesh, PROGRAMME, pb.PERIOD_TYPE_MONTH)
    return sum(one.totals.purchases.count + one.totals.refunds.count for one in months)


def spans(days: int) -> Iterator[tuple[str, str]]:
    """The years of the file in pieces that one request may ask for."""
    start = FIRST
    while start <= LAST:
        end = min(start + timedelta(days=days - 1), LAST)
        yield start.isoformat(), end.isoformat()
        start = end + timedelta(days=1)


async def asked(
    mesh: MeshClient, subject_id: str, kind: pb.PeriodType.ValueType, **fields: Any
) -> list[pb.PeriodStats]:
    """Everything of a subject, by periods of one length."""
    methods: dict[Any, tuple[Any, Any, int]] = {
        pb.PERIOD_TYPE_DAY: (mesh.stats.GetDailyStats, rpc.GetDailyStatsRequest, DAYS),
        pb.PERIOD_TYPE_WEEK: (mesh.stats.GetWeeklyStats, rpc.GetWeeklyStatsRequest, WEEKS),
        pb.PERIOD_TYPE_MONTH: (mesh.stats.GetMonthlyStats, rpc.GetMonthlyStatsRequest, MONTHS),
    }
    method, request, days = methods[kind]
    found: dict[str, pb.PeriodStats] = {}
    for start, end in spans(fields.pop("days", days)):
        named = {"subject_id": subject_id, "start_date": start, "end_date": end}
        answer = await method(request(**named, **fields), timeout=CALL_TIMEOUT_S)
        found |= {one.start_date: one for one in answer.periods}
    return list(found.values())


def told(periods: Iterable[pb.PeriodStats]) -> dict[str, Sums]:
    """What statistics say, without periods of nothing."""
    found = {}
    for one in periods:
        totals = one.totals
        sums = Sums(
            purchases=totals.purchases.count,
            purchase_minor=totals.purchases.amount.amount_minor,
            refunds=totals.refunds.count,
            refund_minor=totals.refunds.amount.amount_minor,
            largest_minor=totals.largest_purchase.amount_minor,
        )
        # Each purchase was authorized in full on its day, and nothing else happened.
        approved = totals.authorized
        assert (approved.count, approved.amount.amount_minor) == (
            sums.purchases,
            sums.purchase_minor,
        )
        assert totals.net_spend.amount_minor == sums.purchase_minor - sums.refund_minor
        assert not any((totals.reversed.count, totals.expired.count, totals.declined_count))
        if sums != Sums():
            found[one.start_date] = sums
    return found


def of(sums: dict[tuple[str, str], Sums], whose: str) -> dict[str, Sums]:
    return {period: one for (name, period), one in sums.items() if name == whose}


async def test_every_month_of_a_sample_of_cards(
    sent: tuple[MeshClient, Sender], whole_file: Path
) -> None:
    """A card and its account, which has no other."""
    (mesh, sender), file = sent, expected(whole_file)
    names = sorted(name for name, card in sender.tally.cards.items() if card.card_id)
    sample = random.Random(200).sample(names, min(SAMPLE, len(names)))
    room = asyncio.Semaphore(4)

    async def check(card: CardTally) -> None:
        async with room:
            for subject_id in (card.card_id, card.account_id):
                months = await asked(mesh, subject_id, pb.PERIOD_TYPE_MONTH)
                assert {one.currency_code for one in months} == {file.cards[card.last4]}
                assert told(months) == of(file.months, card.last4), card

    async with asyncio.TaskGroup() as group:
        for name in sample:
            group.create_task(check(sender.tally.cards[name]))


async def test_days_and_weeks_of_a_few_cards(
    sent: tuple[MeshClient, Sender], whole_file: Path
) -> None:
    (mesh, sender), file = sent, expected(whole_file)
    busiest = sorted(sender.tally.cards.values(), key=lambda card: -card.approved)[:5]
    for card in busiest:
        days = await asked(mesh, card.card_id, pb.PERIOD_TYPE_DAY)
        assert told(days) == of(file.days, card.last4)
        weeks = await asked(mesh, card.account_id, pb.PERIOD_TYPE_WEEK)
        assert told(weeks) == of(file.weeks, card.last4)


async def test_the_whole_programme(sent: tuple[MeshClient, Sender], whole_file: Path) -> None:
    """Goal: its months, weeks and days, and its largest merchants of each month."""
    (mesh, _), file = sent, expected(whole_file)
    months = await asked(mesh, PROGRAMME, pb.PERIOD_TYPE_MONTH)
    assert told(months) == of(file.months, "")
    assert told(await asked(mesh, PROGRAMME, pb.PERIOD_TYPE_WEEK)) == of(file.weeks, "")
    assert told(await asked(mesh, PROGRAMME, pb.PERIOD_TYPE_DAY)) == of(file.days, "")
    broken_down = await asked(
        mesh,
        PROGRAMME,
        pb.PERIOD_TYPE_MONTH,
        days=270,
        breakdowns=[pb.DIMENSION_MERCHANT],
        top=100,
    )
    for month in broken_down:
        check_merchants(month, file)


def check_merchants(month: pb.PeriodStats, file: Expected) -> None:
    """The largest ones, the largest first, each to the cent; the number of all."""
    (breakdown,) = month.breakdowns
    known = of(
        {(period, name): one for (period, name), one in file.merchants.items()}, month.start_date
    )
    shown = [one.purchases.amount.amount_minor for one in breakdown.slices]
    largest = sorted((one.purchase_minor for one in known.values()), reverse=True)
    assert shown == largest[: len(shown)]
    assert len(shown) + breakdown.more_count == len(known)
    for one in breakdown.slices:
        sums = known[one.key]
        assert (one.purchases.count, one.purchases.amount.amount_minor) == (
            sums.purchases,
            sums.purchase_minor,
        )
        assert (one.refunds.count, one.refunds.amount.amount_minor) == (
            sums.refunds,
            sums.refund_minor,
        )


async def test_counting_again_finds_the_same(
    sent: tuple[MeshClient, Sender], own_mesh: Devstack
) -> None:
    _, sender = sent
    began = time.monotonic()
    rebuilt = await rebuild_stats(own_mesh.settings)
    sys.stderr.write(
        f"\n{rebuilt.entries} entries counted again in {time.monotonic() - began:.1f} s\n"
    )
    assert rebuilt.differences == ()
    assert rebuilt.entries >= 2 * sender.tally.approved + sender.tally.refunded
