"""`holdfast replay`: through the whole mesh, to the cent, with every broken row named."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from runtime.devstack.supervisor import Devstack
from tests.e2e.cli.conftest import Holdfast

_SHARED = (
    Path(__file__).resolve().parents[4] / "shared" / "data" / "purchase-cards-2014-2016.csv.gz"
)
_HEADER = (
    "date,card_last4,merchant,amount_minor,currency,original_amount_minor,original_currency,"
    "category,department"
)


def _row(card: str, amount: object, currency: str = "GBP", merchant: str = "corner shop") -> str:
    return f"2015-12-31,{card},{merchant},{amount},{currency},{amount},{currency},Food,Town"


def _write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join((_HEADER, *rows, "")))
    return path


async def _replay(
    holdfast: Holdfast, full_mesh: Devstack, path: Path, *arguments: str, code: int = 0
) -> dict[str, Any]:
    ended = await holdfast(
        *("replay", str(path), "--home", str(full_mesh.settings.home), "--json"), *arguments
    )
    assert ended.code == code, ended
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def _card(document: dict[str, Any], last4: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["cards"] if one["last4"] == last4)
    assert found["disagreements"] == []
    return found


async def test_every_row_is_accounted_for(
    holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path
) -> None:
    """Goal: purchases, declines, refunds and broken rows, each where it belongs, to the cent.

    Method: one refund fits a purchase, one is too large for any, one has no purchase before it. A
    credit limit of 100.00: the second card's third purchase exceeds it, a fourth fits.
    """
    path = _write(
        tmp_path / "rows.csv",
        _row("0001", 1_999),
        _row("0001", -500),
        _row("0001", -2_000),
        _row("0002", 6_000),
        _row("0002", "ten"),
        _row("0002", 4_001),
        _row("0002", 4_000),
        _row("0003", -1),
        _row("0001", 1, currency="ABC"),
        _row("0001", 1, currency="USD"),
        _row("0001", 0),
        "2015-12-31,0001,corner shop",
    )
    document = await _replay(holdfast, full_mesh, path, "--credit-limit", "100.00")
    assert document["temporary_mesh"] is False
    assert (document["rows"], document["approved"], document["declined"]) == (12, 3, 1)
    assert document["declines"] == {"INSUFFICIENT_CREDIT": 1}
    assert (document["refunded"], document["refunds_linked"]) == (3, 1)
    assert document["bad_rows"] == 5
    assert [bad["line"] for bad in document["bad_rows_listed"]] == [6, 10, 11, 12, 13]
    assert document["agrees"] is True
    assert len(document["cards"]) == 3
    first, second, third = (_card(document, last4) for last4 in ("0001", "0002", "0003"))
    assert (first["file_minor"], first["approved_minor"], first["refunded_minor"]) == (
        *(-501, 1_999),
        -2_500,
    )
    assert first["ledger"]["posted_minor"] == -501
    assert second["ledger"] == {
        "captured_minor": 10_000,
        "refunded_minor": 0,
        "owed_minor": 10_000,
        "posted_minor": 10_000,
        "held_minor": 0,
    }
    assert second["declined_minor"] == 4_001
    assert third["ledger"]["posted_minor"] == -1


async def test_foreign_currencies(holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path) -> None:
    """Goal: merchants that count in yen (no decimals) and dinars (three), accounts in pounds, yen
    and dinars: purchases and refunds with amounts and rates of both sides agree to the cent.
    """
    rows, generator = [], random.Random(4217)
    accounts = {"0001": "GBP", "0002": "JPY", "0003": "KWD", "0004": "GBP"}
    for _ in range(150):
        card = generator.choice(list(accounts))
        unit, merchant = generator.choice(
            [("JPY", "Tokyo rail"), ("KWD", "Souk"), ("EUR", "Bistro")]
        )
        currency = accounts[card]
        amount, original = generator.randint(1, 90_000), generator.randint(1, 900_000)
        if generator.random() < 0.2:
            amount, original = -amount, -original
        rows.append(f"2015-12-31,{card},{merchant},{amount},{currency},{original},{unit},,")
    document = await _replay(holdfast, full_mesh, _write(tmp_path / "rows.csv", *rows))
    assert document["bad_rows"] == 0
    assert document["approved"] + document["refunded"] == 150
    assert 0 < document["refunds_linked"] < document["refunded"]
    assert document["agrees"] is True
    ended = await holdfast("reconcile", "--home", str(full_mesh.settings.home))
    assert ended.code == 0, ended.stdout


async def test_the_same_run_again_changes_nothing(
    holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path
) -> None:
    """Goal: an interrupted replay goes on: what was sent is answered as before, nothing is twice.

    Method: the first rows, then all under the same run id, then all once more.
    """
    path = _write(tmp_path / "rows.csv", *(_row(f"{n % 7:04}", 100 + n) for n in range(60)))
    again = ("--run", f"again-{tmp_path.name}"[:32])
    await _replay(holdfast, full_mesh, path, "--limit", "25", *again)
    second = await _replay(holdfast, full_mesh, path, *again)
    third = await _replay(holdfast, full_mesh, path, *again)
    assert second["approved"] == 60
    assert second["agrees"] is True
    assert second["cards"] == third["cards"]


async def test_a_run_with_another_limit_is_refused(
    holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path
) -> None:
    """Goal: the run id of another replay is no licence: a message, no traceback, exit 4."""
    path = _write(tmp_path / "rows.csv", _row("0001", 100))
    again = ("--run", f"other-{tmp_path.name}"[:32])
    await _replay(holdfast, full_mesh, path, *again)
    document = await _replay(holdfast, full_mesh, path, *again, "--credit-limit", "5.00", code=4)
    assert "another file or credit limit" in document["error"]["message"]


async def test_a_truncated_file(holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path) -> None:
    """Goal: what can be read is replayed and agrees; exit 2 and a line number tell of the rest."""
    path = tmp_path / "rows.csv.gz"
    rows = (_row(f"{n % 90:04}", 100 + n, merchant=f"shop {n * 7919 % 9973}") for n in range(400))
    whole = gzip.compress("\n".join((_HEADER, *rows, "")).encode())
    path.write_bytes(whole[: len(whole) // 2])
    document = await _replay(holdfast, full_mesh, path, code=2)
    assert "truncated" in document["ended_early"]
    assert document["agrees"] is True
    assert 10 < document["approved"] < 400
    assert document["bad_rows_listed"][-1]["line"] == document["rows"] + 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"date,merchant\n", "the header has no column card_last4"),
        (b"caf\xe9,date\n", "is not UTF-8"),
    ],
)
async def test_a_file_that_is_no_table(
    holdfast: Holdfast, tmp_path: Path, content: bytes, message: str
) -> None:
    """Goal: refused before anything is started, exit 2."""
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    ended = await holdfast("replay", str(path), "--home", str(tmp_path / "none"))
    assert ended.code == 2
    assert message in ended.stderr
    assert not (tmp_path / "none").exists()


async def test_a_rate_is_kept(holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path) -> None:
    """Goal: `--rate` is an upper bound."""
    path = _write(tmp_path / "rows.csv", *(_row(f"{n:04}", 100) for n in range(20)))
    document = await _replay(holdfast, full_mesh, path, "--rate", "20")
    assert document["seconds"] >= 0.9
    assert document["purchases_per_s"] <= 22


@pytest.mark.skipif(not _SHARED.exists(), reason="the shared file is not here")
async def test_real_purchases(holdfast: Holdfast, full_mesh: Devstack) -> None:
    """Goal: the first 500 rows of a city's purchases agree to the cent, and so do the books."""
    document = await _replay(holdfast, full_mesh, _SHARED, "--limit", "500")
    assert document["rows"] == 500
    assert document["bad_rows"] == 0
    assert document["approved"] + document["refunded"] == 500
    assert document["agrees"] is True
    ended = await holdfast("reconcile", "--home", str(full_mesh.settings.home))
    assert ended.code == 0
    assert ended.stdout.startswith("books balance: ")
    assert ended.stdout.strip().endswith(" entries, 0 differences")
