"""Disputes: opened in time and for no more than the charge, moved, credited and ended once."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import dispute_pb2
from holdfast.accounts.v1 import dispute_service_pb2 as pb
from holdfast.authz.v1 import posting_service_pb2 as postings
from tests.accounts_disputing import Reason, State, disputing, liability, shopper
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused, usd
from tests.accounts_people import ANNA, AUDITOR, BORIS, STAFF, as_user

DAY_MS = 86_400_000
UNKNOWN = "disp_0a" + "0" * 32
PURCHASE = "auth_0a" + "f" * 32
PDF = b"%PDF-1.7 what the shop wrote"
Event = dispute_pb2.DisputeEvent.Type


async def get(mesh: AccountsMesh, dispute_id: str, who: Any = None) -> dispute_pb2.Dispute:
    request = pb.GetDisputeRequest(dispute_id=dispute_id)
    answer: pb.GetDisputeResponse = await call(
        mesh.disputes.GetDispute, request, **(who or as_user(ANNA))
    )
    return answer.dispute


async def test_opens_with_its_deadlines(mesh: AccountsMesh) -> None:
    anna = await shopper(mesh)
    purchase, entry_id = await anna.charged(10_000)
    request = disputing(purchase, amount=usd(4_000), description="It never came.")
    answer, replayed = await call_replayed(
        mesh.disputes.DisputeAuthorization, request, **as_user(ANNA)
    )
    found = answer.dispute
    assert not replayed
    assert (found.state, found.amount, found.entry_id) == (
        State.STATE_SUBMITTED,
        usd(4_000),
        entry_id,
    )
    assert (found.account_id, found.card_id) == (anna.account_id, anna.card_id)
    received = found.create_time.seconds // 86_400
    assert found.acknowledge_due_time.seconds == (received + 31) * 86_400
    assert found.resolve_due_time.seconds == (received + 91) * 86_400
    assert found.description == ""
    again, replayed = await call_replayed(
        mesh.disputes.DisputeAuthorization, request, **as_user(ANNA)
    )
    assert (again, replayed) == (answer, True)
    shown = await get(mesh, found.id)
    assert shown.description == "It never came."
    assert [(one.type, one.actor) for one in shown.events] == [(Event.TYPE_SUBMITTED, "")]
    assert [one.actor for one in (await get(mesh, found.id, STAFF)).events] == [ANNA]
    stored = await mesh.pool.fetchval("SELECT description FROM dispute WHERE id = $1", found.id)
    assert b"never" not in stored
    request.amount.amount_minor = 4_001
    error = await refused(mesh.disputes.DisputeAuthorization, request, **as_user(ANNA))
    assert (error.code.name, error.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"purchase": "auth_x"}, ["authorization_id"]),
        ({"entry_id": "x"}, ["entry_id"]),
        ({"reason": 0}, ["reason"]),
        ({"reason": 99}, ["reason"]),
        ({"amount": usd(0)}, ["amount.amount_minor"]),
        ({"reason": Reason.REASON_OTHER}, ["description"]),
        ({"description": "x" * 2_001}, ["description"]),
    ],
)
async def test_wrong_fields_are_named(
    mesh: AccountsMesh, fields: dict[str, Any], names: list[str]
) -> None:
    request = disputing(**{"purchase": PURCHASE, **fields})
    error = await refused(mesh.disputes.DisputeAuthorization, request, **STAFF)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, names)


async def test_what_may_not_be_disputed(mesh: AccountsMesh) -> None:
    """Unknown, another's, not cleared, too much, twice, too late, another currency."""
    anna = await shopper(mesh)

    async def why(purchase: str, who: Any = None, **fields: Any) -> tuple[str, str]:
        request = disputing(purchase, request_id=mesh.request_id(), **fields)
        error = await refused(mesh.disputes.DisputeAuthorization, request, **(who or as_user(ANNA)))
        return error.code.name, error.reason

    assert await why(PURCHASE) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")
    assert await why(PURCHASE, STAFF) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")
    mesh.authorizer.ledger.purchases[PURCHASE] = anna.card_id
    assert await why(PURCHASE) == ("FAILED_PRECONDITION", "CHARGE_NOT_POSTED")
    purchase, entry_id = await anna.charged(10_000)
    assert await why(purchase, as_user(BORIS)) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")
    euros = usd(1)
    euros.currency_code = "EUR"
    assert (await why(purchase, amount=euros))[0] == "INVALID_ARGUMENT"
    too_much = ("FAILED_PRECONDITION", "AMOUNT_EXCEEDS_CHARGE")
    assert await why(purchase, amount=usd(10_001)) == too_much
    await anna.charged(3_000, kind="REFUND", purchase=purchase)
    assert await why(purchase, amount=usd(7_001)) == too_much
    request = disputing(purchase, amount=usd(5_000))
    first = await call(mesh.disputes.DisputeAuthorization, request, **as_user(ANNA))
    assert await why(purchase, amount=usd(1)) == ("FAILED_PRECONDITION", "DISPUTE_EXISTS")
    await anna.advanced(first.dispute.id, State.STATE_INVESTIGATING)
    lost = pb.ResolveDisputeRequest(dispute_id=first.dispute.id, liability=liability(0, 0, 5_000))
    await anna.staff("ResolveDispute", lost)
    assert await why(purchase, amount=usd(2_001)) == too_much
    error = await refused(
        mesh.disputes.DisputeAuthorization,
        disputing(purchase, request_id="more", amount=usd(2_001)),
        **STAFF,
    )
    assert error.metadata == {"entry_id": entry_id, "disputable_minor": "2000"}
    late, _ = await anna.charged(100, days_ago=61)
    assert await why(late) == ("FAILED_PRECONDITION", "DISPUTE_TOO_LATE")
    in_time, _ = await anna.charged(100, days_ago=60)
    await call(mesh.disputes.DisputeAuthorization, disputing(in_time, request_id="60"), **STAFF)


async def test_one_of_several_clearings_is_named(mesh: AccountsMesh) -> None:
    anna = await shopper(mesh)
    purchase, first = await anna.charged(6_000)
    _, second = await anna.charged(4_000, purchase=purchase)
    error = await refused(mesh.disputes.DisputeAuthorization, disputing(purchase), **STAFF)
    assert error.fields == ["entry_id"]
    wrong = disputing(purchase, entry_id="ent_0a" + "e" * 32)
    error = await refused(mesh.disputes.DisputeAuthorization, wrong, **STAFF)
    assert error.fields == ["entry_id"]
    for number, (entry_id, amount_minor) in enumerate(((second, 4_000), (first, 6_000))):
        request = disputing(purchase, entry_id=entry_id, request_id=f"e-{number}")
        answer = await call(mesh.disputes.DisputeAuthorization, request, **STAFF)
        assert answer.dispute.amount == usd(amount_minor)


async def test_a_dispute_is_credited_and_won(mesh: AccountsMesh) -> None:
    anna = await shopper(mesh)
    dispute = await anna.disputed()
    grant = pb.GrantProvisionalCreditRequest(
        request_id="grant", dispute_id=dispute.id, amount=usd(6_000)
    )
    credited = await anna.staff("GrantProvisionalCredit", grant)
    assert credited.provisional_credit == usd(6_000)
    assert await anna.staff("GrantProvisionalCredit", grant) == credited
    grant = pb.GrantProvisionalCreditRequest(request_id="more", dispute_id=dispute.id)
    grant.amount.CopyFrom(usd(4_001))
    error = await refused(mesh.disputes.GrantProvisionalCredit, grant, **STAFF)
    assert (error.reason, error.metadata["left_minor"]) == ("CREDIT_EXCEEDS_DISPUTE", "4000")
    early = pb.ResolveDisputeRequest(
        request_id="early", dispute_id=dispute.id, liability=liability(10_000)
    )
    error = await refused(mesh.disputes.ResolveDispute, early, **STAFF)
    assert (error.reason, error.metadata["from"], error.metadata["allowed"]) == (
        "ILLEGAL_TRANSITION",
        "SUBMITTED",
        "INVESTIGATING,WITHDRAWN",
    )
    await anna.advanced(dispute.id, State.STATE_INVESTIGATING, State.STATE_CHARGEBACK)
    won = pb.ResolveDisputeRequest(
        request_id="won", dispute_id=dispute.id, liability=liability(9_000, 1_000)
    )
    ended = await anna.staff("ResolveDispute", won)
    assert (ended.state, ended.provisional_credit) == (State.STATE_WON, usd(10_000))
    assert ended.liability == liability(9_000, 1_000)
    assert not ended.HasField("acknowledge_due_time")
    posted = [(one.kind, one.amount) for one in mesh.authorizer.ledger.posted.values()]
    assert posted == [
        (postings.POSTING_KIND_PROVISIONAL_CREDIT, usd(6_000)),
        (postings.POSTING_KIND_PROVISIONAL_CREDIT, usd(4_000)),
        (postings.POSTING_KIND_DISPUTE_CLAIM, usd(9_000)),
        (postings.POSTING_KIND_DISPUTE_LOSS, usd(1_000)),
    ]
    for method, request in (
        ("GrantProvisionalCredit", pb.GrantProvisionalCreditRequest(dispute_id=dispute.id)),
        ("ReverseProvisionalCredit", pb.ReverseProvisionalCreditRequest(dispute_id=dispute.id)),
        ("AcknowledgeDispute", pb.AcknowledgeDisputeRequest(dispute_id=dispute.id)),
    ):
        asked: Any = request
        asked.request_id = mesh.request_id()
        error = await refused(getattr(mesh.disputes, method), asked, **STAFF)
        assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "DISPUTE_ENDED")
    events = [one.type for one in (await get(mesh, dispute.id)).events]
    assert events == [
        Event.TYPE_SUBMITTED,
        Event.TYPE_CREDIT_GRANTED,
        Event.TYPE_MOVED,
        Event.TYPE_MOVED,
        Event.TYPE_CREDIT_GRANTED,
        Event.TYPE_ENDED,
    ]


async def test_a_dispute_is_lost_in_part_or_withdrawn(mesh: AccountsMesh) -> None:
    anna = await shopper(mesh)
    ledger = mesh.authorizer.ledger
    dispute = await anna.disputed()
    await anna.staff(
        "GrantProvisionalCredit", pb.GrantProvisionalCreditRequest(dispute_id=dispute.id)
    )
    less = pb.ReverseProvisionalCreditRequest(dispute_id=dispute.id, amount=usd(1_000))
    assert (await anna.staff("ReverseProvisionalCredit", less)).provisional_credit == usd(9_000)
    less.request_id, less.amount.amount_minor = "too-much", 9_001
    error = await refused(mesh.disputes.ReverseProvisionalCredit, less, **STAFF)
    assert error.reason == "NO_PROVISIONAL_CREDIT"
    states = (
        State.STATE_INVESTIGATING,
        State.STATE_CHARGEBACK,
        State.STATE_REPRESENTMENT,
        State.STATE_ARBITRATION,
    )
    await anna.advanced(dispute.id, *states)
    part = pb.ResolveDisputeRequest(dispute_id=dispute.id, liability=liability(6_000, 0, 4_000))
    ended = await anna.staff("ResolveDispute", part)
    assert (ended.state, ended.provisional_credit) == (State.STATE_PARTIALLY_WON, usd(6_000))
    back = postings.POSTING_KIND_PROVISIONAL_CREDIT_REVERSAL
    amounts = [one.amount.amount_minor for one in ledger.posted.values() if one.kind == back]
    assert amounts == [1_000, 3_000]
    other = await anna.disputed()
    withdraw = pb.WithdrawDisputeRequest(request_id="w", dispute_id=other.id)
    answer = await call(mesh.disputes.WithdrawDispute, withdraw, **as_user(ANNA))
    assert answer.dispute.state == State.STATE_WITHDRAWN
    assert answer.dispute.liability == liability(0, 0, 10_000)
    error = await refused(
        mesh.disputes.WithdrawDispute,
        pb.WithdrawDisputeRequest(request_id="w2", dispute_id=dispute.id),
        **as_user(ANNA),
    )
    assert (error.reason, error.metadata["from"]) == ("ILLEGAL_TRANSITION", "PARTIALLY_WON")
    request = disputing(other.authorization_id, request_id="again")
    await call(mesh.disputes.DisputeAuthorization, request, **as_user(ANNA))


async def test_liability_makes_up_the_amount(mesh: AccountsMesh) -> None:
    anna = await shopper(mesh)
    dispute = await anna.disputed()
    await anna.advanced(dispute.id, State.STATE_INVESTIGATING)
    for shares, fields in (
        (liability(9_999), ["liability"]),
        (liability(-1, 1, 10_000), ["liability.merchant.amount_minor"]),
        (dispute_pb2.Liability(merchant=usd(10_000)), ["liability.issuer", "liability.cardholder"]),
    ):
        request = pb.ResolveDisputeRequest(request_id="r", dispute_id=dispute.id, liability=shares)
        error = await refused(mesh.disputes.ResolveDispute, request, **STAFF)
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, fields)


async def test_what_the_ledger_did_not_take_is_posted_later(mesh: AccountsMesh) -> None:
    """The intent is committed first: whoever dies after it, or meets a closed gate, posts later,
    with the same request id.
    """
    anna = await shopper(mesh)
    dispute = await anna.disputed()
    ledger = mesh.authorizer.ledger
    ledger.refusing = True
    grant = pb.GrantProvisionalCreditRequest(request_id="grant", dispute_id=dispute.id)
    error = await refused(mesh.disputes.GrantProvisionalCredit, grant, **STAFF)
    assert (error.code.name, error.reason) == ("UNAVAILABLE", "OUTCOME_UNKNOWN")
    assert (await get(mesh, dispute.id)).provisional_credit == usd(10_000)
    await mesh.dispute_poster.work_due()
    assert ledger.posted == {}
    ledger.refusing = False
    mesh.clock.advance(60_000)
    await mesh.dispute_poster.work_due()
    assert list(ledger.posted) == [f"{dispute.id}:1"]
    assert not await mesh.dispute_poster.work_due()
    answer, replayed = await call_replayed(mesh.disputes.GrantProvisionalCredit, grant, **STAFF)
    assert (answer.dispute.provisional_credit, replayed) == (usd(10_000), True)
    assert list(ledger.posted) == [f"{dispute.id}:1"]


async def test_deadlines_are_watched(mesh: AccountsMesh) -> None:
    anna = await shopper(mesh)
    slow = await anna.disputed()
    mesh.clock.advance(1)
    quick = await anna.disputed()
    await anna.staff("AcknowledgeDispute", pb.AcknowledgeDisputeRequest(dispute_id=quick.id))

    async def overdue() -> list[str]:
        await mesh.dispute_poster.work_due()
        request = pb.ListDisputesRequest(overdue=True)
        answer: pb.ListDisputesResponse = await call(mesh.disputes.ListDisputes, request, **STAFF)
        assert all(one.overdue for one in answer.disputes)
        return [one.id for one in answer.disputes]

    assert await overdue() == []
    mesh.clock.advance(31 * DAY_MS)
    assert await overdue() == [slow.id]
    mesh.clock.advance(60 * DAY_MS)
    assert await overdue() == [quick.id, slow.id]
    await anna.advanced(slow.id, State.STATE_INVESTIGATING)
    events = [one.type for one in (await get(mesh, slow.id)).events]
    assert events == [
        Event.TYPE_SUBMITTED,
        Event.TYPE_ACKNOWLEDGEMENT_OVERDUE,
        Event.TYPE_RESOLUTION_OVERDUE,
        Event.TYPE_MOVED,
    ]
    withdraw = pb.WithdrawDisputeRequest(dispute_id=slow.id)
    await anna.staff("WithdrawDispute", withdraw)
    assert await overdue() == [quick.id]


async def test_lists_and_belongs(mesh: AccountsMesh) -> None:
    anna = await shopper(mesh)
    first = await anna.disputed()
    mesh.clock.advance(1)
    second = await anna.disputed()
    method = mesh.disputes.ListDisputes
    mine = pb.ListDisputesRequest(account_id=anna.account_id, page_size=1)
    page = await call(method, mine, **as_user(ANNA))
    assert [one.id for one in page.disputes] == [second.id]
    mine.page_token = page.next_page_token
    page = await call(method, mine, **as_user(ANNA))
    assert ([one.id for one in page.disputes], page.next_page_token) == ([first.id], "")
    await anna.advanced(first.id, State.STATE_INVESTIGATING)
    states = pb.ListDisputesRequest(card_id=anna.card_id, states=[State.STATE_INVESTIGATING])
    page = await call(method, states, **AUDITOR)
    assert [one.id for one in page.disputes] == [first.id]
    error = await refused(method, pb.ListDisputesRequest(), **as_user(ANNA))
    assert error.fields == ["account_id"]
    foreign = pb.ListDisputesRequest(account_id=anna.account_id)
    error = await refused(method, foreign, **as_user(BORIS))
    assert (error.code.name, error.reason) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    wrong = pb.ListDisputesRequest(account_id="x", states=[State.STATE_UNSPECIFIED], page_size=-1)
    error = await refused(method, wrong, **STAFF)
    assert error.fields == ["account_id", "states[0]", "page_size"]
    for who in (as_user(BORIS), as_user(ANNA), STAFF):
        name = first.id if who == as_user(BORIS) else UNKNOWN
        error = await refused(
            mesh.disputes.GetDispute, pb.GetDisputeRequest(dispute_id=name), **who
        )
        assert (error.code.name, error.reason) == ("NOT_FOUND", "DISPUTE_NOT_FOUND")
    error = await refused(mesh.disputes.GetDispute, pb.GetDisputeRequest(), **STAFF)
    assert error.fields == ["dispute_id"]


async def test_documents_are_sealed_and_shown_to_staff(mesh: AccountsMesh) -> None:
    anna = await shopper(mesh)
    dispute = await anna.disputed()
    hand_in = pb.AddDisputeDocumentRequest(
        request_id="doc", dispute_id=dispute.id, media_type="application/pdf", content=PDF
    )
    method = mesh.disputes.AddDisputeDocument
    added = await call(method, hand_in, **as_user(ANNA))
    assert await call(method, hand_in, **as_user(ANNA)) == added
    assert [one.id for one in (await get(mesh, dispute.id)).documents] == [added.document.id]
    (file,) = sorted((mesh.folder / "documents" / dispute.id).iterdir())
    assert PDF not in file.read_bytes()
    show = pb.RevealDisputeDocumentRequest(
        request_id="show", dispute_id=dispute.id, document_id=added.document.id
    )
    assert (await call(mesh.disputes.RevealDisputeDocument, show, **STAFF)).content == PDF
    unknown = pb.RevealDisputeDocumentRequest(
        request_id="no", dispute_id=dispute.id, document_id="doc_0a" + "0" * 32
    )
    error = await refused(mesh.disputes.RevealDisputeDocument, unknown, **STAFF)
    assert (error.code.name, error.reason) == ("NOT_FOUND", "DOCUMENT_NOT_FOUND")
    hand_in.request_id, hand_in.media_type = "other", "image/png"
    error = await refused(method, hand_in, **as_user(ANNA))
    assert error.fields == ["content"]
    withdraw = pb.WithdrawDisputeRequest(request_id="w", dispute_id=dispute.id)
    await call(mesh.disputes.WithdrawDispute, withdraw, **as_user(ANNA))
    hand_in.media_type = "application/pdf"
    error = await refused(method, hand_in, **as_user(ANNA))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "DISPUTE_ENDED")


async def test_only_staff_decides(mesh: AccountsMesh) -> None:
    anna = await shopper(mesh)
    dispute = await anna.disputed()
    before = await mesh.count("dispute_event")
    for method, request in (
        ("AcknowledgeDispute", pb.AcknowledgeDisputeRequest()),
        ("AdvanceDispute", pb.AdvanceDisputeRequest(state=State.STATE_INVESTIGATING)),
        ("GrantProvisionalCredit", pb.GrantProvisionalCreditRequest()),
        ("ReverseProvisionalCredit", pb.ReverseProvisionalCreditRequest()),
        ("ResolveDispute", pb.ResolveDisputeRequest(liability=liability(10_000))),
        (
            "RevealDisputeDocument",
            pb.RevealDisputeDocumentRequest(document_id="doc_0a" + "0" * 32),
        ),
    ):
        asked: Any = request
        asked.request_id, asked.dispute_id = mesh.request_id(), dispute.id
        for who in (as_user(ANNA), AUDITOR):
            error = await refused(getattr(mesh.disputes, method), asked, **who)
            assert error.code is grpc.StatusCode.PERMISSION_DENIED, method
        asked.dispute_id = UNKNOWN
        error = await refused(getattr(mesh.disputes, method), asked, **STAFF)
        assert (error.code.name, error.reason) == ("NOT_FOUND", "DISPUTE_NOT_FOUND"), method
    assert await mesh.count("dispute_event") == before
    for state in (State.STATE_WON, State.STATE_SUBMITTED, State.STATE_UNSPECIFIED):
        wrong = pb.AdvanceDisputeRequest(request_id="a", dispute_id=dispute.id, state=state)
        error = await refused(mesh.disputes.AdvanceDispute, wrong, **STAFF)
        assert error.fields == ["state"]
