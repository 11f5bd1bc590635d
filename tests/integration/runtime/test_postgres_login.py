"""The password of a service's login is rotated while the service runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg

from runtime.migrations import scram_verifier
from runtime.postgres import connect_pool
from tests.databases import Database


async def test_connections_go_on_and_new_ones_log_in_anew(
    database: Database, tmp_path: Path
) -> None:
    before = database.settings.secret("postgres-vault")
    settings = database.settings.model_copy(update={"home": tmp_path})
    secret = settings.secret_path("postgres-vault")
    secret.parent.mkdir(mode=0o700)
    secret.write_text(before)
    owner = await asyncpg.connect(database.owner_dsn)
    try:
        async with await connect_pool(settings, "vault", max_size=2) as pool:
            verifier = scram_verifier("another password")
            await owner.execute(f"ALTER ROLE holdfast_vault PASSWORD '{verifier}'")
            secret.write_text("another password")
            async with pool.acquire() as old, pool.acquire() as new:
                pids = await asyncio.gather(
                    *(one.fetchval("SELECT pg_backend_pid()") for one in (old, new))
                )
        assert len(set(pids)) == 2
    finally:
        verifier = scram_verifier(before)
        await owner.execute(f"ALTER ROLE holdfast_vault PASSWORD '{verifier}'")
        await owner.close()
