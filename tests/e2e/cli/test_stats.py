"""`holdfast stats`, and that what it shows is what the real purchases of a file come to."""

from __future__ import annotations

import asyncio
import csv
import gzip
import itertools
import json
import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from holdfast.stats.v1 import stats_service_pb2 as rpc
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from runtime.replay.rows import RowFile
from runtime.replay.sending import Sender
from tests.e2e.cli.conftest import Cardholder, Holdfast, capture, purchase

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "purchase-cards-2014-2016.csv.gz"
ROWS = 300
#: How long counting may lag on a busy machine.
PATIENCE_S = 60.0


async def counted(mesh: MeshClient, subject_id: str, day: str, purchases: int) -> None:
    """Waits until so many purchases of a month are counted."""
    request = rpc.GetMonthlyStatsRequest(subject_id=subject_id, start_date=day)
    until = time.monotonic() + PATIENCE_S
    while True:
        found = (await mesh.stats.GetMonthlyStats(request, timeout=10)).periods
        if sum(one.totals.purchases.count for one in found) >= purchases:
            return
        assert time.monotonic() < until, found
        await asyncio.sleep(0.2)


async def test_bars_and_a_chart_and_counting_again(
    mesh: MeshClient,
    cardholder: Cardholder,
    full_mesh: Devstack,
    holdfast: Holdfast,
    tmp_path: Path,
) -> None:
    held = await purchase(mesh, cardholder.card_id, 5_000)
    await capture(mesh, held.authorization_id, 3_000)
    today = datetime.now(UTC).date().isoformat()
    await counted(mesh, cardholder.account_id, today, 1)
    home = ("--home", str(full_mesh.settings.home))
    chart = tmp_path / "chart.png"
    asked = ("stats", "show", cardholder.account_id, *home, "--last", "3", "--until", today)
    ended = await holdfast(*asked, "--png", str(chart))
    assert ended.code == 0, ended.stderr
    assert "30.00 USD" in ended.stdout
    assert "█" in ended.stdout
    assert chart.read_bytes().startswith(b"\x89PNG")
    ended = await holdfast(*asked, "--by", "month", "--json")
    months = json.loads(ended.stdout)["periods"]
    assert [one["net_spend_minor"] for one in months] == [0, 0, 3_000]
    # JSON through Envoy, too.
    answer = await mesh.web.get(
        f"/v1/stats/{cardholder.account_id}/daily", params={"start_date": today}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["periods"][0]["totals"]["net_spend"]["amount_minor"] == "3000"
    ended = await holdfast("stats", "rebuild", *home, "--json")
    assert ended.code == 0, ended
    rebuilt = json.loads(ended.stdout)
    assert rebuilt["differences"] == []
    assert rebuilt["entries"] > 0


async def test_unknown_and_malformed(full_mesh: Devstack, holdfast: Holdfast) -> None:
    home = ("--home", str(full_mesh.settings.home))
    assert (await holdfast("stats", "show", "acct_1", *home)).code == 2
    unknown = "acct_0a" + "0" * 32
    assert (await holdfast("stats", "show", unknown, *home)).code == 1
    assert (await holdfast("stats", "show", unknown, *home, "--until", "soon")).code == 2
    assert (await holdfast("stats", "show", unknown, *home, "--png", "chart.gif")).code == 2


@pytest.mark.timeout(300)
@pytest.mark.skipif(not SHARED.exists(), reason="the file of purchases is not there")
async def test_a_replayed_file_comes_to_what_the_file_says(mesh: MeshClient) -> None:
    """Goal: every month of every card, to the cent. Method: the file's own sums, by csv alone."""
    run_id = f"stats-{uuid.uuid4().hex[:10]}"
    bad: list[int] = []
    with RowFile(SHARED) as rows:
        sender = Sender(
            mesh,
            run_id=run_id,
            credit_limit=Decimal(10_000_000),
            rate=None,
            on_bad=lambda row: bad.append(row.line),
        )
        await sender.run(itertools.islice(rows.rows(), ROWS))
    cards = sender.tally.cards
    assert sender.tally.declined == 0
    expected: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    with gzip.open(SHARED, "rt", newline="") as file:
        for line, row in enumerate(itertools.islice(csv.DictReader(file), ROWS), 2):
            if line in bad:
                continue
            amount = int(row["amount_minor"])
            sums = expected[row["card_last4"], row["date"][:7]]
            sums[0 if amount > 0 else 2] += 1
            sums[1 if amount > 0 else 3] += abs(amount)
    for last4, tally in cards.items():
        months = sorted(month for card, month in expected if card == last4)
        if not months:
            continue
        want = {month: tuple(expected[last4, month]) for month in months}
        until = time.monotonic() + PATIENCE_S
        while True:
            request = rpc.GetMonthlyStatsRequest(
                subject_id=tally.card_id,
                start_date=f"{months[0]}-01",
                end_date=f"{months[-1]}-01",
            )
            answer = await mesh.stats.GetMonthlyStats(request, timeout=10)
            found = {
                one.start_date[:7]: (
                    one.totals.purchases.count,
                    one.totals.purchases.amount.amount_minor,
                    one.totals.refunds.count,
                    one.totals.refunds.amount.amount_minor,
                )
                for one in answer.periods
            }
            if {month: sums for month, sums in found.items() if any(sums)} == want:
                break
            assert time.monotonic() < until, (last4, found, want)
            await asyncio.sleep(0.2)
