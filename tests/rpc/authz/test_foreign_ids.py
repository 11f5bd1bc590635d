"""Every method that managers or cardholders may call, about something of somebody else."""

from __future__ import annotations

from runtime.access import OWNING_ROLES
from runtime.channel import unix_channel
from tests.authz_checks import approved, refused
from tests.authz_mesh import AuthzMesh
from tests.policies import about_owners, fields_of, filled, stub_of

STRANGER, ANNA = "usr_0d" + "6" * 32, "usr_0a" + "1" * 32


async def test_foreign_things_are_not_there(mesh: AuthzMesh) -> None:
    account = mesh.ids.new("acct", 10)
    await mesh.apply_account(account, owner_id=ANNA)
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 100)
    await mesh.settle()
    things = {"account_id": account, "card_id": card, "authorization_id": held}
    async with unix_channel(mesh.settings.socket) as channel:
        for policy in about_owners("authz"):
            assert not fields_of(policy).isdisjoint(things), policy.path
            request = filled(policy, things)
            for role in sorted(policy.roles & OWNING_ROLES):
                stranger = (
                    ("x-auth-subject", STRANGER),
                    ("x-auth-roles", role),
                    ("x-auth-company", "co_0d" + "8" * 32),
                )
                error = await refused(stub_of(channel, policy), request, metadata=stranger)
                assert error.code.name == "NOT_FOUND", (policy.path, role, error)
