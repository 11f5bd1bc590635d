from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from accounts.vault.pan import is_pan
from holdfast.accounts.v1.account_lifecycle_pb2 import AddAccountUserRequest
from holdfast.accounts.v1.card_pb2 import Card
from holdfast.accounts.v1.vault_service_pb2 import RevealCardRequest
from tests.accounts_mesh import (
    OTHER_OWNER,
    UNKNOWN_CARD,
    AccountsMesh,
    call,
    refusal_of,
    refused,
)
from tests.rpc.accounts.test_opening_races import WAITED_FOR

HOLDER = OTHER_OWNER
AS_HOLDER = ("x-auth-subject", HOLDER)
ADMIN = (("x-auth-roles", "admin"),)


def _fresh(mesh: AccountsMesh, *, age_s: int = 0) -> tuple[tuple[str, str], ...]:
    return (
        ("x-auth-mfa-time", str(mesh.clock.now_ms() // 1000 - age_s)),
        ("x-auth-roles", "cardholder"),
    )


async def _card(mesh: AccountsMesh) -> Card:
    account = await mesh.open_account(HOLDER)
    return await mesh.issue_card(account.id)


async def test_a_holder_sees_the_card(mesh: AccountsMesh) -> None:
    card = await _card(mesh)
    request = RevealCardRequest(request_id="r-1", card_id=card.id)
    shown = await call(
        mesh.vaults.RevealCard, request, principal=AS_HOLDER, metadata=_fresh(mesh, age_s=300)
    )
    assert is_pan(shown.pan)
    assert (shown.pan[:6], shown.pan[-4:]) == (card.bin, card.last4)
    assert len(shown.cvv) == 3
    assert (shown.expiry_month, shown.expiry_year) == (card.expiry_month, card.expiry_year)
    again = await call(mesh.vaults.RevealCard, request, principal=AS_HOLDER, metadata=_fresh(mesh))
    assert again == shown
    (row,) = await mesh.vault_pool.fetch("SELECT * FROM reveal")
    assert (row["principal"], row["card_id"]) == (HOLDER, card.id)


async def test_the_answer_is_not_cached(mesh: AccountsMesh) -> None:
    request = RevealCardRequest(request_id="r-1", card_id=(await _card(mesh)).id)
    reveal: Any = mesh.vaults.RevealCard
    running = reveal(request, metadata=(AS_HOLDER, *_fresh(mesh)))
    await running
    assert ("cache-control", "no-store") in tuple(await running.initial_metadata())


async def test_the_card_of_another_user_is_the_users(mesh: AccountsMesh) -> None:
    """A card that was issued for somebody is not shown to the owner of the account."""
    user_id = "usr_0c" + "5" * 32
    account = await mesh.open_account(HOLDER)
    shared = AddAccountUserRequest(request_id="u-1", account_id=account.id, user_id=user_id)
    await call(mesh.accounts.AddAccountUser, shared)
    card = await mesh.issue_card(account.id, user_id=user_id)
    request = RevealCardRequest(request_id="r-1", card_id=card.id)
    error = await refused(
        mesh.vaults.RevealCard, request, principal=AS_HOLDER, metadata=_fresh(mesh)
    )
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "CARD_NOT_FOUND")
    await call(
        mesh.vaults.RevealCard,
        request,
        principal=("x-auth-subject", user_id),
        metadata=_fresh(mesh),
    )


@pytest.mark.parametrize("headers", [(), (("x-auth-mfa-time", "x"),), "old"])
async def test_a_holder_needs_a_fresh_second_factor(mesh: AccountsMesh, headers: Any) -> None:
    card = await _card(mesh)
    request = RevealCardRequest(request_id="r-1", card_id=card.id)
    metadata = _fresh(mesh, age_s=301) if headers == "old" else headers
    error = await refused(mesh.vaults.RevealCard, request, principal=AS_HOLDER, metadata=metadata)
    assert (error.code, error.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "SECOND_FACTOR_REQUIRED",
    )
    assert await mesh.vault_pool.fetchval("SELECT count(*) FROM reveal") == 0


async def test_an_administrator_needs_a_reason(mesh: AccountsMesh) -> None:
    card = await _card(mesh)
    request = RevealCardRequest(request_id="r-1", card_id=card.id)
    error = await refused(mesh.vaults.RevealCard, request, metadata=ADMIN)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["reason"])
    request.reason = "holder called, ticket 17"
    assert is_pan((await call(mesh.vaults.RevealCard, request, metadata=ADMIN)).pan)
    assert await mesh.vault_pool.fetchval("SELECT reason FROM reveal") == request.reason


async def test_somebody_elses_card_is_not_found(mesh: AccountsMesh) -> None:
    card = await _card(mesh)
    for card_id, headers in ((card.id, _fresh(mesh)), (UNKNOWN_CARD, ADMIN)):
        request = RevealCardRequest(request_id="r-1", card_id=card_id, reason="why")
        error = await refused(mesh.vaults.RevealCard, request, metadata=headers)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "CARD_NOT_FOUND")


@pytest.mark.parametrize("by_holder", [True, False])
async def test_a_repeated_request_shows_the_card_for_a_while(
    mesh: AccountsMesh, by_holder: bool
) -> None:
    """Goal: an old request id is no key to the number, whatever second factor comes with it."""
    card = await _card(mesh)
    request = RevealCardRequest(request_id="r-1", card_id=card.id, reason="why")

    def who() -> dict[str, Any]:
        if by_holder:
            return {"principal": AS_HOLDER, "metadata": _fresh(mesh)}
        return {"metadata": ADMIN}

    shown = await call(mesh.vaults.RevealCard, request, **who())
    mesh.clock.advance(300_000)
    assert await call(mesh.vaults.RevealCard, request, **who()) == shown
    row = await mesh.vault_pool.fetchrow("SELECT count(*), sum(repeats) FROM reveal")
    assert tuple(row) == (1, 1)
    mesh.clock.advance(1)
    error = await refused(mesh.vaults.RevealCard, request, **who())
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REVEAL_EXPIRED")
    assert error.metadata == {"card_id": card.id, "max_age_s": "300"}


async def test_repetitions_count(mesh: AccountsMesh) -> None:
    card = await _card(mesh)
    request = RevealCardRequest(request_id="r-1", card_id=card.id, reason="why")
    answers = await asyncio.gather(
        *(call(mesh.vaults.RevealCard, request, metadata=ADMIN) for _ in range(8)),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 3
    error = await refused(mesh.vaults.RevealCard, request, metadata=ADMIN)
    assert error.reason == "REVEAL_RATE_EXCEEDED"


async def test_only_so_often_within_an_hour(mesh: AccountsMesh) -> None:
    """Goal: the fourth reveal of an hour is refused, whoever asks."""
    card, other = await _card(mesh), await _card(mesh)

    def request(number: int, card_id: str = card.id) -> RevealCardRequest:
        return RevealCardRequest(request_id=f"r-{number}", card_id=card_id, reason="why")

    for number in (1, 2, 3):
        await call(mesh.vaults.RevealCard, request(number), metadata=ADMIN)
    error = await refused(
        mesh.vaults.RevealCard, request(4), principal=AS_HOLDER, metadata=_fresh(mesh)
    )
    assert (error.code, error.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "REVEAL_RATE_EXCEEDED",
    )
    await call(mesh.vaults.RevealCard, request(5, other.id), metadata=ADMIN)
    mesh.clock.advance(3_600_000)
    await call(mesh.vaults.RevealCard, request(6), metadata=ADMIN)
    error = await refused(mesh.vaults.RevealCard, request(6, other.id), metadata=ADMIN)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


@pytest.mark.parametrize("first_ends", ["COMMIT", "ROLLBACK"])
async def test_one_request_id_for_two_cards_at_the_same_moment(
    mesh: AccountsMesh, first_ends: str
) -> None:
    """The second waits for the first, and is shown only if that has not been."""
    card, other = await _card(mesh), await _card(mesh)
    request = RevealCardRequest(request_id="r-1", card_id=card.id, reason="why")
    async with mesh.vault_pool.acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute(
            """INSERT INTO reveal (principal, request_id, card_id, reason, create_time)
            VALUES ('tester', 'r-1', $1, '', now())""",
            other.id,
        )
        revealing = asyncio.create_task(call(mesh.vaults.RevealCard, request, metadata=ADMIN))
        for _ in range(3_000):
            if await connection.fetchval(WAITED_FOR):
                break
            await asyncio.sleep(0.01)
        await connection.execute(first_ends)
    if first_ends == "ROLLBACK":
        assert is_pan((await revealing).pan)
        return
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await revealing
    error = refusal_of(raised.value)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert await mesh.vault_pool.fetchval("SELECT card_id FROM reveal") == other.id


async def test_closed_cards_and_cards_without_number(mesh: AccountsMesh) -> None:
    card = await _card(mesh)
    request = RevealCardRequest(request_id="r-1", card_id=card.id, reason="why")
    await mesh.vault_pool.execute("DELETE FROM card_number")
    error = await refused(mesh.vaults.RevealCard, request, metadata=ADMIN)
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CARD_HAS_NO_NUMBER",
    )
    await mesh.set_card_state(card.id, "CLOSED")
    error = await refused(mesh.vaults.RevealCard, request, metadata=ADMIN)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CARD_CLOSED")


async def test_malformed_fields_are_named(mesh: AccountsMesh) -> None:
    for fields, wrong in (
        ({"card_id": "card_1", "reason": "why"}, ["request_id", "card_id"]),
        ({"request_id": "r", "card_id": UNKNOWN_CARD, "reason": "x" * 257}, ["reason"]),
    ):
        error = await refused(mesh.vaults.RevealCard, RevealCardRequest(**fields), metadata=ADMIN)
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, wrong)
