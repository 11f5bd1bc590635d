"""Every method that managers or cardholders may call, about something of somebody else."""

from __future__ import annotations

from typing import Any

import grpc

from holdfast.payments.v1.payment_pb2 import PAYMENT_BASIS_MINIMUM, Payment
from runtime.access import OWNING_ROLES
from tests.payments_mesh import PaymentsMesh, call, refused, usd
from tests.policies import about_owners, fields_of, filled, stub_of
from tests.rpc.payments.test_refunds import paying_back

STRANGER = ("x-auth-subject", "usr_0d" + "6" * 32)
#: Methods that name something besides the account, and what else they need to be valid.
BESIDES_THE_ACCOUNT: dict[str, dict[str, Any]] = {
    "MakePayment": {"amount": usd(100)},
    "SchedulePayment": {"amount": usd(100), "date": "2027-02-01"},
    "SetAutopay": {"enabled": True, "basis": PAYMENT_BASIS_MINIMUM},
    "RefundCreditBalance": {"amount": usd(100)},
}


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


async def test_nothing_of_others_serves_ones_own_account(mesh: PaymentsMesh) -> None:
    """Each method that names two things, of which the account is the caller's: what is another's is
    not found, and the same call with one's own goes through.
    """

    async def one_of_each(owner_id: str) -> dict[str, str]:
        account_id = await mesh.open_account(owner_id=owner_id)
        source = await mesh.source(account_id)
        made = await mesh.pay(account_id, 1_000)
        await mesh.work()
        return {"account_id": account_id, "funding_source_id": source, "payment_id": made.id}

    theirs, own = await one_of_each("usr_0a" + "5" * 32), await one_of_each(STRANGER[1])
    stranger: dict[str, Any] = {
        "principal": STRANGER,
        "metadata": (("x-auth-roles", "cardholder"),),
    }
    found = {
        policy.path.rpartition("/")[2]: policy
        for policy in about_owners("payments")
        if "account_id" in fields_of(policy) and len(fields_of(policy) & own.keys()) > 1
    }
    assert found.keys() == BESIDES_THE_ACCOUNT.keys()
    for name, policy in found.items():
        method, more = stub_of(mesh.channel, policy), BESIDES_THE_ACCOUNT[name]
        for field in fields_of(policy) & own.keys() - {"account_id"}:
            error = await refused(
                method, filled(policy, {**own, field: theirs[field]}, **more), **stranger
            )
            assert error.code is grpc.StatusCode.NOT_FOUND, (name, field, error)
        await call(method, filled(policy, own, **more), **stranger)
