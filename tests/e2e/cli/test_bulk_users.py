"""`holdfast import users` and `holdfast export users`, on a whole mesh."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.devstack.supervisor import Devstack
from tests.e2e.cli.conftest import Holdfast

HEADER = (
    *("reference", "name", "email", "phone", "line1", "city", "country_code", "verified"),
    *("birth_date", "tax_id"),
)
NO_IDENTITY = ("", "")


def _write(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as text:
        csv.writer(text).writerows((HEADER, *rows))


def _read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


async def _command(holdfast: Holdfast, mesh: Devstack, *arguments: str) -> tuple[int, Any]:
    home = str(mesh.settings.home)
    ended = await holdfast(*arguments, "--json", "--home", home)
    return ended.code, json.loads(ended.stdout)


async def test_people_are_taken_over_and_written_again(
    holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path
) -> None:
    """A rehearsal, the import, the same again with more, and an export, masked and in full."""
    run, path, results = uuid.uuid4().hex[:8], tmp_path / "users.csv", tmp_path / "results.csv"
    rows = [
        (f"{run}-{number}", f"Person {number}", f"{run}-{number}@example.com", *[""] * 7)
        for number in range(1_200)
    ]
    ada = (rows[0][0], "Ada", rows[0][2], "+4930901820", "Markt 1", "Bonn", "DE", "true")
    rows[0] = (*ada, "1990-12-10", "123-45-6789")
    rows[7] = (rows[7][0], "Eve", "nobody", "555", "", "", "", "perhaps", *NO_IDENTITY)
    rows[8] = (rows[8][0], "Eve", "nobody", "555", "", "Bonn", "DE", "true", *NO_IDENTITY)
    _write(path, rows)
    code, rehearsed = await _command(holdfast, full_mesh, "import", "users", str(path), "--dry-run")
    assert (code, rehearsed["created"], rehearsed["refused"]) == (1, 1_198, 2)
    assert [(one["line"], one["field"]) for one in rehearsed["errors"]] == [
        (9, "verified"),
        (10, "email"),
        (10, "phone"),
        (10, "line1"),
        (10, "birth_date"),
        (10, "tax_id"),
    ]
    code, first = await _command(
        holdfast, full_mesh, "import", "users", str(path), "--results", str(results)
    )
    assert (code, first["created"], first["existed"]) == (1, 1_198, 0)
    told = _read(results)
    assert told[0]["reference"] == f"{run}-0"
    assert {one["outcome"] for one in told[7:11]} == {"refused"}
    rows[7:9] = [(f"{run}-x", "Eve", f"{run}-x@example.com", *[""] * 7)]
    _write(path, rows)
    code, again = await _command(holdfast, full_mesh, "import", "users", str(path))
    assert (code, again["created"], again["existed"]) == (0, 1, 1_198)
    found = {}
    for options in ((), ("--full",)):
        out = tmp_path / "out.csv"
        code, exported = await _command(holdfast, full_mesh, "export", "users", str(out), *options)
        written = _read(out)
        assert (code, exported["rows"]) == (0, len(written))
        found[options] = next(row for row in written if row["user_id"] == told[0]["id"])
    masked, full = found[()], found[("--full",)]
    assert masked["email"] == f"{run[0]}***@example.com"
    assert (masked["line1"], masked["city"], masked["state"]) == ("", "", "ACTIVE")
    assert (full["email"], full["phone"], full["line1"]) == (rows[0][2], "+4930901820", "Markt 1")


async def test_files_that_are_none_are_refused(
    holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path
) -> None:
    path = tmp_path / "users.csv"
    path.write_text("reference,nome\na,Ada\n")
    code, document = await _command(holdfast, full_mesh, "import", "users", str(path))
    assert code == 2
    assert "nome" in document["error"]["message"]
    code, document = await _command(
        holdfast, full_mesh, "import", "users", str(tmp_path / "none.csv")
    )
    assert code == 2
