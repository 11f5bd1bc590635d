"""A change and its entry in the audit log are one transaction, whatever becomes of the call.

That every other change has its entry in its transaction, too, is what the fixture `mesh` checks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from holdfast.gateway.v1 import session_service_pb2 as pb
from tests.accounts_mesh import call, call_replayed, refused
from tests.databases import Database
from tests.gateway_mesh import ADMIN, ANONYMOUS, COMPANY, EMAIL, PASSWORD, GatewayMesh, whose

#: How long a call that was given up may take to leave its entry.
TIMEOUT_S = 5.0
#: How long the cache answers nobody.
PAUSE_MS = 3_000
NOBODY = (("x-auth-roles", "cardholder"),)


@pytest.fixture
async def log(mesh: GatewayMesh, shared_gateway: Database) -> AsyncIterator[Any]:
    """The audit log, empty, as the database's owner sees it."""
    del mesh
    connection = await asyncpg.connect(shared_gateway.owner_dsn)
    await connection.execute("TRUNCATE audit.entry, audit.link, audit.unsealed")
    yield connection
    await connection.close()


async def _entries(log: Any, method: str) -> list[Any]:
    rows: list[Any] = await log.fetch(
        "SELECT * FROM audit.entry WHERE method LIKE '%/' || $1 ORDER BY id", method
    )
    return rows


async def _ended(log: Any, method: str, code: str) -> list[Any]:
    """What is recorded of a method once a call of it has ended so."""
    until = asyncio.get_running_loop().time() + TIMEOUT_S
    rows = await _entries(log, method)
    while code not in [row["code"] for row in rows]:
        assert asyncio.get_running_loop().time() < until, rows
        await asyncio.sleep(0.02)
        rows = await _entries(log, method)
    return rows


def _grant(user_id: str) -> pb.SetUserAccessRequest:
    return pb.SetUserAccessRequest(
        request_id="grant-1", user_id=user_id, roles=["manager"], company_id=COMPANY
    )


async def test_what_somebody_may_do_is_recorded_before_and_after(
    mesh: GatewayMesh, log: Any
) -> None:
    """The change, and its repetition, which changes nothing."""
    user_id = await mesh.register()
    await call(mesh.stub.SetUserAccess, _grant(user_id), principal=ADMIN)
    _, replayed = await call_replayed(mesh.stub.SetUserAccess, _grant(user_id), principal=ADMIN)
    assert replayed
    [made] = await _entries(log, "Register")
    assert made["before"] is None
    assert json.loads(made["after"]) == {"user_id": user_id, "roles": ["cardholder"]}
    granted, repeated = await _entries(log, "SetUserAccess")
    assert (granted["actor"], granted["code"], granted["reason"]) == ("operator", "OK", "")
    assert json.loads(granted["before"]) == {"user_id": user_id, "roles": ["cardholder"]}
    after = {"user_id": user_id, "roles": ["manager"], "company_id": COMPANY}
    assert json.loads(granted["after"]) == after
    assert (repeated["code"], repeated["reason"], repeated["after"]) == ("OK", "REPLAYED", None)


async def test_who_goes_away_after_the_commit_leaves_an_entry(
    mesh: GatewayMesh, log: Any, cache: Redis
) -> None:
    """An administrator grants a role and resets while the sessions are still being ended."""
    user_id = await mesh.register()
    await cache.execute_command("CLIENT", "PAUSE", PAUSE_MS, "ALL")  # type: ignore[no-untyped-call]
    metadata = (("x-auth-subject", "operator"), ("x-auth-roles", "admin"))
    running: Any = mesh.stub.SetUserAccess(_grant(user_id), metadata=metadata, timeout=10)
    await _ended(log, "SetUserAccess", "OK")
    assert not running.done()
    running.cancel()
    granted, left = await _ended(log, "SetUserAccess", "CANCELLED")
    assert (granted["actor"], granted["code"], left["code"]) == ("operator", "OK", "CANCELLED")
    assert json.loads(granted["after"])["roles"] == ["manager"]
    roles = await mesh.pool.fetchval("SELECT roles FROM credential WHERE user_id = $1", user_id)
    assert roles == ["manager"]


async def test_a_failure_after_the_commit_leaves_both(
    mesh: GatewayMesh, log: Any, cache: Redis
) -> None:
    """What was changed, and what was answered."""
    user_id = await mesh.register()
    await cache.set(f"sessions:{user_id}", "no list")
    answer = await refused(mesh.stub.SetUserAccess, _grant(user_id), principal=ADMIN)
    assert answer.code is grpc.StatusCode.INTERNAL
    granted, answered = await _entries(log, "SetUserAccess")
    assert (granted["code"], answered["code"]) == ("OK", "INTERNAL")


async def test_what_is_in_the_cache_only_leaves_an_entry_when_it_is_given_up(
    mesh: GatewayMesh, log: Any, cache: Redis
) -> None:
    """Logout has no transaction: nobody knows how far it went, but that it was begun and left."""
    await mesh.register()
    session = (await mesh.login()).session
    await cache.execute_command("CLIENT", "PAUSE", PAUSE_MS, "ALL")  # type: ignore[no-untyped-call]
    identity = whose(session)
    metadata = (identity["principal"], *identity["metadata"], *NOBODY)
    request = pb.LogoutRequest(request_id="out-1")
    running: Any = mesh.stub.Logout(request, metadata=metadata, timeout=10)
    await asyncio.sleep(0.3)
    running.cancel()
    left = await _ended(log, "Logout", "CANCELLED")
    assert [(row["code"], row["actor"]) for row in left] == [
        ("OK", session.user_id),
        ("CANCELLED", session.user_id),
    ]
    assert left[0]["reason"] == "WRITTEN_AHEAD"


async def test_who_may_not_is_recorded_by_the_service(mesh: GatewayMesh, log: Any) -> None:
    """The service asks for roles again, whatever Envoy let through: who tried has an entry."""
    user_id = await mesh.register()
    caller: dict[str, Any] = {"principal": ("x-auth-subject", user_id), "metadata": NOBODY}
    with capture_logs() as logs:
        refusal = await refused(mesh.stub.SetUserAccess, _grant(user_id), **caller)
    [warning] = [one for one in logs if one["event"] == "call_forbidden"]
    assert warning["log_level"] == "warning"
    assert refusal.code is grpc.StatusCode.PERMISSION_DENIED
    [entry] = await _entries(log, "SetUserAccess")
    assert (entry["actor"], entry["code"]) == (user_id, "PERMISSION_DENIED")
    assert user_id in entry["targets"]


async def test_no_password_is_recorded(mesh: GatewayMesh, log: Any) -> None:
    await mesh.register()
    session = (await mesh.login()).session
    request = pb.ChangePasswordRequest(
        request_id="change-1", password=PASSWORD, new_password="another correct horse"
    )
    await call(mesh.stub.ChangePassword, request, **whose(session))
    wrong = pb.LoginRequest(request_id="wrong-1", email=EMAIL, password=PASSWORD)
    await refused(mesh.stub.Login, wrong, principal=ANONYMOUS)
    [entry] = await _entries(log, "ChangePassword")
    assert (entry["actor"], entry["code"]) == (session.user_id, "OK")
    text = repr([dict(row) for row in await log.fetch("SELECT * FROM audit.entry")])
    assert "horse" not in text
    assert EMAIL not in text
