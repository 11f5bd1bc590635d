"""Every method that managers, cardholders or merchants may call, about something of somebody
else.
"""

from __future__ import annotations

from holdfast.type.v1.money_pb2 import Money
from runtime.access import OWNING_ROLES
from runtime.channel import unix_channel
from tests.authz_checks import answered, approved, nothing_written, refused
from tests.authz_mesh import MERCHANT, AuthzMesh, purchase
from tests.policies import about_owners, fields_of, filled, for_merchants, stub_of

STRANGER, ANNA = "usr_0d" + "6" * 32, "usr_0a" + "1" * 32
OTHER_MERCHANT = (("x-auth-subject", "mer_other"), ("x-auth-roles", "merchant"))
#: About a card, which is shown to any merchant: what comes of it belongs to who asked.
ABOUT_A_CARD = {"Authorize"}


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


async def test_another_merchants_things_are_not_there(mesh: AuthzMesh) -> None:
    """Nor in any list; and nothing is written."""
    card = await mesh.card()
    first, _ = await answered(
        mesh.authorization.Authorize, purchase(card, 1_000), metadata=MERCHANT
    )
    await mesh.settle()
    things = {
        "authorization_id": first.authorization_id,
        "amount": Money(currency_code="USD", amount_minor=10),
    }
    async with unix_channel(mesh.settings.socket) as channel, nothing_written(mesh.money):
        for policy in for_merchants("authz"):
            name = policy.path.rpartition("/")[2]
            if name in ABOUT_A_CARD:
                continue
            method = stub_of(channel, policy)
            if name.startswith("List"):
                assert not fields_of(policy).isdisjoint({"card_id"}), name
                request = filled(policy, {"card_id": card})
                mine = await method(request, metadata=MERCHANT)
                assert len(mine.authorizations) == 1, name
                theirs = await method(request, metadata=OTHER_MERCHANT)
                assert len(theirs.authorizations) == 0, name
                continue
            assert "authorization_id" in fields_of(policy), name
            error = await refused(method, filled(policy, things), metadata=OTHER_MERCHANT)
            assert error.code.name == "NOT_FOUND", (name, error)
