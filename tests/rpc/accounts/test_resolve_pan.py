from __future__ import annotations

import grpc
import pytest

from accounts.vault.pan import make_pan
from holdfast.accounts.v1.vault_service_pb2 import ResolvePanRequest, RevealCardRequest
from tests.accounts_mesh import OTHER_OWNER, AccountsMesh, call, refused

NETWORK = ("x-auth-spiffe", "spiffe://holdfast.local/network/demo")
OTHER_NETWORK = ("x-auth-spiffe", "spiffe://holdfast.local/network/other")
UNKNOWN_PAN = make_pan("510000", lambda count: b"\x09" * count)


async def _pan(mesh: AccountsMesh, card_id: str) -> str:
    request = RevealCardRequest(request_id=mesh.request_id(), card_id=card_id, reason="test")
    shown = await call(mesh.vaults.RevealCard, request, metadata=(("x-auth-roles", "admin"),))
    return str(shown.pan)


async def test_a_number_leads_to_its_cards_token(mesh: AccountsMesh) -> None:
    account = await mesh.open_account(OTHER_OWNER)
    cards = [await mesh.issue_card(account.id) for _ in range(3)]
    for card in cards:
        request = ResolvePanRequest(pan=await _pan(mesh, card.id))
        found = await call(mesh.vaults.ResolvePan, request, principal=NETWORK)
        assert found.pan_token == "ptok_" + card.id.removeprefix("card_")


async def test_unknown_numbers_and_too_many_of_them(mesh: AccountsMesh) -> None:
    account = await mesh.open_account(OTHER_OWNER)
    known = ResolvePanRequest(pan=await _pan(mesh, (await mesh.issue_card(account.id)).id))
    unknown = ResolvePanRequest(pan=UNKNOWN_PAN)
    for _ in range(3):
        await call(mesh.vaults.ResolvePan, known, principal=NETWORK)
        error = await refused(mesh.vaults.ResolvePan, unknown, principal=NETWORK)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "PAN_UNKNOWN")
        assert UNKNOWN_PAN not in str(error)
    for request in (known, unknown):
        error = await refused(mesh.vaults.ResolvePan, request, principal=NETWORK)
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PAN_GUESSING")
    await call(mesh.vaults.ResolvePan, known, principal=OTHER_NETWORK)
    mesh.clock.advance(60_000)
    await call(mesh.vaults.ResolvePan, known, principal=NETWORK)


@pytest.mark.parametrize("pan", ["", "1", "4242424242424241", "4242 4242 4242 4242", "x" * 16])
async def test_what_is_no_number_is_named_and_not_repeated(mesh: AccountsMesh, pan: str) -> None:
    error = await refused(mesh.vaults.ResolvePan, ResolvePanRequest(pan=pan), principal=NETWORK)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["pan"])
