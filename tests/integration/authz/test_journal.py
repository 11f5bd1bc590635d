"""An account's journal is the same whether its entries are settled or not."""

from __future__ import annotations

from dataclasses import replace

from authz.journal import account_journal
from authz.ledger_store import LedgerStore
from tests.authz_mesh import AuthzMesh
from tests.authz_traffic import Traffic


async def test_settled_and_unsettled_read_the_same(mesh: AuthzMesh) -> None:
    """All movements, first from the stream, then from the ledger, then some from each."""
    traffic = Traffic(mesh=mesh, seed=3)
    await traffic.open(3)
    await traffic.run(150)
    store = LedgerStore(mesh.settings)

    async def read(limit: int = 10_000) -> dict[str, list[object]]:
        return {
            account: [
                replace(one, settled=True)
                for one in await account_journal(mesh.money, store, account, limit=limit)
            ]
            for account in traffic.accounts
        }

    before = await read()
    await mesh.settle()
    assert await read() == before
    await traffic.run(50)
    mixed = await read()
    for account, entries in mixed.items():
        assert entries[: len(before[account])] == before[account]
        assert [one.seq for one in entries] == list(range(1, len(entries) + 1))  # type: ignore[attr-defined]
    assert await read(limit=5) == {account: entries[-5:] for account, entries in mixed.items()}
    await store.close()
