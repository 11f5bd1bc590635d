"""Closing and erasing people who have, or had, accounts and cards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import grpc
import pytest

from accounts.disputes.documents import DisputeDocuments
from accounts.projector import forget_message
from accounts.vault.store import Reveal
from holdfast.accounts.v1 import (
    account_lifecycle_pb2,
    account_service_pb2,
    card_lifecycle_pb2,
    dispute_service_pb2,
    member_service_pb2,
)
from holdfast.accounts.v1 import user_service_pb2 as pb
from holdfast.authz.v1.projection_service_pb2 import CARD_STATE_CLOSED
from holdfast.payments.v1.erasure_service_pb2 import ForgetAccountRequest
from tests.accounts_applying import create_user
from tests.accounts_disputing import shopper
from tests.accounts_mesh import OTHER_OWNER, AccountsMesh, Refused, call, refused, usd
from tests.accounts_people import ANNA, BORIS, CHLOE, STAFF, as_user, found_company, join

MIGRATION = Path("accounts/sql/migrations/0190_tell_payments_of_erasures.sql").read_text()
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


async def person(mesh: AccountsMesh, name: str = "Ada") -> str:
    request = pb.CreateUserRequest(
        request_id=mesh.request_id(), name=name, email=f"{name.lower()}@example.com"
    )
    user_id: str = (await call(mesh.users.CreateUser, request)).user.id
    return user_id


def request(mesh: AccountsMesh, name: str, user_id: str) -> Any:
    message = getattr(pb, f"{name}Request")
    return message(request_id=mesh.request_id(), user_id=user_id)


async def move(mesh: AccountsMesh, name: str, user_id: str) -> None:
    await call(getattr(mesh.users, name), request(mesh, name, user_id))


async def opening(mesh: AccountsMesh, owner_id: str) -> Refused:
    asked = account_service_pb2.OpenAccountRequest(
        request_id=mesh.request_id(), owner_id=owner_id, credit_limit=usd(1_000)
    )
    return await refused(mesh.accounts.OpenAccount, asked)


async def share(mesh: AccountsMesh, account_id: str, user_id: str) -> None:
    await call(
        mesh.accounts.AddAccountUser,
        account_lifecycle_pb2.AddAccountUserRequest(
            request_id=mesh.request_id(), account_id=account_id, user_id=user_id
        ),
    )


async def test_erasing_takes_what_identifies_from_cards_history_and_vault(
    mesh: AccountsMesh,
) -> None:
    """Goal: only the pseudonym tells whose the card was; what is of others stays."""
    user_id, other_id = await person(mesh), await person(mesh, "Eve")
    account, other = await mesh.open_account(user_id), await mesh.open_account(other_id)
    cards = [await mesh.issue_card(one.id) for one in (account, other)]
    for card in cards:
        naming = card_lifecycle_pb2.UpdateCardRequest(
            request_id=mesh.request_id(), card_id=card.id, nickname="Ada B's first"
        )
        await call(mesh.cards.UpdateCard, naming)
        shown = Reveal(
            principal="tester", request_id=mesh.request_id(), card_id=card.id, reason="Ada lost it"
        )
        await mesh.vault.reveal(shown, expiry_month=card.expiry_month, expiry_year=card.expiry_year)
    await mesh.set_account_state(account.id, "CLOSED")
    await move(mesh, "CloseUser", user_id)
    await move(mesh, "EraseUser", user_id)
    await move(mesh, "EraseUser", user_id)
    kept = await mesh.vault_pool.fetch("SELECT card_id FROM card_number")
    assert [row["card_id"] for row in kept] == [cards[1].id]
    reasons = await mesh.vault_pool.fetch("SELECT card_id, reason FROM reveal")
    assert {row["card_id"]: row["reason"] for row in reasons} == {
        cards[0].id: "",
        cards[1].id: "Ada lost it",
    }
    names = await mesh.pool.fetch("SELECT id, nickname FROM card")
    assert {row["id"]: row["nickname"] for row in names} == {
        cards[0].id: "",
        cards[1].id: "Ada B's first",
    }
    changes = await mesh.pool.fetch("SELECT line_id, fields FROM change")
    told = {row["line_id"] for row in changes if "Ada B" in row["fields"]}
    assert told == {cards[1].id}
    fields = "".join(row["fields"] for row in changes if row["line_id"] == cards[0].id)
    assert "nickname" in fields
    assert await mesh.pool.fetchval("SELECT owner_id FROM account WHERE id = $1", account.id)


async def test_what_is_another_persons_by_now_keeps_nothing_of_who_is_erased(
    mesh: AccountsMesh,
) -> None:
    """Goal: names that were given to a card that has gone to somebody else since, in its history
    and on it or on what replaced it; what the other has set, and the number, stay.
    """
    owner_id, ada, eve = [await person(mesh, name) for name in ("Olga", "Ada", "Eve")]
    account = await mesh.open_account(owner_id)
    for user_id in (ada, eve):
        await share(mesh, account.id, user_id)
    cards = [await mesh.issue_card(account.id, user_id=ada) for _ in range(3)]
    others = await mesh.issue_card(account.id, user_id=eve)

    async def update(card_id: str, **fields: str) -> None:
        message = card_lifecycle_pb2.UpdateCardRequest(
            request_id=mesh.request_id(), card_id=card_id, **fields
        )
        await call(mesh.cards.UpdateCard, message)

    for card in cards:
        await update(card.id, nickname="Ada B's lunch")
        await update(card.id, user_id=eve)
    await update(cards[1].id, nickname="Eve's books")
    await update(others.id, nickname="Eve's travel")
    replacing = card_lifecycle_pb2.ReplaceCardRequest(
        request_id="new",
        card_id=cards[2].id,
        reason=card_lifecycle_pb2.REPLACEMENT_REASON_DAMAGED,
    )
    new = (await call(mesh.cards.ReplaceCard, replacing)).card
    assert new.nickname == "Ada B's lunch"
    removing = account_lifecycle_pb2.RemoveAccountUserRequest(
        request_id="gone", account_id=account.id, user_id=ada
    )
    await call(mesh.accounts.RemoveAccountUser, removing)
    # Who has had a card is not deleted.
    error = await refused(mesh.users.DeleteUser, request(mesh, "DeleteUser", ada))
    assert (error.code, error.reason) == (PRECONDITION, "USER_IN_USE")
    await move(mesh, "CloseUser", ada)
    await move(mesh, "EraseUser", ada)
    found = await mesh.pool.fetch("SELECT id, nickname, state FROM card")
    assert {row["id"]: (row["nickname"], row["state"]) for row in found} == {
        cards[0].id: ("", "ACTIVE"),
        cards[1].id: ("Eve's books", "ACTIVE"),
        cards[2].id: ("", "CLOSED"),
        new.id: ("", "ACTIVE"),
        others.id: ("Eve's travel", "ACTIVE"),
    }
    changes = await mesh.pool.fetch("SELECT line_id, fields FROM change")
    assert not [row for row in changes if "Ada B" in row["fields"]]
    assert {row["line_id"] for row in changes if "Eve's travel" in row["fields"]} == {others.id}
    assert await mesh.vault_pool.fetchval("SELECT count(*) FROM card_number") == 5


async def test_nobody_who_is_erased_keeps_a_card_on_anothers_account(mesh: AccountsMesh) -> None:
    """Goal: also of those who were closed before closing ended what is shared, and whose erasure
    was answered before: it can be repeated.
    """
    user_id = await person(mesh)
    account = await mesh.open_account(OTHER_OWNER)
    await share(mesh, account.id, user_id)
    cards = [await mesh.issue_card(account.id, user_id=user_id) for _ in range(2)]
    others = await mesh.issue_card(account.id)
    error = await refused(mesh.users.EraseUser, request(mesh, "EraseUser", user_id))
    assert error.reason == "USER_NOT_CLOSED"
    await mesh.pool.execute("UPDATE person SET state = 'CLOSED' WHERE id = $1", user_id)
    for card, share_state in zip(cards, ("ACTIVE", "REMOVED"), strict=True):
        living = "UPDATE card SET state = 'ACTIVE' WHERE id = $1"
        await mesh.pool.execute(living, card.id)
        await mesh.pool.execute("UPDATE account_user SET state = $1", share_state)
        await move(mesh, "EraseUser", user_id)
        told = [one for one in mesh.authorizer.requests if getattr(one, "card_id", "") == card.id]
        assert told[-1].state == CARD_STATE_CLOSED
        assert await mesh.pool.fetchval("SELECT state FROM account_user") == "REMOVED"
    states = await mesh.pool.fetch("SELECT id, state FROM card")
    assert {row["id"]: row["state"] for row in states} == {
        **{card.id: "CLOSED" for card in cards},
        others.id: "ACTIVE",
    }


async def test_erasing_takes_what_was_said_about_charges(mesh: AccountsMesh) -> None:
    """Goal: no file is left, no digest by which one is recognized, and no key."""
    anna = await shopper(mesh)
    dispute = await anna.disputed(description="Anna never got it")
    hand_in = dispute_service_pb2.AddDisputeDocumentRequest(
        request_id="doc", dispute_id=dispute.id, media_type="application/pdf", content=b"%PDF-1.7 A"
    )
    await call(mesh.disputes.AddDisputeDocument, hand_in, **as_user(ANNA))
    folder = mesh.folder / "documents" / dispute.id
    assert len(list(folder.iterdir())) == 1
    await mesh.set_account_state(anna.account_id, "CLOSED")
    await move(mesh, "CloseUser", ANNA)
    await move(mesh, "EraseUser", ANNA)
    assert not folder.exists() or not list(folder.iterdir())
    assert await mesh.pool.fetchval("SELECT sha256 FROM dispute_document") == bytes(32)
    assert await mesh.pool.fetchval("SELECT data_key FROM dispute") == b""
    get = dispute_service_pb2.GetDisputeRequest(dispute_id=dispute.id)
    found = (await call(mesh.disputes.GetDispute, get, **STAFF)).dispute
    assert (found.description, len(found.documents)) == ("", 1)


@pytest.mark.parametrize("how", [("CloseUser", "EraseUser"), ("DeleteUser",)])
async def test_nothing_of_an_address_is_left_in_invitations(
    mesh: AccountsMesh, how: tuple[str, ...]
) -> None:
    """Goal: a letter and a domain may tell who it was. What is of others stays."""
    company = await found_company(mesh, ANNA)
    await create_user(mesh, BORIS)
    for user_id in (BORIS, CHLOE):
        await join(mesh, company.id, user_id, "EMPLOYEE", by=ANNA)
    for name in how:
        await move(mesh, name, BORIS)
    rows = await mesh.pool.fetch("SELECT user_id, email FROM invitation")
    assert dict(map(tuple, rows)) == {BORIS: "", CHLOE: "b***@example.com"}
    kept = "SELECT count(*) FROM request_record WHERE position($1::bytea IN response) > 0"
    assert await mesh.pool.fetchval(kept, b"b***@example.com") == 1
    listing = member_service_pb2.ListInvitationsRequest(company_id=company.id)
    listed = await call(mesh.members.ListInvitations, listing, **as_user(ANNA))
    assert {one.email for one in listed.invitations} == {"", "b***@example.com"}


async def test_what_is_handed_in_while_the_person_is_erased_is_not_kept(
    mesh: AccountsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: no digest of a file that came just before the erasure and was recorded behind it."""
    anna = await shopper(mesh)
    dispute = await anna.disputed(description="Anna never got it")
    await mesh.set_account_state(anna.account_id, "CLOSED")
    await move(mesh, "CloseUser", ANNA)
    whole = DisputeDocuments.upload

    async def slow(self: DisputeDocuments, *arguments: Any) -> None:
        await whole(self, *arguments)
        await move(mesh, "EraseUser", ANNA)

    monkeypatch.setattr(DisputeDocuments, "upload", slow)
    hand_in = dispute_service_pb2.AddDisputeDocumentRequest(
        request_id="doc", dispute_id=dispute.id, media_type="application/pdf", content=b"%PDF-1.7 A"
    )
    error = await refused(mesh.disputes.AddDisputeDocument, hand_in, **STAFF)
    assert error.code is PRECONDITION
    assert await mesh.count("dispute_document") == 0


async def test_others_are_told_of_who_is_deleted(mesh: AccountsMesh) -> None:
    user_id = await person(mesh)
    await move(mesh, "DeleteUser", user_id)
    types = await mesh.pool.fetch("SELECT type FROM event WHERE user_id = $1 ORDER BY id", user_id)
    assert [row["type"] for row in types] == ["user.created", "user.erased"]


async def test_who_shares_an_account_is_not_deleted(mesh: AccountsMesh) -> None:
    owner_id, user_id = await person(mesh), await person(mesh, "Eve")
    account = await mesh.open_account(owner_id)
    await share(mesh, account.id, user_id)
    error = await refused(mesh.users.DeleteUser, request(mesh, "DeleteUser", user_id))
    assert (error.code, error.reason) == (PRECONDITION, "USER_IN_USE")
    await move(mesh, "CloseUser", user_id)


@pytest.mark.parametrize("state", ["SuspendUser", "CloseUser"])
async def test_nobody_who_is_suspended_or_closed_gets_an_account(
    mesh: AccountsMesh, state: str
) -> None:
    """People whom UserService does not know do: their ids may be another system's."""
    user_id = await person(mesh)
    account = await mesh.open_account()
    await move(mesh, state, user_id)
    error = await opening(mesh, user_id)
    assert (error.code, error.reason) == (PRECONDITION, "USER_NOT_ACTIVE")
    adding = account_lifecycle_pb2.AddAccountUserRequest(
        request_id=mesh.request_id(), account_id=account.id, user_id=user_id
    )
    error = await refused(mesh.accounts.AddAccountUser, adding)
    assert (error.code, error.reason) == (PRECONDITION, "USER_NOT_ACTIVE")
    # Whoever has an account may name anybody, and learns nothing of them.
    adding.account_id = (await mesh.open_account(OTHER_OWNER)).id
    error = await refused(
        mesh.accounts.AddAccountUser,
        adding,
        principal=("x-auth-subject", OTHER_OWNER),
        metadata=(("x-auth-roles", "cardholder"),),
    )
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")
    assert error.metadata == {"user_id": user_id}
    if state == "SuspendUser":
        await move(mesh, "ReactivateUser", user_id)
        await mesh.open_account(user_id)


async def test_closing_and_opening_at_once_leave_no_account_of_somebody_closed(
    mesh: AccountsMesh,
) -> None:
    """Either the account is there and the user is not closed, or the other way round."""
    people = [await person(mesh, f"Person{number}") for number in range(12)]

    async def done(work: Awaitable[object]) -> bool:
        try:
            await work
        except grpc.aio.AioRpcError as error:
            if error.code() is not PRECONDITION:
                raise
            return False
        return True

    outcomes = await asyncio.gather(
        *(
            done(work)
            for user_id in people
            for work in (move(mesh, "CloseUser", user_id), mesh.open_account(user_id))
        )
    )
    pairs = list(zip(outcomes[::2], outcomes[1::2], strict=True))
    assert all(closed is not opened for closed, opened in pairs)


async def test_payments_is_told_of_the_accounts_of_who_is_erased(mesh: AccountsMesh) -> None:
    """Goal: of each of them, of nobody else's, and nobody waits for it; who was erased before there
    was anybody to tell is told of by the migration, in the same words.
    """
    user_id, other_id = await person(mesh), await person(mesh, "Eve")
    accounts = [await mesh.open_account(user_id) for _ in range(2)]
    await mesh.open_account(other_id)
    for account in accounts:
        await mesh.set_account_state(account.id, "CLOSED")
    await move(mesh, "CloseUser", user_id)
    await move(mesh, "EraseUser", user_id)
    ids = sorted(one.id for one in accounts)
    messages = [forget_message(account_id) for account_id in ids]
    wanted = [(one.topic, one.key, one.payload) for one in messages]
    for told_before in range(2):
        for _ in range(100):
            told = [
                one for one in mesh.authorizer.requests if isinstance(one, ForgetAccountRequest)
            ]
            # Rows go once they are delivered, a moment later.
            rest = await mesh.pool.fetchval("SELECT count(*) FROM outbox")
            if len(told) == 2 * (told_before + 1) and not rest:
                break
            await asyncio.sleep(0.1)
        assert sorted(one.account_id for one in told[-2:]) == ids
        up = MIGRATION.partition("INSERT")[2].partition(";")[0]
        async with mesh.pool.acquire() as connection, connection.transaction():
            await connection.execute(f"INSERT{up}")
            rows = await connection.fetch("SELECT * FROM outbox ORDER BY key")
            assert [(row["topic"], row["key"], row["payload"]) for row in rows] == wanted
