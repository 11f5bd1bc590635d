"""`holdfast import cards` and `holdfast export cards`, on a whole mesh."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import connect
from tests.authz_mesh import purchase
from tests.e2e.cli.conftest import Holdfast

USERS = ("reference", "name", "email")
CARDS = ("reference", "owner_reference", "credit_limit_minor", "currency_code", "kind")


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as text:
        csv.writer(text).writerows((header, *rows))


def _read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


async def _command(holdfast: Holdfast, mesh: Devstack, *arguments: str) -> tuple[int, Any]:
    ended = await holdfast(*arguments, "--json", "--home", str(mesh.settings.home))
    return ended.code, json.loads(ended.stdout)


async def test_cards_are_taken_over_and_written_again(
    holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path
) -> None:
    """People, then their cards: a rehearsal, the import, and the whole file again, as after an
    interruption. An imported card pays.
    """
    run, path, results = uuid.uuid4().hex[:8], tmp_path / "cards.csv", tmp_path / "results.csv"
    people = [(f"{run}-{one}", f"Person {one}", f"{run}-{one}@example.com") for one in range(600)]
    _write(path, USERS, people)
    assert (await _command(holdfast, full_mesh, "import", "users", str(path)))[0] == 0
    rows = [(f"{run}-{one}", f"{run}-{one}", "50000", "USD", "") for one in range(600)]
    rows[3] = (f"{run}-3", f"{run}-3", "much", "USD", "PLASTIC")
    rows[4] = (f"{run}-4", "nobody", "50000", "USD", "virtual")
    _write(path, CARDS, rows)
    cards = ("import", "cards", str(path))
    code, rehearsed = await _command(holdfast, full_mesh, *cards, "--dry-run")
    assert (code, rehearsed["created"], rehearsed["refused"]) == (1, 598, 2)
    assert [(one["line"], one["field"]) for one in rehearsed["errors"]] == [
        (5, "credit_limit_minor"),
        (5, "kind"),
        (6, "owner_reference"),
    ]
    code, first = await _command(holdfast, full_mesh, *cards, "--results", str(results))
    assert (code, first["created"], first["existed"], first["refused"]) == (1, 598, 0, 2)
    told = _read(results)
    rows[3:5] = [(f"{run}-x", f"{run}-5", "50000", "USD", "PHYSICAL")]
    _write(path, CARDS, rows)
    code, again = await _command(holdfast, full_mesh, *cards)
    assert (code, again["created"], again["existed"]) == (0, 1, 598)
    out = tmp_path / "out.csv"
    code, exported = await _command(holdfast, full_mesh, "export", "cards", str(out))
    written = {row["card_id"]: row for row in _read(out)}
    assert (code, exported["rows"]) == (0, len(written))
    card = written[told[0]["id"]]
    assert (card["kind"], card["state"], len(card["last4"])) == ("VIRTUAL", "ACTIVE", 4)
    assert out.stat().st_mode & 0o777 == 0o600
    assert full_mesh.ports is not None
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        bought = await client.network.Authorize(purchase(card["card_id"], 100, f"buy-{run}"))
    assert bought.response_code == "00"


async def test_files_that_are_none_are_refused(
    holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path
) -> None:
    path = tmp_path / "cards.csv"
    path.write_text("reference,pan\na,4000000000000002\n")
    code, document = await _command(holdfast, full_mesh, "import", "cards", str(path))
    assert (code, "pan" in document["error"]["message"]) == (2, True)
