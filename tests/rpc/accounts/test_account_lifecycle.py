"""SuspendAccount, ReopenAccount, CloseAccount."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import account_lifecycle_pb2 as pb
from holdfast.accounts.v1.account_pb2 import Account
from holdfast.accounts.v1.account_service_pb2 import GetAccountRequest
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.accounts_mesh import (
    OWNER,
    UNKNOWN_ACCOUNT,
    AccountsMesh,
    call,
    call_replayed,
    refused,
)

REQUESTS = {
    "SuspendAccount": pb.SuspendAccountRequest,
    "ReopenAccount": pb.ReopenAccountRequest,
    "CloseAccount": pb.CloseAccountRequest,
}


async def _do(mesh: AccountsMesh, method: str, account_id: str, **fields: Any) -> Account:
    request = REQUESTS[method](request_id=mesh.request_id(), account_id=account_id, **fields)
    answer = await call(getattr(mesh.accounts, method), request)
    account: Account = answer.account
    return account


async def test_suspended_past_due_and_reopened(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    past_due = await _do(mesh, "SuspendAccount", account.id, cause=pb.SUSPENSION_CAUSE_PAST_DUE)
    assert (past_due.state, past_due.version) == (Account.STATE_DELINQUENT, 2)
    assert mesh.authorizer.requests[-1].state == projection.ACCOUNT_STATE_DELINQUENT
    suspended = await _do(mesh, "SuspendAccount", account.id)
    assert (suspended.state, suspended.version) == (Account.STATE_SUSPENDED, 3)
    assert mesh.authorizer.requests[-1].state == projection.ACCOUNT_STATE_SUSPENDED
    again = await _do(mesh, "SuspendAccount", account.id, cause=pb.SUSPENSION_CAUSE_ISSUER)
    assert again == suspended
    late = await _do(mesh, "ReopenAccount", account.id, cause=pb.SUSPENSION_CAUSE_ISSUER)
    assert (late.state, late.version) == (Account.STATE_DELINQUENT, 4)
    opened = await _do(mesh, "ReopenAccount", account.id)
    assert (opened.state, opened.version) == (Account.STATE_OPEN, 5)
    assert mesh.authorizer.requests[-1].state == projection.ACCOUNT_STATE_OPEN


async def test_closing_ends_when_nothing_is_owed(mesh: AccountsMesh) -> None:
    """CLOSING at once; the authorizer is asked again and again, and closes it when it may."""
    account = await mesh.open_account()
    mesh.authorizer.in_use.add(account.id)
    closing = await _do(mesh, "CloseAccount", account.id)
    assert (closing.state, closing.version) == (Account.STATE_CLOSING, 2)
    assert mesh.authorizer.requests[-1].state == projection.ACCOUNT_STATE_CLOSING
    assert await mesh.closing.close_due() == 0
    mesh.authorizer.in_use.clear()
    assert await mesh.closing.close_due() == 0, "it was looked at a moment ago"
    mesh.clock.advance(600)
    assert await mesh.closing.close_due() == 1
    found = await call(mesh.accounts.GetAccount, GetAccountRequest(account_id=account.id))
    assert (found.account.state, found.account.version) == (Account.STATE_CLOSED, 3)
    assert mesh.authorizer.versions[account.id] == 3
    assert await _do(mesh, "CloseAccount", account.id) == found.account


async def test_a_crash_after_the_authorizer_closed_it_heals(mesh: AccountsMesh) -> None:
    """The authorizer has version 3, PostgreSQL has not: the next look says the same again."""
    account = await mesh.open_account()
    await _do(mesh, "CloseAccount", account.id)
    mesh.authorizer.versions[account.id] = 3
    assert await mesh.closing.close_due() == 1
    found = await call(mesh.accounts.GetAccount, GetAccountRequest(account_id=account.id))
    assert (found.account.state, found.account.version) == (Account.STATE_CLOSED, 3)


@pytest.mark.parametrize(
    ("state", "method", "fields", "allowed"),
    [
        ("CLOSING", "SuspendAccount", {}, "CLOSED"),
        ("CLOSING", "ReopenAccount", {}, "CLOSED"),
        ("CLOSED", "ReopenAccount", {}, ""),
        ("CLOSED", "SuspendAccount", {"cause": 2}, ""),
    ],
)
async def test_illegal_transitions_name_state_and_allowed_ones(
    mesh: AccountsMesh, state: str, method: str, fields: dict[str, int], allowed: str
) -> None:
    account = await mesh.open_account()
    await mesh.set_account_state(account.id, state)
    request = REQUESTS[method](request_id="r", account_id=account.id, **fields)
    error = await refused(getattr(mesh.accounts, method), request)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION")
    assert (error.metadata["from"], error.metadata["allowed"]) == (state, allowed)


@pytest.mark.parametrize("method", REQUESTS)
async def test_replay_reuse_unknown_and_malformed(mesh: AccountsMesh, method: str) -> None:
    account = await mesh.open_account()
    other = await mesh.open_account()
    rpc, kind = getattr(mesh.accounts, method), REQUESTS[method]
    request = kind(request_id="r", account_id=account.id)
    answer, replayed = await call_replayed(rpc, request)
    assert not replayed
    assert await call_replayed(rpc, request) == (answer, True)
    error = await refused(rpc, kind(request_id="r", account_id=other.id))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    error = await refused(rpc, kind(request_id="s", account_id=UNKNOWN_ACCOUNT))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
    error = await refused(rpc, kind(account_id=OWNER))
    assert (error.code, error.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["request_id", "account_id"],
    )


async def test_an_unknown_cause(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    request = pb.SuspendAccountRequest(request_id="r", account_id=account.id)
    request.cause = 9  # type: ignore[assignment]
    error = await refused(mesh.accounts.SuspendAccount, request)
    assert error.fields == ["cause"]


@pytest.mark.parametrize("method", REQUESTS)
async def test_the_authorizer_is_waited_for(impatient_mesh: AccountsMesh, method: str) -> None:
    mesh = impatient_mesh
    account = await mesh.open_account()
    mesh.authorizer.refusing = method != "ReopenAccount"
    await mesh.set_account_state(account.id, "SUSPENDED" if method == "ReopenAccount" else "OPEN")
    mesh.authorizer.refusing = True
    request = REQUESTS[method](request_id="r", account_id=account.id)
    error = await refused(getattr(mesh.accounts, method), request)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    mesh.authorizer.refusing = False
    _, replayed = await call_replayed(getattr(mesh.accounts, method), request)
    assert replayed
    assert mesh.authorizer.versions[account.id] == 2
