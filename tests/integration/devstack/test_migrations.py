"""Bootstrap and migrations on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from runtime import dsn, migrations
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack

_UP = "-- migrate:up\n{sql}\n-- migrate:down\n"


@pytest.fixture
async def owner_dsn(devstack_base: Devstack) -> AsyncIterator[str]:
    """URL of a database that does not exist yet."""
    name = "fresh"
    yield dsn.with_database(devstack_base.owner_dsn, name)
    await migrations.drop_database(devstack_base.owner_dsn, name=name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the authorizer's migrations; other services have none."""
    monkeypatch.setattr(migrations, "folder_of", lambda service: tmp_path / service)
    (tmp_path / "authz").mkdir()
    return tmp_path / "authz"


@pytest.fixture
def settings(devstack_base: Devstack) -> StackSettings:
    return devstack_base.settings


async def _fetch(settings: StackSettings, owner_dsn: str, query: str) -> list[asyncpg.Record]:
    url = migrations.service_dsn(settings, "authz", owner_dsn=owner_dsn)
    connection = await asyncpg.connect(url)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query)
    finally:
        await connection.close()
    return rows


async def test_pending_migrations_are_applied_once(
    settings: StackSettings, owner_dsn: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: in order, as the service's role, into its schema; dbmate only when there is work."""
    (folder / "0001_create_things.sql").write_text(
        _UP.format(sql="CREATE TABLE things (name text); INSERT INTO things VALUES ('one');")
    )
    first = await migrations.migrate(settings, owner_dsn=owner_dsn)
    assert first.migrations["authz"] == 1
    (folder / "0002_add_thing.sql").write_text(
        _UP.format(sql="INSERT INTO things SELECT current_setting('lock_timeout');")
    )
    second = await migrations.migrate(settings, owner_dsn=owner_dsn)
    assert second.migrations["authz"] == 1
    rows = await _fetch(settings, owner_dsn, "SELECT name FROM authz.things")
    assert [row["name"] for row in rows] == ["one", "4s"]
    rows = await _fetch(
        settings, owner_dsn, "SELECT tableowner FROM pg_tables WHERE schemaname = 'authz'"
    )
    assert {row["tableowner"] for row in rows} == {"holdfast_authz"}

    async def refuse(*_: object, **__: object) -> None:
        pytest.fail("dbmate was started")

    monkeypatch.setattr(migrations, "_dbmate", refuse)
    third = await migrations.migrate(settings, owner_dsn=owner_dsn)
    assert third.migrations == dict.fromkeys(migrations.SERVICES, 0)


async def test_parallel_starts_apply_once(
    settings: StackSettings, owner_dsn: str, folder: Path
) -> None:
    """Goal: several supervisors on one server: one works, the others wait and find it done."""
    (folder / "0001_create_things.sql").write_text(
        _UP.format(sql="CREATE TABLE things (name text); SELECT pg_sleep(0.2);")
    )
    applied = await asyncio.gather(
        *(migrations.migrate(settings, owner_dsn=owner_dsn) for _ in range(3))
    )
    assert sorted(one.migrations["authz"] for one in applied) == [0, 0, 1]


async def test_a_failing_migration_is_shown_and_rolled_back(
    settings: StackSettings, owner_dsn: str, folder: Path
) -> None:
    """Goal: the error names service and cause; nothing of the file stays; no password is shown."""
    (folder / "0001_create_things.sql").write_text(
        _UP.format(sql="CREATE TABLE things (name text); SELECT nonsense;")
    )
    with pytest.raises(migrations.MigrationError, match="migrations of authz failed") as failed:
        await migrations.migrate(settings, owner_dsn=owner_dsn)
    assert "nonsense" in str(failed.value)
    assert settings.secret("postgres-authz") not in str(failed.value)
    assert await _fetch(settings, owner_dsn, "SELECT to_regclass('authz.things') AS t") == [(None,)]


async def test_a_changed_secret_reaches_the_role(
    settings: StackSettings, owner_dsn: str, folder: Path, tmp_path: Path
) -> None:
    """Goal: a replaced secret file is the role's password after the next start.

    The shared server gets its own password back at the end.
    """
    home = tmp_path / "home"
    (home / "secrets").mkdir(parents=True)
    for service in migrations.SERVICES:
        name = f"postgres-{service}"
        (home / "secrets" / name).write_text(settings.secret(name))
    (home / "secrets" / "postgres-authz").write_text("another-password")
    changed = settings.model_copy(update={"home": home})
    await migrations.migrate(changed, owner_dsn=owner_dsn)
    assert await _fetch(changed, owner_dsn, "SELECT 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _fetch(settings, owner_dsn, "SELECT 1")
    await migrations.migrate(settings, owner_dsn=owner_dsn)
    assert await _fetch(settings, owner_dsn, "SELECT 1")


async def test_others_are_kept_out(settings: StackSettings, owner_dsn: str, folder: Path) -> None:
    """Goal: a role that is not ours cannot even connect, to the database and to a clone of it."""
    await migrations.migrate(settings, owner_dsn=owner_dsn)
    await migrations.clone_database(owner_dsn, name="fresh_clone")
    owner = await asyncpg.connect(owner_dsn)
    try:
        await owner.execute("CREATE ROLE stranger LOGIN PASSWORD 'x'")
        for database in ("fresh", "fresh_clone"):
            url = dsn.with_login(
                dsn.with_database(owner_dsn, database), user="stranger", password="x"
            )
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(url)
    finally:
        await owner.execute("DROP ROLE stranger")
        await owner.close()
        await migrations.drop_database(owner_dsn, name="fresh_clone")
