"""What the authorizer refuses to whoever administers it has an entry of the audit log. What is
refused to networks and merchants has none, nor has what is done: the journal says that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.type.v1.money_pb2 import Money
from runtime.audit.log import seal
from runtime.audit.verify import verify
from tests.authz_checks import UNKNOWN_AUTHORIZATION, answered, approved, refused
from tests.authz_mesh import (
    ACCOUNTS,
    ADMIN,
    MERCHANT,
    NETWORK,
    AuthzMesh,
    capture_of,
    purchase,
)
from tests.authz_messages import expiry_of, forced
from tests.databases import Database

KEY = b"a key of the tests"
Entries = Callable[[], Awaitable[list[Any]]]


@pytest.fixture
async def entries(mesh: AuthzMesh) -> Entries:
    """Reads what was added to the audit log since the test began."""
    last = await mesh.ledger.fetchval("SELECT coalesce(max(id), 0) FROM audit.entry")

    async def read() -> list[Any]:
        found: list[Any] = await mesh.ledger.fetch(
            "SELECT * FROM audit.entry WHERE id > $1 ORDER BY id", last
        )
        return found

    return read


def applying(account_id: str, **fields: Any) -> projection.ApplyAccountRequest:
    good: dict[str, Any] = {
        "version": 1,
        "account_id": account_id,
        "owner_id": f"usr_0a{'0' * 32}",
        "programme_id": "prog_standard",
        "state": projection.ACCOUNT_STATE_OPEN,
        "credit_limit": Money(currency_code="USD", amount_minor=100),
    }
    return projection.ApplyAccountRequest(**(good | fields))


async def test_refusals_of_administrators_and_services_are_recorded(
    mesh: AuthzMesh, entries: Entries
) -> None:
    await refused(
        mesh.authorization.ExpireAuthorization, expiry_of(UNKNOWN_AUTHORIZATION), metadata=ADMIN
    )
    await refused(
        mesh.authorization.CaptureAuthorization,
        capture_of(UNKNOWN_AUTHORIZATION, 10, "by-hand"),
        metadata=(*ADMIN, ("x-request-id", "trace-1")),
    )
    broken = applying(mesh.ids.new("acct", 10), version=0)
    await refused(mesh.projection.ApplyAccount, broken, metadata=ACCOUNTS)
    # Around Envoy: a network where services call, and nobody at all.
    await refused(mesh.projection.ApplyAccount, broken, metadata=(("x-auth-roles", "auditor"),))
    found = await entries()
    assert [(one["method"].rpartition("/")[2], one["code"]) for one in found] == [
        ("ExpireAuthorization", "NOT_FOUND"),
        ("CaptureAuthorization", "NOT_FOUND"),
        ("ApplyAccount", "INVALID_ARGUMENT"),
        ("ApplyAccount", "UNAUTHENTICATED"),
    ]
    by_hand, nobody = found[1], found[3]
    assert (by_hand["actor"], list(by_hand["roles"])) == ("usr_admin", ["admin"])
    assert (by_hand["request_id"], by_hand["trace_id"]) == ("by-hand", "trace-1")
    assert by_hand["targets"] == [UNKNOWN_AUTHORIZATION]
    assert by_hand["reason"] == "AUTHORIZATION_NOT_FOUND"
    assert nobody["actor"] == ""


async def test_movements_leave_no_entry(mesh: AuthzMesh, entries: Entries) -> None:
    """Nor do questions that accounts asks until they are answered."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 1_000)
    await answered(mesh.authorization.ExpireAuthorization, expiry_of(held), metadata=ADMIN)
    for caller in (NETWORK, MERCHANT):
        unknown = capture_of(UNKNOWN_AUTHORIZATION, 10)
        await refused(mesh.authorization.CaptureAuthorization, unknown, metadata=caller)
        await refused(mesh.authorization.Authorize, purchase("card_1", 10), metadata=caller)
    await mesh.authorization.ForcePost(forced(card, 100), metadata=ADMIN)
    owing = applying(account, version=2, state=projection.ACCOUNT_STATE_CLOSED)
    error = await refused(mesh.projection.ApplyAccount, owing, metadata=ACCOUNTS)
    assert error.code.name == "FAILED_PRECONDITION"
    assert await entries() == []


async def test_the_settlers_login_seals_them(
    mesh: AuthzMesh, entries: Entries, ledger: Database
) -> None:
    unknown = expiry_of(UNKNOWN_AUTHORIZATION)
    await refused(mesh.authorization.ExpireAuthorization, unknown, metadata=ADMIN)
    assert len(await entries()) == 1
    while await seal(mesh.ledger, KEY):
        pass
    reader = await asyncpg.connect(ledger.dsn("gateway"))
    try:
        (chain,) = [one for one in await verify(reader, key=KEY) if one.service == "authz"]
        assert (chain.fault, chain.waiting) == (None, 0)
        assert chain.links >= 1
    finally:
        await reader.close()
    for change in ("UPDATE audit.entry SET actor = 'x'", "DELETE FROM audit.entry"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await mesh.ledger.execute(change)
