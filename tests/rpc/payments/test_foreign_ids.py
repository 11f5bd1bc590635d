"""Every method that managers or cardholders may call, about something of somebody else."""

from __future__ import annotations

import grpc

from holdfast.payments.v1.payment_pb2 import Payment
from runtime.access import OWNING_ROLES
from tests.payments_mesh import PaymentsMesh, call, refused
from tests.policies import about_owners, fields_of, filled, stub_of
from tests.rpc.payments.test_refunds import paying_back

STRANGER = ("x-auth-subject", "usr_0d" + "6" * 32)


async def test_foreign_things_are_not_there(mesh: PaymentsMesh) -> None:
    """Whatever a stranger names; and nothing is paid, changed or shown."""
    account_id = await mesh.open_account(owed_minor=500)
    source = await mesh.source(account_id)
    made = await mesh.pay(account_id, 1_000)
    await mesh.work()
    paid_back = await call(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id))
    things = {
        "account_id": account_id,
        "payment_id": made.id,
        "funding_source_id": source,
        "refund_id": paid_back.refunds[0].id,
    }
    for policy in about_owners("payments"):
        assert not fields_of(policy).isdisjoint(things), policy.path
        request = filled(policy, things)
        for role in sorted(policy.roles & OWNING_ROLES):
            error = await refused(
                stub_of(mesh.channel, policy),
                request,
                principal=STRANGER,
                metadata=(("x-auth-roles", role), ("x-auth-company", "co_0d" + "8" * 32)),
            )
            assert error.code is grpc.StatusCode.NOT_FOUND, (policy.path, role, error)
    assert [one.id for one in await mesh.listed(account_id)] == [made.id]
    shown = await mesh.shown(made.id)
    assert (shown.state, shown.version) == (Payment.STATE_SUCCEEDED, 5)
