"""A backup of the database, restored where the key files are others, reveals nobody and nothing."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from accounts.person_keys import WRAPPING
from holdfast.accounts.v1 import application_service_pb2 as applications
from holdfast.accounts.v1 import user_export_pb2, user_search_pb2, vault_service_pb2
from holdfast.accounts.v1 import user_service_pb2 as users
from holdfast.accounts.v1.user_pb2 import VIEW_FULL, VIEW_UNSPECIFIED
from runtime import dsn, migrations
from runtime.devstack import binaries
from runtime.devstack.supervisor import Devstack
from tests import sweep
from tests.accounts_mesh import AccountsMesh, accounts_mesh, call, refused, short_folder
from tests.databases import Database
from tests.e2e.security.telling import EMAIL, Told

ADMIN = (("x-auth-roles", "admin"),)


async def _run(program: str, owner_dsn: str, *arguments: str) -> None:
    """A program of PostgreSQL's, logged in as the owner."""
    path = binaries.find().postgres_bin / program
    command = [str(path), "--dbname", owner_dsn, *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
async def dump(full_mesh: Devstack, told: Told, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole database as pg_dump writes it, after all was told."""
    del told
    path = tmp_path_factory.mktemp("backup") / "backup.sql"
    await _run("pg_dump", full_mesh.owner_dsn, "--file", str(path))
    return path


@pytest.fixture(scope="module")
async def restored(full_mesh: Devstack, dump: Path) -> AsyncIterator[Database]:
    """It, in a database of its own."""
    name = f"restored_{uuid.uuid4().hex[:8]}"
    owner_dsn = dsn.with_database(full_mesh.owner_dsn, name)
    maintenance = dsn.with_database(full_mesh.owner_dsn, "postgres")
    create = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
    await _run("psql", maintenance, "--command", create)
    await _run("psql", owner_dsn, "--set", "ON_ERROR_STOP=1", "--quiet", "--file", str(dump))
    url = dsn.with_database(full_mesh.settings.postgres_dsn or "", name)
    yield Database(
        name=name,
        owner_dsn=owner_dsn,
        settings=full_mesh.settings.model_copy(update={"postgres_dsn": url}),
    )
    await migrations.drop_database(full_mesh.owner_dsn, name=name)


@pytest.fixture
async def thieves(restored: Database) -> AsyncIterator[AccountsMesh]:
    """Accounts on the restored database, with secrets that are made anew."""
    with short_folder() as folder:
        async with accounts_mesh(restored, folder, relay=False) as running:
            yield running


def test_a_dump_holds_nothing_in_clear(full_mesh: Devstack, told: Told, dump: Path) -> None:
    places = {"the dump": dump.read_bytes()}
    assert told.user_id.encode() in places["the dump"], "it is the right one"
    needles = {**told.secret, **told.personal, **sweep.key_material(full_mesh)}
    assert not sweep.leaks(places, needles)
    assert not sweep.card_numbers(places)


async def test_a_backup_without_its_keys_shows_nobody(thieves: AccountsMesh, told: Told) -> None:
    """Neither people, nor applications, nor card numbers; and the error says which file is missing.
    Nobody is found by an address either.
    """
    mesh = thieves
    for view in (VIEW_UNSPECIFIED, VIEW_FULL):
        request = users.GetUserRequest(user_id=told.user_id, view=view)
        error = await refused(mesh.users.GetUser, request, metadata=ADMIN)
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "KEY_MISSING")
        assert error.metadata == {"secret": WRAPPING}
    export = user_export_pb2.ExportUserDataRequest(user_id=told.user_id)
    assert (
        await refused(mesh.users.ExportUserData, export, metadata=ADMIN)
    ).reason == "KEY_MISSING"
    application = applications.GetApplicationRequest(application_id=told.application_id)
    error = await refused(mesh.applications.GetApplication, application, metadata=ADMIN)
    assert error.reason == "KEY_MISSING"
    reveal = vault_service_pb2.RevealCardRequest(
        request_id="reveal", card_id=told.card_id, reason="a restored backup"
    )
    error = await refused(mesh.vaults.RevealCard, reveal, metadata=ADMIN)
    assert error.reason == "KEY_MISSING"
    search = user_search_pb2.SearchUsersRequest(email=EMAIL)
    assert not (await call(mesh.users.SearchUsers, search, metadata=ADMIN)).users
