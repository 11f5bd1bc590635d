"""Why accounts are suspended: several causes, each ended by whoever may, and listed for staff."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from accounts.suspending import lift, suspend
from accounts.suspension import Cause
from holdfast.accounts.v1 import account_lifecycle_pb2 as pb
from holdfast.accounts.v1.account_pb2 import Account
from tests.accounts_mesh import UNKNOWN_ACCOUNT, AccountsMesh, call, refused
from tests.accounts_people import ANNA, AUDITOR, STAFF, as_user

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def _cause(name: str) -> pb.SuspensionCause.ValueType:
    return pb.SuspensionCause.Value(f"SUSPENSION_CAUSE_{name}")


def _suspending(mesh: AccountsMesh, account_id: str, cause: str) -> pb.SuspendAccountRequest:
    return pb.SuspendAccountRequest(
        request_id=mesh.request_id(), account_id=account_id, cause=_cause(cause)
    )


def _reopening(mesh: AccountsMesh, account_id: str, cause: str) -> pb.ReopenAccountRequest:
    return pb.ReopenAccountRequest(
        request_id=mesh.request_id(), account_id=account_id, cause=_cause(cause)
    )


async def _suspend(mesh: AccountsMesh, account_id: str, cause: str) -> int:
    request = _suspending(mesh, account_id, cause)
    return int((await call(mesh.accounts.SuspendAccount, request, **STAFF)).account.state)


async def _reopen(mesh: AccountsMesh, account_id: str, cause: str) -> int:
    request = _reopening(mesh, account_id, cause)
    return int((await call(mesh.accounts.ReopenAccount, request, **STAFF)).account.state)


async def _listed(mesh: AccountsMesh, account_id: str) -> list[pb.AccountSuspension]:
    request = pb.ListAccountSuspensionsRequest(account_id=account_id)
    answer = await call(mesh.accounts.ListAccountSuspensions, request, **AUDITOR)
    return list(answer.suspensions)


async def test_the_last_cause_that_ends_opens_the_account(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    for name in ("FRAUD_SUSPECTED", "BANKRUPTCY", "FRAUD_SUSPECTED"):
        assert await _suspend(mesh, account.id, name) == Account.STATE_SUSPENDED
    error = await refused(
        mesh.accounts.ReopenAccount, _reopening(mesh, account.id, "UNSPECIFIED"), **STAFF
    )
    assert (error.code, error.reason) == (PRECONDITION, "SUSPENSION_CAUSE_REQUIRED")
    assert error.metadata["causes"] == "FRAUD_SUSPECTED,BANKRUPTCY"
    assert await _reopen(mesh, account.id, "FRAUD_SUSPECTED") == Account.STATE_SUSPENDED
    assert await _reopen(mesh, account.id, "SANCTIONS") == Account.STATE_SUSPENDED
    error = await refused(
        mesh.accounts.ReopenAccount, _reopening(mesh, account.id, "UNSPECIFIED"), **STAFF
    )
    assert error.reason == "SUSPENSION_CAUSE_REQUIRED", "it ends only by name"
    assert await _reopen(mesh, account.id, "BANKRUPTCY") == Account.STATE_OPEN
    assert await _reopen(mesh, account.id, "UNSPECIFIED") == Account.STATE_OPEN
    found = await _listed(mesh, account.id)
    assert [one.cause for one in found] == [_cause("BANKRUPTCY"), _cause("FRAUD_SUSPECTED")]
    assert all(one.HasField("end_time") and one.principal for one in found)


async def test_what_billing_has_found_billing_ends(mesh: AccountsMesh) -> None:
    """Whatever else the account is suspended for meanwhile."""
    account = await mesh.open_account()

    async def billing(*, ends: bool) -> int:
        change = lift if ends else suspend
        now_ms = mesh.clock.now_ms()
        async with mesh.store.transaction(now_ms=now_ms) as transaction:
            found = await transaction.account(account.id)
            assert found is not None
            found = await change(transaction, found, Cause.PAST_DUE, by_billing=True, now_ms=now_ms)
        return Account.State.Value(f"STATE_{found.state}")

    assert await billing(ends=False) == Account.STATE_DELINQUENT
    for name in ("PAST_DUE", "UNSPECIFIED"):
        request = _reopening(mesh, account.id, name)
        error = await refused(mesh.accounts.ReopenAccount, request, **STAFF)
        assert (error.code, error.reason) == (PRECONDITION, "ACCOUNT_PAST_DUE")
    assert await _suspend(mesh, account.id, "LEGAL_HOLD") == Account.STATE_SUSPENDED
    assert await billing(ends=True) == Account.STATE_SUSPENDED
    assert await billing(ends=False) == Account.STATE_SUSPENDED
    assert await _reopen(mesh, account.id, "LEGAL_HOLD") == Account.STATE_DELINQUENT
    assert await billing(ends=True) == Account.STATE_OPEN
    assert [one.by_billing for one in await _listed(mesh, account.id)] == [True, False, True]


@pytest.mark.parametrize(("state", "cause"), [("SUSPENDED", "ISSUER"), ("DELINQUENT", "PAST_DUE")])
async def test_states_from_before_causes_were_written(
    mesh: AccountsMesh, state: str, cause: str
) -> None:
    """Also where rows say otherwise: the version before changed the state without them."""
    account = await mesh.open_account()
    await _suspend(mesh, account.id, "SANCTIONS")
    await mesh.set_account_state(account.id, "OPEN")
    await mesh.set_account_state(account.id, state)
    if state == "DELINQUENT":
        assert await _suspend(mesh, account.id, "DECEASED") == Account.STATE_SUSPENDED
        assert await _reopen(mesh, account.id, "DECEASED") == Account.STATE_DELINQUENT
        lasting = [one.cause for one in await _listed(mesh, account.id) if not one.end_principal]
        assert lasting == [_cause(cause)]
    elif state == "SUSPENDED":
        error = await refused(
            mesh.accounts.ReopenAccount, _reopening(mesh, account.id, "UNSPECIFIED"), **STAFF
        )
        assert error.reason == "SUSPENSION_CAUSE_REQUIRED", "the row fits the state: it counts"
        assert await _reopen(mesh, account.id, "SANCTIONS") == Account.STATE_OPEN


async def test_only_staff_see_why(mesh: AccountsMesh) -> None:
    account = await mesh.open_account(ANNA)
    request = pb.ListAccountSuspensionsRequest(account_id=account.id)
    assert await _listed(mesh, account.id) == []
    error = await refused(mesh.accounts.ListAccountSuspensions, request, **as_user(ANNA))
    assert error.code == grpc.StatusCode.PERMISSION_DENIED
    unknown = pb.ListAccountSuspensionsRequest(account_id=UNKNOWN_ACCOUNT)
    error = await refused(mesh.accounts.ListAccountSuspensions, unknown, **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
    wrong = pb.ListAccountSuspensionsRequest(account_id="x", page_token="y")
    error = await refused(mesh.accounts.ListAccountSuspensions, wrong, **STAFF)
    assert error.fields == ["account_id", "page_token"]
    fields: dict[str, Any] = {"request_id": "r", "account_id": account.id, "cause": 77}
    suspending = pb.SuspendAccountRequest(**fields)
    error = await refused(mesh.accounts.SuspendAccount, suspending, **STAFF)
    assert error.fields == ["cause"]
