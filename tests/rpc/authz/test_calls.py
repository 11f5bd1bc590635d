"""What every call passes through: identity, deadline, unreadable messages, faults of ours."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.authz.v1 import authorization_service_pb2 as rpc
from runtime.channel import unix_channel
from tests.authz_checks import answered, balance, nothing_written, refused
from tests.authz_mesh import ACCOUNTS, ADMIN, NETWORK, AuthzMesh, purchase

SUBJECT = ("x-auth-subject", "usr_1")
SPIFFE = ("x-auth-spiffe", "spiffe://holdfast.local/network/demo")

METHODS = (
    "AuthorizationService/Authorize",
    "AuthorizationService/CaptureAuthorization",
    "AuthorizationService/ReverseAuthorization",
    "AuthorizationService/GetAuthorization",
    "AuthorizationService/ListAuthorizations",
    "AuthorizationService/GetBalance",
    "LedgerService/ListEntries",
    "LedgerService/GetTrialBalance",
    "ProjectionService/ApplyAccount",
    "ProjectionService/ApplyCard",
)


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("x-auth-subject", ""),),
        (SUBJECT, SPIFFE),
        (SUBJECT, SUBJECT),
        (("x-auth-spiffe", "s" * 257),),
    ],
)
async def test_none_or_two_identities_are_refused(
    mesh: AuthzMesh, metadata: tuple[tuple[str, str], ...]
) -> None:
    card = await mesh.card()
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.Authorize, purchase(card, 1), metadata=metadata)
    assert (error.code.name, error.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")


async def test_bytes_that_are_no_message_are_invalid(mesh: AuthzMesh) -> None:
    """Grpc alone would answer UNKNOWN with Python's exception text."""
    async with unix_channel(mesh.settings.socket) as channel, nothing_written(mesh.money):
        for method in METHODS:
            call: Any = channel.unary_unary(f"/holdfast.authz.v1.{method}")
            metadata = ACCOUNTS if "Projection" in method else ADMIN
            error = await refused(call, b"\xff\xff\xff")
            assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
            # Text that is no UTF-8; where the field is no text, the request is merely empty.
            error = await refused(call, b"\x0a\x02\xff\xfe", metadata=metadata)
            assert error.code.name == "INVALID_ARGUMENT"
            assert "DecodeError" not in error.message


async def test_huge_message_is_refused(mesh: AuthzMesh) -> None:
    request = purchase(await mesh.card(), 1)
    request.merchant.descriptor = "x" * 300_000
    async with nothing_written(mesh.money):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.authorization.Authorize(request, metadata=NETWORK)
    assert caught.value.code().name == "RESOURCE_EXHAUSTED"


async def test_fault_of_ours_shows_no_internals(
    mesh: AuthzMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("password of the database is hunter2")

    monkeypatch.setattr(mesh.worker.store, "snapshot", broken)
    error = await refused(mesh.authorization.Authorize, purchase("card_0a" + "0" * 32, 1))
    assert (error.code.name, error.reason) == ("INTERNAL", "INTERNAL")
    assert error.message == "internal error; quote error_id"
    assert list(error.metadata) == ["error_id"]


async def test_deadline_leaves_an_unknown_outcome_that_a_repetition_resolves(
    mesh: AuthzMesh,
) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    request = purchase(card, 100)
    await mesh.money.client_pause(150, all=False)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.authorization.Authorize(request, metadata=NETWORK, timeout=0.04)
        assert caught.value.code().name == "DEADLINE_EXCEEDED"
    finally:
        await mesh.money.client_unpause()
    first, _ = await answered(mesh.authorization.Authorize, request)
    again, stored = await answered(mesh.authorization.Authorize, request)
    assert stored
    assert again == first
    assert await balance(mesh, account) == (0, 100, 99_900)


async def test_caller_that_gives_up_does_not_disturb_others(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    calls = [mesh.authorization.Authorize(purchase(card, 1), metadata=NETWORK) for _ in range(40)]
    tasks = [asyncio.ensure_future(_outcome(call)) for call in calls]
    await asyncio.sleep(0.005)
    for call in calls[::2]:
        call.cancel()
    outcomes = await asyncio.gather(*tasks)
    kept = outcomes[1::2]
    assert all(isinstance(answer, rpc.AuthorizeResponse) for answer in kept)
    posted, held, _ = await balance(mesh, account)
    assert posted == 0
    assert 20 <= held <= 40
    await mesh.settle()
    assert (await mesh.ledger.fetchval("SELECT held_minor FROM account_balance")) == held


async def _outcome(call: Any) -> object:
    try:
        return await call
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        return error
