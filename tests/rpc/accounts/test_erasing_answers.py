"""What is kept for repetitions forgets with the person."""

from __future__ import annotations

from pathlib import Path

from holdfast.accounts.v1 import (
    billing_service_pb2,
    card_lifecycle_pb2,
    card_pb2,
    card_service_pb2,
)
from holdfast.accounts.v1.billing_service_pb2_grpc import BillingServiceStub
from tests.accounts_mesh import OTHER_OWNER, AccountsMesh, call, call_replayed
from tests.rpc.accounts.test_erasing import move, person, share
from tests.rpc.accounts.test_waive_fee import NOW

MIGRATION = Path("accounts/sql/migrations/0204_forget_waiver_notes.sql").read_text()


async def test_answers_of_card_calls_keep_no_words_of_who_is_erased(mesh: AccountsMesh) -> None:
    """Goal: what is kept for repetitions, of the card and of one that has gone to somebody else;
    a repetition is still answered, and what others have set stays.
    """
    ada, eve = await person(mesh), await person(mesh, "Eve")
    account, other = await mesh.open_account(ada), await mesh.open_account(OTHER_OWNER)
    for user_id in (ada, eve):
        await share(mesh, other.id, user_id)
    issue = card_service_pb2.IssueCardRequest(
        request_id="issue",
        account_id=account.id,
        kind=card_pb2.Card.KIND_PHYSICAL,
        nickname="Ada B's first",
    )
    issued = (await call(mesh.cards.IssueCard, issue)).card
    shipping = card_lifecycle_pb2.UpdateCardShippingRequest(
        request_id="ship",
        card_id=issued.id,
        state=card_pb2.Shipping.STATE_SHIPPED,
        carrier="Ada's Mail",
        tracking_number="ADA-1",
    )
    await call(mesh.cards.UpdateCardShipping, shipping)
    gone = await mesh.issue_card(other.id, user_id=ada)
    names = [
        card_lifecycle_pb2.UpdateCardRequest(request_id=f"name-{number}", card_id=gone.id, **fields)
        for number, fields in enumerate(
            ({"nickname": "Ada B's lunch"}, {"user_id": eve}, {"nickname": "Eve's books"})
        )
    ]
    named = [(await call(mesh.cards.UpdateCard, one)).card for one in names]
    await mesh.set_account_state(account.id, "CLOSED")
    kept = "SELECT count(*) FROM request_record WHERE position($1::bytea IN response) > 0"
    assert await mesh.pool.fetchval(kept, b"Ada B's") == 4
    await move(mesh, "CloseUser", ada)
    await move(mesh, "EraseUser", ada)
    for words in (b"Ada", b"ADA-1"):
        assert await mesh.pool.fetchval(kept, words) == 0
    again, was_stored = await call_replayed(mesh.cards.IssueCard, issue)
    issued.nickname = ""
    assert (again.card, was_stored) == (issued, True)
    told = [(await call(mesh.cards.UpdateCard, one)).card for one in names]
    for card in named[:2]:
        card.nickname = ""
    assert told == named
    assert told[2].nickname == "Eve's books"


async def test_notes_of_what_was_given_back_go_with_the_person(mesh: AccountsMesh) -> None:
    """What was given back, why and by whom stays; others' notes stay. Who was erased before loses
    them by the migration.
    """
    ada, eve = await person(mesh), await person(mesh, "Eve")
    accounts = [await mesh.open_account(one) for one in (ada, eve)]
    stub = BillingServiceStub(mesh.channel)
    for number, account in enumerate(accounts):
        entry_id = f"ent_0a{number:032x}"
        await mesh.pool.execute(
            "INSERT INTO billing_account (account_id, phase) VALUES ($1, 'NEW')", account.id
        )
        await mesh.pool.execute(
            """INSERT INTO billing_entry VALUES ($1, $2, $3, 'FEE', 'DEBIT', 'FEE', 2500, $4, $4,
            '', '', '', '', '', '', '', false, 1)""",
            entry_id,
            account.id,
            number,
            NOW,
        )
        waive = billing_service_pb2.WaiveFeeRequest(
            request_id=f"w-{number}",
            account_id=account.id,
            entry_id=entry_id,
            reason=billing_service_pb2.WAIVER_REASON_HARDSHIP,
            note="Ada lost her job",
        )
        await call(stub.WaiveFee, waive)
    await mesh.set_account_state(accounts[0].id, "CLOSED")
    await move(mesh, "CloseUser", ada)
    await move(mesh, "EraseUser", ada)
    notes = "SELECT account_id, note, reason FROM charge_waiver"
    wanted = {
        (accounts[0].id, "", "HARDSHIP"),
        (accounts[1].id, "Ada lost her job", "HARDSHIP"),
    }
    assert set(map(tuple, await mesh.pool.fetch(notes))) == wanted
    kept = "SELECT account_id FROM request_record WHERE position('her job'::bytea IN response) > 0"
    assert [row["account_id"] for row in await mesh.pool.fetch(kept)] == [accounts[1].id]
    await mesh.pool.execute("UPDATE charge_waiver SET note = 'Ada lost her job'")
    up = MIGRATION.partition("UPDATE")[2].partition(";")[0]
    await mesh.pool.execute(f"UPDATE{up}")
    assert set(map(tuple, await mesh.pool.fetch(notes))) == wanted
