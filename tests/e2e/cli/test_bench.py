"""`holdfast bench`: measures a mesh of its own, balances its books, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtest.errors import BooksError
from loadtest.mesh import open_mesh
from loadtest.session import Options, Session
from tests.e2e.cli.conftest import Holdfast

TINY = ("--seconds", "1", "--runs", "1", "--workers", "1", "--accounts", "8")
GROUPS = ("generator", "envoy", "authz", "valkey", "settler", "postgres")


@pytest.mark.timeout(240)
async def test_a_tiny_run(holdfast: Holdfast, tmp_path: Path) -> None:
    """Goal: numbers that hang together, in the document and in the chart.

    Method: one second of everything; nobody is declined, so every decision is an approval in the
    ledger. (A busy machine may shed calls.)
    """
    result, chart = tmp_path / "result.json", tmp_path / "chart"
    files = ("--json", str(result), "--chart", str(chart))
    ended = await holdfast("bench", "--scenario", "uniform", *TINY, *files)
    assert ended.code == 0, ended
    document = json.loads(result.read_text())
    assert document["books_balance"] is True
    last = document["books"][-1]
    assert last["entries_approved"] == last["approved"] > 0
    assert last["accounts"] == 8
    # An entry for each account, card and approval.
    assert last["entries"] == 16 + last["approved"]
    found = document["authorize"]
    assert found["max_rate"] > 10
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]
    assert all(found["cpu_us_per_call"][group] >= 0 for group in GROUPS)
    assert found["cpu_us_per_call"]["authz"] > 0
    assert found["script_us"] > 0
    rates = [point["rate"] for point in found["at_rate"]]
    assert len(rates) == 4
    assert rates == sorted(rates)
    assert document["conditions"]["cores"] >= 1
    assert chart.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in chart.with_suffix(".svg").read_text()


async def test_an_unknown_scenario(holdfast: Holdfast) -> None:
    ended = await holdfast("bench", "--scenario", "nonsense")
    assert ended.code == 2
    assert "uniform" in ended.stderr


async def test_a_result_that_is_none(holdfast: Holdfast, tmp_path: Path) -> None:
    """What to compare with is read before a minute is spent on measuring."""
    ended = await holdfast("bench", "--against", str(tmp_path / "missing.json"))
    assert ended.code == 2


@pytest.mark.timeout(120)
async def test_an_answer_that_is_not_in_the_ledger_ends_it() -> None:
    """Goal: an approval too many is noticed.

    Method: one approval is claimed that the mesh never gave; then one of its own is forgotten.
    """
    session = Session(options=Options(workers=1), say=lambda _: None)
    async with open_mesh(workers=1) as mesh:
        cards = await mesh.open_accounts(4)
        await mesh.purchase(cards, depth=4, calls=20)
        await session.check_books(mesh, "true")
        for wrong in (1, -2):
            mesh.answered.approved += wrong
            with pytest.raises(BooksError):
                await session.check_books(mesh, "wrong")
    assert session.document["books_balance"] is False
    assert [one["balance"] for one in session.document["books"]] == [True, False, False]
