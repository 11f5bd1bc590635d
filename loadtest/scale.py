"""Scenarios of size: the rate with many accounts, and the memory of an account and of a hold."""

from __future__ import annotations

from typing import Any

from loadtest.authorize import opened
from loadtest.mesh import Mesh, open_mesh
from loadtest.session import Session, summary

_MILLION = 1_000_000


async def scale(session: Session) -> None:
    """Ten and a hundred thousand accounts."""
    for count in session.options.scale:
        await _with_accounts(session, count)


async def million(session: Session) -> None:
    """A million accounts: opening them takes minutes, so it is only measured when asked for."""
    await _with_accounts(session, _MILLION)


async def _with_accounts(session: Session, count: int) -> None:
    """Accounts are opened as always, so Valkey and ledger are as they would be in service."""
    found: dict[str, Any] = {"accounts": count}
    async with open_mesh(workers=session.options.workers) as mesh:
        empty_bytes = await _memory(mesh)
        cards = await opened(session, mesh, count)
        full_bytes = await _memory(mesh)
        answered = mesh.answered.approved
        runs = await session.maximum(mesh, cards, f"{count:,} accounts")
        holds = mesh.answered.approved - answered
        held_bytes = await _memory(mesh) - full_bytes
    found |= summary(runs)
    found["valkey_bytes_per_account"] = round((full_bytes - empty_bytes) / count)
    # With the record of its request, which lives as long as the benchmark.
    found["valkey_bytes_per_hold"] = round(held_bytes / max(holds, 1))
    session.say(
        f"{count:,} accounts: {found['valkey_bytes_per_account']:,} bytes of Valkey each with a"
        f" card, {found['valkey_bytes_per_hold']:,} per open hold"
    )
    session.document.setdefault("scale", []).append(found)


async def _memory(mesh: Mesh) -> int:
    """Memory of the money Valkey, nothing unsettled in its journal."""
    await mesh.settle()
    return int((await mesh.valkey_info("memory"))["used_memory"])
