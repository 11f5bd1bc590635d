"""Every method that managers or cardholders may call, about something of somebody else."""

from __future__ import annotations

import grpc
import pytest

from runtime.access import OWNING_ROLES
from tests.accounts_mesh import refusal_of
from tests.notify_mesh import ACCOUNT, COMPANY, USER, NotifyMesh
from tests.policies import about_owners, fields_of, filled, stub_of

STRANGER = "usr_0d" + "6" * 32


async def test_foreign_things_are_not_there(mesh: NotifyMesh) -> None:
    """Whatever a stranger names; lists of events have nothing of others."""
    made = (await mesh.endpoint("https://example.com/hook")).webhook_endpoint
    mesh.freeze()
    await mesh.caught_up()
    event_id = await mesh.pool.fetchval("SELECT id FROM event LIMIT 1")
    things = {
        "account_id": ACCOUNT,
        "endpoint_id": made.id,
        "event_id": event_id,
        "owner_id": COMPANY,
        "user_id": USER,
    }
    for policy in about_owners("notify"):
        name = policy.path.rpartition("/")[2]
        assert not fields_of(policy).isdisjoint(things), name
        request, method = filled(policy, things), stub_of(mesh.channel, policy)
        for role in sorted(policy.roles & OWNING_ROLES):
            caller = (
                ("x-auth-subject", STRANGER),
                ("x-auth-roles", role),
                ("x-auth-company", "co_0d" + "8" * 32),
            )
            if name == "ListEvents":
                assert not (await method(request, metadata=caller)).events, role
                continue
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await method(request, metadata=caller)
            refusal = refusal_of(error.value)
            assert refusal.code is grpc.StatusCode.NOT_FOUND, (name, role, refusal)
    row = await mesh.pool.fetchrow("SELECT url, state FROM webhook_endpoint WHERE id = $1", made.id)
    assert (row["url"], row["state"]) == (made.url, "ACTIVE")
