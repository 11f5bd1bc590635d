"""`holdfast import transfers` and `holdfast reconcile --payments`."""

from __future__ import annotations

import csv
import json
import uuid
from pathlib import Path
from typing import Any

from holdfast.accounts.v1 import account_service_pb2 as accounts
from holdfast.type.v1.money_pb2 import Money
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import connect
from tests.e2e.cli.conftest import Holdfast

COLUMNS = (
    "source",
    "bank_reference",
    "amount_minor",
    "currency_code",
    "receive_date",
    "remittance",
)


async def _command(holdfast: Holdfast, mesh: Devstack, *arguments: str) -> tuple[int, Any]:
    ended = await holdfast(*arguments, "--json", "--home", str(mesh.settings.home))
    return ended.code, json.loads(ended.stdout)


async def test_a_bank_s_file_is_taken_in_and_agrees(
    holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path
) -> None:
    """A rehearsal, the import, the whole file again; then nothing differs."""
    run, path, results = uuid.uuid4().hex[:8], tmp_path / "bank.csv", tmp_path / "results.csv"
    assert full_mesh.ports is not None
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        opened = await client.accounts.OpenAccount(
            accounts.OpenAccountRequest(
                request_id=f"open-{run}",
                owner_id=f"usr_0c{uuid.uuid4().hex}",
                credit_limit=Money(currency_code="USD", amount_minor=50_000),
            )
        )
        now = opened.account.create_time.ToDatetime()
    day = f"{now:%Y-%m-%d}"
    rows = [
        ("WIRE", f"{run}-1", "5000", "USD", day, f"for {opened.account.id}"),
        ("zelle", f"{run}-2", "700", "USD", day, opened.account.id),
        ("WIRE", f"{run}-3", "100", "USD", day, "who knows"),
        ("ACH", f"{run}-4", "1.00", "USD", day, opened.account.id),
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    ask = ("import", "transfers", str(path))
    code, rehearsed = await _command(holdfast, full_mesh, *ask, "--dry-run")
    counts = ("created", "existed", "unmatched", "refused")
    assert (code, [rehearsed[name] for name in counts]) == (1, [2, 0, 1, 1])
    assert [(one["line"], one["field"]) for one in rehearsed["errors"]] == [
        (4, "remittance"),
        (5, "amount_minor"),
        (5, "source"),
    ]
    code, first = await _command(holdfast, full_mesh, *ask, "--results", str(results))
    assert (code, [first[name] for name in counts]) == (1, [2, 0, 1, 1])
    code, again = await _command(holdfast, full_mesh, *ask)
    assert (code, [again[name] for name in counts]) == (1, [0, 2, 1, 1])
    told = list(csv.DictReader(results.read_text().splitlines()))
    assert [one["outcome"] for one in told[:3]] == ["created", "created", "unmatched"]
    code, compared = await _command(holdfast, full_mesh, "reconcile", "--payments")
    assert (code, compared["differences"]) == (0, 0)
    assert compared["payments"] >= 2
