"""What is kept for repetitions forgets with the person."""

from __future__ import annotations

from holdfast.accounts.v1 import card_lifecycle_pb2, card_pb2, card_service_pb2
from tests.accounts_mesh import OTHER_OWNER, AccountsMesh, call, call_replayed
from tests.rpc.accounts.test_erasing import move, person, share


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
