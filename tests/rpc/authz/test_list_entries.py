"""ListEntries: the account's book, without gaps, each entry balanced."""

from __future__ import annotations

import pytest

from holdfast.authz.v1 import decline_reason_pb2 as reasons
from holdfast.authz.v1 import ledger_pb2 as pb
from holdfast.authz.v1 import ledger_service_pb2 as rpc
from tests.authz_checks import approved, refused, usd
from tests.authz_mesh import ADMIN, NETWORK, AuthzMesh, capture_of, purchase, reversal_of


async def _list(mesh: AuthzMesh, **fields: object) -> rpc.ListEntriesResponse:
    answer: rpc.ListEntriesResponse = await mesh.ledger_service.ListEntries(
        rpc.ListEntriesRequest(**fields),  # type: ignore[arg-type]
        metadata=ADMIN,
    )
    return answer


async def test_each_movement_is_one_entry(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(10_000)
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 1_000)
    await mesh.authorization.Authorize(purchase(card, 99_999), metadata=NETWORK)
    capture = capture_of(held, 400, "clearing-1")
    capture.effective_time.FromMilliseconds(1_700_000_000_123)
    await mesh.authorization.CaptureAuthorization(capture, metadata=NETWORK)
    await mesh.authorization.ReverseAuthorization(reversal_of(held), metadata=NETWORK)
    await mesh.settle()
    entries = list((await _list(mesh, account_id=account)).entries)
    assert [entry.seq for entry in entries] == [6, 5, 4, 3, 2, 1]
    assert [entry.pseq for entry in entries] == [6, 5, 4, 3, 2, 1]
    assert [entry.type for entry in reversed(entries)] == [
        pb.Entry.TYPE_ACCOUNT_APPLIED,
        pb.Entry.TYPE_CARD_APPLIED,
        pb.Entry.TYPE_AUTHORIZATION,
        pb.Entry.TYPE_DECLINE,
        pb.Entry.TYPE_CAPTURE,
        pb.Entry.TYPE_REVERSAL,
    ]
    reversal, capture_entry, decline, authorization = entries[:4]
    assert decline.decline_reason == reasons.DECLINE_REASON_INSUFFICIENT_CREDIT
    assert authorization.merchant.descriptor == "Corner shop"
    assert authorization.amount == usd(1_000)
    assert capture_entry.request_id == "clearing-1"
    assert capture_entry.principal == NETWORK[0][1]
    assert capture_entry.effective_time.ToMilliseconds() == 1_700_000_000_123
    assert capture_entry.record_time.ToMilliseconds() == mesh.clock.now_ms()
    assert (capture_entry.posted, capture_entry.held) == (usd(400), usd(600))
    assert [(line.ledger_account, line.amount.amount_minor) for line in capture_entry.lines] == [
        ("receivable.purchase", 400),
        ("network_clearing", -400),
    ]
    assert (reversal.amount, reversal.held) == (usd(600), usd(0))
    assert not any(entry.lines for entry in entries if entry is not capture_entry)


async def test_pages(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(10_000)
    card = await mesh.issue_card(account)
    for _ in range(3):
        await approved(mesh, card, 1)
    await mesh.settle()
    first = await _list(mesh, account_id=account, page_size=3)
    second = await _list(mesh, account_id=account, page_size=3, page_token=first.next_page_token)
    assert [entry.seq for entry in (*first.entries, *second.entries)] == [5, 4, 3, 2, 1]
    assert second.next_page_token == ""


async def test_unknown_account_has_no_entries(mesh: AuthzMesh) -> None:
    assert await _list(mesh, account_id="acct_0a" + "0" * 32) == rpc.ListEntriesResponse()


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (rpc.ListEntriesRequest(), ["account_id"]),
        (rpc.ListEntriesRequest(account_id="card_0a" + "0" * 32), ["account_id"]),
        (
            rpc.ListEntriesRequest(account_id="acct_0a" + "0" * 32, page_size=-1, page_token="x"),
            ["page_size", "page_token"],
        ),
    ],
)
async def test_wrong_fields_are_named(
    mesh: AuthzMesh, request_: rpc.ListEntriesRequest, fields: list[str]
) -> None:
    error = await refused(mesh.ledger_service.ListEntries, request_, metadata=ADMIN)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", fields)
