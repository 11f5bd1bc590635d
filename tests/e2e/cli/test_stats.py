"""`holdfast stats`: bars, a chart, and counting again."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path

from holdfast.stats.v1 import stats_service_pb2 as rpc
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.e2e.cli.conftest import Cardholder, Holdfast, capture, purchase

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
