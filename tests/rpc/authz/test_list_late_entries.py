"""ListLateEntries: what posts on accounts and cards that have ended is posted, and shown."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from holdfast.authz.v1 import ledger_pb2 as pb
from holdfast.authz.v1 import ledger_service_pb2 as rpc
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.authz_checks import approved, balance, refused
from tests.authz_mesh import ACCOUNTS, ADMIN, NETWORK, AuthzMesh, capture_of, reversal_of
from tests.authz_messages import advice, credit, forced, refund_of


async def _late(mesh: AuthzMesh, **fields: object) -> rpc.ListLateEntriesResponse:
    await mesh.settle()
    answer: rpc.ListLateEntriesResponse = await mesh.ledger_service.ListLateEntries(
        rpc.ListLateEntriesRequest(**fields),  # type: ignore[arg-type]
        metadata=ADMIN,
    )
    return answer


def _seen(entries: rpc.ListLateEntriesResponse) -> list[tuple[str, str, int]]:
    def names(one: pb.Entry) -> tuple[str, str]:
        return pb.Entry.Type.Name(one.type)[5:], pb.Entry.Late.Name(one.late)[5:]

    return [(*names(one), one.posted.amount_minor) for one in entries.entries]


async def test_what_comes_after_an_account_was_closed(mesh: AuthzMesh) -> None:
    """Goal: everything posts, and all of it is to be reviewed; nothing that came before is."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 500)
    await mesh.authorization.ReverseAuthorization(reversal_of(held), metadata=NETWORK)
    await mesh.apply_account(account, version=2, state=projection.ACCOUNT_STATE_CLOSING)
    await mesh.apply_account(account, version=3, state=projection.ACCOUNT_STATE_CLOSED)
    calls = mesh.authorization
    movements: list[tuple[Any, Message]] = [
        (calls.CaptureAuthorization, capture_of(held, 500)),
        (calls.ForcePost, forced(card, 70)),
        (calls.Refund, refund_of(held, 100)),
        (calls.Authorize, advice(card, 30)),
    ]
    for method, request in movements:
        await method(request, metadata=NETWORK)
        mesh.clock.advance(1)
    payment = credit(account, mesh.ids.new("pay", 10), 470)
    await mesh.posting.CreditPayment(payment, metadata=ACCOUNTS)
    found = await _late(mesh)
    assert _seen(found) == [
        ("PAYMENT_CREDIT", "ACCOUNT_CLOSED", 0),
        ("ADVICE", "ACCOUNT_CLOSED", 470),
        ("REFUND", "ACCOUNT_CLOSED", 470),
        ("FORCE_POST", "ACCOUNT_CLOSED", 570),
        ("CAPTURE", "ACCOUNT_CLOSED", 500),
    ]
    assert sum(line.amount.amount_minor for one in found.entries for line in one.lines) == 0
    assert {one.account_id for one in found.entries} == {account}
    assert (await balance(mesh, account))[0] == 0


async def test_what_comes_after_a_card_was_lost(mesh: AuthzMesh) -> None:
    """A refund comes to a living account: nobody needs to look at it."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 500)
    calls = mesh.authorization
    await calls.CaptureAuthorization(capture_of(held, 100, "early"), metadata=NETWORK)
    await mesh.apply_card(card, account, version=2, state=projection.CARD_STATE_LOST)
    await calls.CaptureAuthorization(capture_of(held, 400, "late"), metadata=NETWORK)
    await calls.Refund(refund_of(held, 100), metadata=NETWORK)
    assert _seen(await _late(mesh)) == [("CAPTURE", "CARD_CLOSED", 500)]


async def test_what_comes_while_an_account_is_closing(mesh: AuthzMesh) -> None:
    """A closing account waits for exactly this; a frozen card lives."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 500)
    await mesh.apply_card(card, account, version=2, state=projection.CARD_STATE_FROZEN)
    await mesh.apply_account(account, version=2, state=projection.ACCOUNT_STATE_CLOSING)
    await mesh.authorization.CaptureAuthorization(capture_of(held, 500), metadata=NETWORK)
    assert _seen(await _late(mesh)) == []


async def test_pages_and_accounts(mesh: AuthzMesh) -> None:
    accounts = [await mesh.open_account(), await mesh.open_account()]
    for account in accounts:
        card = await mesh.issue_card(account)
        await mesh.apply_card(card, account, version=2, state=projection.CARD_STATE_STOLEN)
        for _ in range(3):
            await mesh.authorization.ForcePost(forced(card, 10), metadata=NETWORK)
    met, token = [], ""
    while True:
        page = await _late(mesh, page_size=4, page_token=token)
        met += [one.id for one in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert len(met) == len(set(met)) == 6
    mine = await _late(mesh, account_id=accounts[0])
    assert [one.account_id for one in mine.entries] == [accounts[0]] * 3


async def test_wrong_fields_are_named(mesh: AuthzMesh) -> None:
    request = rpc.ListLateEntriesRequest(account_id="card_1", page_size=-1, page_token="x")
    error = await refused(mesh.ledger_service.ListLateEntries, request, metadata=ADMIN)
    assert error.code.name == "INVALID_ARGUMENT"
    assert sorted(error.fields) == ["account_id", "page_size", "page_token"]
