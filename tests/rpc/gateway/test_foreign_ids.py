"""Every method that managers, cardholders or merchants may call, about something of somebody else.
API keys, which only merchants have, are in test_api_keys.py.
"""

from __future__ import annotations

from typing import Any

import grpc

from runtime.access import OWNING_ROLES
from tests.accounts_mesh import call, refused
from tests.gateway_mesh import GatewayMesh
from tests.policies import about_owners, fields_of, filled, stub_of

STRANGER = "usr_0d" + "6" * 32
#: About the caller, whose name is in the token: there is no id to put another's in.
ABOUT_THE_CALLER = {
    "EnrollSecondFactor",
    "ConfirmSecondFactor",
    "VerifySecondFactor",
    "RemoveSecondFactor",
    "LinkOidcIdentity",
    "ListOidcIdentities",
    "UnlinkOidcIdentity",
    "Logout",
    "ChangePassword",
    "ListSessions",
}


async def test_foreign_things_are_not_there(mesh: GatewayMesh) -> None:
    await mesh.register()
    session = (await mesh.login()).session
    things = {"session_id": session.id, "user_id": session.user_id}
    for policy in about_owners("gateway"):
        name = policy.path.rpartition("/")[2]
        assert fields_of(policy).isdisjoint(things) == (name in ABOUT_THE_CALLER), name
        if name in ABOUT_THE_CALLER:
            continue
        request = filled(policy, things)
        for role in sorted(policy.roles & (OWNING_ROLES | {"merchant"})):
            stranger: dict[str, Any] = {
                "principal": ("x-auth-subject", STRANGER),
                "metadata": (("x-auth-roles", role), ("x-auth-session", "ses_0d" + "8" * 32)),
            }
            if name == "RevokeSession":
                # An ended session is forgotten, and ending it again is no error: nor is this.
                await call(stub_of(mesh.channel, policy), request, **stranger)
                continue
            error = await refused(stub_of(mesh.channel, policy), request, **stranger)
            assert error.code is grpc.StatusCode.NOT_FOUND, (name, role, error)
    assert await mesh.check.lives(session.id, mutates=True)
