"""Brings a PostgreSQL database to this version: database, roles, schemas, then each service's SQL.

Every service owns one schema and logs in as one role, `holdfast_<service>`. Its migrations lie in
`<service>/sql/migrations/NNNN_verb_noun.sql` and are applied by dbmate as that role, in a table of
their own. When nothing is to be done, no dbmate is started.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from runtime import dsn
from runtime.secrets import secret_text
from runtime.settings import Settings

#: Services with a role, a schema and a secret `postgres-<service>`. Nobody runs as `audit`: it owns
#: what the others may add to and not change.
SERVICES = ("authz", "accounts", "payments", "gateway", "notify", "stats", "vault", "audit")
#: Where the migrations of those lie that are a part of something else.
_PARTS = {"vault": "accounts/vault", "audit": "runtime/audit"}

_CHECKOUT = Path(__file__).resolve().parents[1]
_DATABASE_DEFAULT = "holdfast"
_MAINTENANCE = "postgres"
_CONNECT_TIMEOUT_S = 10.0
#: A migration waits this long for a lock, and one statement of it may take this long.
LOCK_TIMEOUT_MS = 4_000
STATEMENT_TIMEOUT_MS = 30_000
_DBMATE_TIMEOUT_S = 300.0
#: PostgreSQL's own default; the verifier is made here, so that no password reaches a server log.
_SCRAM_ITERATIONS = 4096


class MigrationError(Exception):
    """The database could not be brought to this version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What `migrate` did: number of migrations applied by service."""

    migrations: dict[str, int]


def role_of(service: str) -> str:
    """The role that a service logs in as."""
    return f"holdfast_{service}"


def folder_of(service: str) -> Path:
    """The folder of a service's migrations; it may not exist."""
    return _CHECKOUT / _PARTS.get(service, service) / "sql" / "migrations"


def service_dsn(settings: Settings, service: str, *, owner_dsn: str) -> str:
    """URL of the owner's database, logged in as the service's role."""
    return dsn.with_login(
        owner_dsn, user=role_of(service), password=secret_text(settings, f"postgres-{service}")
    )


async def migrate(
    settings: Settings, *, owner_dsn: str, services: Sequence[str] = SERVICES
) -> Applied:
    """Makes database, roles and schemas where missing, then applies what is pending.

    `owner_dsn` belongs to a superuser, or to a role that may create databases and roles. Safe to
    call from several processes at once: one works, the others wait.
    """
    database = dsn.database_of(owner_dsn) or _DATABASE_DEFAULT
    owner_dsn = dsn.with_database(owner_dsn, database)
    maintenance = await _connect(dsn.with_database(owner_dsn, _MAINTENANCE))
    try:
        await maintenance.execute("SELECT pg_advisory_lock(hashtext('holdfast.migrate'))")
        await _ensure_database(maintenance, database)
        for service in services:
            await _ensure_role(maintenance, service, settings=settings, owner_dsn=owner_dsn)
        owner = await _connect(owner_dsn)
        try:
            await _ensure_schemas(owner, database=database, services=services)
        finally:
            await owner.close()
        applied = {
            service: await _apply(
                service, service_dsn=service_dsn(settings, service, owner_dsn=owner_dsn)
            )
            for service in services
        }
    finally:
        await maintenance.close()
    return Applied(migrations=applied)


async def clone_database(owner_dsn: str, *, name: str, services: Sequence[str] = SERVICES) -> None:
    """Copies the owner's database under a new name. Nobody may be connected to it. For tests."""
    template = dsn.database_of(owner_dsn)
    connection = await _connect(dsn.with_database(owner_dsn, _MAINTENANCE))
    try:
        await connection.execute(f"CREATE DATABASE {_quote(name)} TEMPLATE {_quote(template)}")
        # Rights on a database belong to the server and are not copied.
        await _open_database(connection, database=name, services=services)
    finally:
        await connection.close()


async def drop_database(owner_dsn: str, *, name: str) -> None:
    """Drops a database and the connections to it."""
    connection = await _connect(dsn.with_database(owner_dsn, _MAINTENANCE))
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {_quote(name)} WITH (FORCE)")
    finally:
        await connection.close()


async def _ensure_database(connection: Any, database: str) -> None:
    if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
        return
    await connection.execute(
        f"CREATE DATABASE {_quote(database)} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
    )


async def _ensure_role(
    connection: Any, service: str, *, settings: Settings, owner_dsn: str
) -> None:
    """Creates the role, or gives it the secret's password if it does not let us in."""
    role = role_of(service)
    verifier = scram_verifier(secret_text(settings, f"postgres-{service}"))
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"CREATE ROLE {_quote(role)} LOGIN PASSWORD '{verifier}'")
        await connection.execute(f"ALTER ROLE {_quote(role)} SET search_path = {_quote(service)}")
        # An owner that is no superuser must belong to the role to give it a schema.
        await connection.execute(f"GRANT {_quote(role)} TO CURRENT_USER")
        return
    login = service_dsn(settings, service, owner_dsn=owner_dsn)
    try:
        probe = await _connect(dsn.with_database(login, _MAINTENANCE))
    except asyncpg.InvalidPasswordError:
        await connection.execute(f"ALTER ROLE {_quote(role)} PASSWORD '{verifier}'")
        return
    await probe.close()


async def _ensure_schemas(owner: Any, *, database: str, services: Sequence[str]) -> None:
    rows = await owner.fetch("SELECT nspname FROM pg_namespace")
    present = {row["nspname"] for row in rows}
    missing = [service for service in services if service not in present]
    if not missing:
        return
    async with owner.transaction():
        await owner.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        await _open_database(owner, database=database, services=services)
        for service in missing:
            await owner.execute(
                f"CREATE SCHEMA {_quote(service)} AUTHORIZATION {_quote(role_of(service))}"
            )


async def _open_database(connection: Any, *, database: str, services: Sequence[str]) -> None:
    """Lets the services' roles in, and nobody else."""
    name = _quote(database)
    roles = ", ".join(_quote(role_of(service)) for service in services)
    await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    await connection.execute(f"GRANT CONNECT ON DATABASE {name} TO {roles}")


async def _apply(service: str, *, service_dsn: str) -> int:
    """Applies a service's pending migrations; returns their number."""
    files = {path.name.partition("_")[0] for path in folder_of(service).glob("*.sql")}
    if not files:
        return 0
    connection = await _connect(service_dsn)
    try:
        exists = await connection.fetchval(
            "SELECT to_regclass($1) IS NOT NULL", f"{service}.schema_migrations"
        )
        rows = await connection.fetch("SELECT version FROM schema_migrations") if exists else []
        tls = await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    finally:
        await connection.close()
    pending = files - {row["version"] for row in rows}
    if pending:
        await _dbmate(service, service_dsn=service_dsn, tls=bool(tls))
    return len(pending)


async def _dbmate(service: str, *, service_dsn: str, tls: bool) -> None:
    parameters = {
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    }
    if "sslmode" not in dsn.parameters_of(service_dsn):
        # Over TCP dbmate demands TLS where asyncpg only prefers it: do as asyncpg did.
        parameters["sslmode"] = "require" if tls else "disable"
    url = dsn.with_parameters(service_dsn, **parameters)
    program = Path(sys.executable).with_name("dbmate")
    try:
        process = await asyncio.create_subprocess_exec(
            str(program),
            *("--env-file", os.devnull),
            *("--migrations-dir", str(folder_of(service))),
            *("--migrations-table", f"{service}.schema_migrations"),
            *("--no-dump-schema", "--migration-lock", "migrate", "--strict"),
            # The URL holds a password: in the environment, not in the argument list.
            env={"DATABASE_URL": url.replace("postgresql://", "postgres://", 1)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except FileNotFoundError:
        raise MigrationError(f"{program} is missing: run `make setup` again") from None
    try:
        async with asyncio.timeout(_DBMATE_TIMEOUT_S):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise MigrationError(
            f"migrations of {service} failed:\n{output.decode(errors='replace').strip()}"
        )


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores of a password (RFC 5803); ASCII passwords only."""
    assert password.isascii(), "secrets are made of URL-safe characters"
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


async def _connect(url: str) -> Any:
    return await asyncpg.connect(url, timeout=_CONNECT_TIMEOUT_S)


def _quote(name: str) -> str:
    """An SQL identifier; the names are our own."""
    assert name.replace("_", "").replace("-", "").isalnum(), name
    return f'"{name}"'
