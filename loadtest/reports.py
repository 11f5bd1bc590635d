"""Scenario: reports of a company with very many transactions: seconds, and the memory of stats.

What was counted are rows, one transaction at one place each: the most there can be. Each report is
asked for as a row, and made by the mesh's own stats.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import asyncpg

from loadtest.errors import BenchFailedError
from loadtest.mesh import Mesh, open_mesh
from loadtest.session import Session
from runtime.queries import load_queries

COMPANY = "co_0a" + "1" * 32
CARDS, MERCHANTS = 2_000, 5_000
#: Format, and what by: few rows, and (the last two) a row for each transaction.
REPORTS = {
    "csv": ("CSV", ("DEPARTMENT", "CARD", "CATEGORY")),
    "json": ("JSON", ("DEPARTMENT", "CARD", "CATEGORY")),
    "pdf": ("PDF", ("DEPARTMENT", "CATEGORY")),
    "xlsx": ("XLSX", ("DEPARTMENT", "CATEGORY")),
    "csv_all": ("CSV", ("DAY", "CARD", "MERCHANT", "CATEGORY")),
    "xlsx_all": ("XLSX", ("DAY", "CARD", "MERCHANT", "CATEGORY")),
}
_INSTANCE = "stats"
_FILL = 100_000
_LOOK_S = 0.05
_PATIENCE_S = 300.0
_MIB = 1024

_SQL = load_queries(Path(__file__).with_name("sql") / "reports.sql")


async def reports(session: Session) -> None:
    """Each kind of report, one after the other, with `--rows` transactions there."""
    rows = session.options.rows
    found: dict[str, Any] = {"transactions": rows}
    async with open_mesh(workers=1) as mesh:
        connection = await asyncpg.connect(mesh.stack.owner_dsn)
        try:
            await _fill(connection, rows)
            found["memory_before_mib"] = _peak_mib(mesh)
            for name in REPORTS:
                found[name] = await _report(mesh, connection, name)
                session.say(f"reports, {name}: {found[name]}")
        finally:
            await connection.close()
    session.document["reports"] = found


async def _fill(connection: Any, rows: int) -> None:
    await connection.execute(_SQL["insert_names"], MERCHANTS)
    for first in range(0, rows, _FILL):
        last = min(first + _FILL, rows) - 1
        await connection.execute(_SQL["insert_cells"], first, last, COMPANY, CARDS, MERCHANTS)
    await connection.execute(_SQL["insert_totals"], COMPANY)
    await connection.execute(_SQL["analyze_cells"])


async def _report(mesh: Mesh, connection: Any, name: str) -> dict[str, Any]:
    format_, groups = REPORTS[name]
    report_id = f"rpt_0a{list(REPORTS).index(name):032x}"
    _forget_peak(mesh)
    began = time.monotonic()
    await connection.execute(
        _SQL["insert_report"], report_id, COMPANY, format_, list(groups), os.urandom(32)
    )
    while True:
        row = await connection.fetchrow(_SQL["select_report"], report_id)
        if row["state"] == "READY":
            break
        if row["state"] == "FAILED" or time.monotonic() - began > _PATIENCE_S:
            raise BenchFailedError(f"{name} was not made: {dict(row)}")
        await asyncio.sleep(_LOOK_S)
    return {
        "seconds": round(time.monotonic() - began, 2),
        "rows": row["row_count"],
        "mib": round(row["size_bytes"] / 2**20, 1),
        "memory_mib": _peak_mib(mesh),
        "attempts": row["attempts"],
    }


def _forget_peak(mesh: Mesh) -> None:
    """From now on the peak is counted anew."""
    Path(f"/proc/{mesh.pid(_INSTANCE)}/clear_refs").write_text("5")


def _peak_mib(mesh: Mesh) -> int:
    """The most memory that stats has had since."""
    status = Path(f"/proc/{mesh.pid(_INSTANCE)}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // _MIB
