"""Disputes from the wire and back."""

from __future__ import annotations

from typing import Any, TypeAlias

from accounts.applications.convert import check_file
from accounts.disputes.dispute import ADVANCES, Dispute, Liability, Refused, State
from accounts.disputes.store import Document, Event
from holdfast.accounts.v1 import dispute_pb2
from holdfast.accounts.v1 import dispute_service_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.errors import FailedPrecondition, InvalidArgument, NotFound, Violation
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, timestamp

ChangeRequest: TypeAlias = (
    pb.AddDisputeDocumentRequest
    | pb.RevealDisputeDocumentRequest
    | pb.AcknowledgeDisputeRequest
    | pb.AdvanceDisputeRequest
    | pb.GrantProvisionalCreditRequest
    | pb.ReverseProvisionalCreditRequest
    | pb.ResolveDisputeRequest
    | pb.WithdrawDisputeRequest
)

DESCRIPTION_LENGTH_MAX = 2_000
_STATE = dispute_pb2.Dispute.State
_REASON = dispute_pb2.Dispute.Reason
_STATES: dict[int, object] = dict(_STATE.DESCRIPTOR.values_by_number)
_REASONS: dict[int, object] = dict(_REASON.DESCRIPTOR.values_by_number)
_EVENT = dispute_pb2.DisputeEvent.Type
_SHARES = ("merchant", "issuer", "cardholder")


def opening(request: pb.DisputeAuthorizationRequest, context: Any) -> RequestKey:
    """Checks DisputeAuthorizationRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("authorization_id", request.authorization_id, ids.AUTHORIZATION)
    violations.id("entry_id", request.entry_id, ids.ENTRY, required=False)
    violations.enum("reason", request.reason, _REASONS, required=True)
    violations.money("amount", request, minimum=1, required=False)
    violations.text(
        "description",
        request.description,
        limit=DESCRIPTION_LENGTH_MAX,
        required=request.reason == dispute_pb2.Dispute.REASON_OTHER,
    )
    violations.raise_if_any()
    return key


def reason_name(reason: dispute_pb2.Dispute.Reason.ValueType) -> str:
    """A reason as it is kept."""
    return _REASON.Name(reason).removeprefix("REASON_")


def dispute_id(request: pb.GetDisputeRequest) -> str:
    """Checks GetDisputeRequest."""
    violations = Violations()
    violations.id("dispute_id", request.dispute_id, ids.DISPUTE)
    violations.raise_if_any()
    return request.dispute_id


def page(request: pb.ListDisputesRequest) -> tuple[Page, list[State]]:
    """Checks ListDisputesRequest; returns the states that are asked for."""
    violations = Violations()
    violations.id("account_id", request.account_id, ids.ACCOUNT, required=False)
    violations.id("card_id", request.card_id, ids.CARD, required=False)
    for number, state in enumerate(request.states):
        violations.enum(f"states[{number}]", state, _STATES, required=True)
    names = (request.account_id, request.card_id, sorted(set(request.states)), request.overdue)
    scope = f"ListDisputes|{'|'.join(map(str, names))}"
    found = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    states = [_state(one) for one in request.states]
    return found, states or list(State)


def change(request: ChangeRequest, context: Any) -> RequestKey:
    """Checks a request that changes a dispute."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("dispute_id", request.dispute_id, ids.DISPUTE)
    match request:
        case pb.AddDisputeDocumentRequest():
            check_file(request.media_type, request.content, violations)
        case pb.RevealDisputeDocumentRequest():
            violations.id("document_id", request.document_id, ids.DOCUMENT)
        case pb.AdvanceDisputeRequest():
            violations.enum("state", request.state, _STATES, required=True)
            if request.state in _STATES and request.state and _state(request.state) not in ADVANCES:
                violations.add("state", f"must be one of {', '.join(ADVANCES)}")
        case pb.GrantProvisionalCreditRequest() | pb.ReverseProvisionalCreditRequest():
            violations.money("amount", request, minimum=1, required=False)
        case pb.ResolveDisputeRequest():
            for share in _SHARES:
                violations.money(f"liability.{share}", request.liability)
    violations.raise_if_any()
    return key


def advance_to(request: pb.AdvanceDisputeRequest) -> State:
    """The state that a checked request leads to."""
    return _state(request.state)


def amount_minor(amount: Money, currency_code: str) -> int:
    """An amount in the account's currency; 0 for none."""
    if amount.currency_code and amount.currency_code != currency_code:
        raise other_currency("amount", currency_code)
    return amount.amount_minor


def liability(request: pb.ResolveDisputeRequest, dispute: Dispute) -> Liability:
    """Who bears a dispute's amount; the shares must make it up."""
    for share in _SHARES:
        if getattr(request.liability, share).currency_code != dispute.currency_code:
            raise other_currency(f"liability.{share}", dispute.currency_code)
    found = Liability(
        merchant_minor=request.liability.merchant.amount_minor,
        issuer_minor=request.liability.issuer.amount_minor,
        cardholder_minor=request.liability.cardholder.amount_minor,
    )
    if found.total_minor != dispute.amount_minor:
        description = f"must make up what is disputed, {dispute.amount_minor}"
        raise InvalidArgument.of([Violation("liability", description)])
    return found


def dispute(value: Dispute, *, now_ms: int) -> dispute_pb2.Dispute:
    """The dispute on the wire, without what was said and handed in."""

    def money(minor: int) -> Money:
        return Money(currency_code=value.currency_code, amount_minor=minor)

    message = dispute_pb2.Dispute(
        id=value.id,
        account_id=value.account_id,
        card_id=value.card_id,
        authorization_id=value.authorization_id,
        entry_id=value.entry_id,
        state=_STATE.Value(f"STATE_{value.state}"),
        reason=_REASON.Value(f"REASON_{value.reason}"),
        amount=money(value.amount_minor),
        provisional_credit=money(value.credited_minor),
        resolve_due_time=timestamp(value.resolve_due_time_ms),
        overdue=value.overdue(now_ms),
        version=value.version,
        create_time=timestamp(value.create_time_ms),
        update_time=timestamp(value.update_time_ms),
    )
    if value.acknowledged_ms:
        message.acknowledge_time.CopyFrom(timestamp(value.acknowledged_ms))
    elif value.is_open:
        message.acknowledge_due_time.CopyFrom(timestamp(value.acknowledge_due_time_ms))
    if not value.is_open:
        message.end_time.CopyFrom(timestamp(value.ended_ms))
        message.liability.CopyFrom(
            dispute_pb2.Liability(
                merchant=money(value.merchant_minor),
                issuer=money(value.issuer_minor),
                cardholder=money(value.cardholder_minor),
            )
        )
    return message


def document(value: Document) -> dispute_pb2.DisputeDocument:
    """A document on the wire."""
    return dispute_pb2.DisputeDocument(
        id=value.id,
        media_type=value.media_type,
        size=value.size,
        sha256=value.sha256.hex(),
        create_time=timestamp(value.create_time_ms),
    )


def event(value: Event, dispute: Dispute, *, staff: bool) -> dispute_pb2.DisputeEvent:
    """What happened, on the wire."""
    message = dispute_pb2.DisputeEvent(
        type=_EVENT.Value(f"TYPE_{value.type}"),
        state=_STATE.Value(f"STATE_{value.state}"),
        actor=value.actor if staff else "",
        time=timestamp(value.event_time_ms),
    )
    if value.amount_minor:
        message.amount.CopyFrom(
            Money(currency_code=dispute.currency_code, amount_minor=value.amount_minor)
        )
    return message


def refused(value: Refused) -> FailedPrecondition:
    """The error that says why the rules refused."""
    return FailedPrecondition(value.message, reason=value.reason, metadata=value.metadata)


def dispute_not_found(name: str) -> NotFound:
    """The error for an unknown dispute, or another's."""
    metadata = {"dispute_id": name}
    return NotFound("no such dispute", reason="DISPUTE_NOT_FOUND", metadata=metadata)


def document_not_found(name: str) -> NotFound:
    """The error for an unknown document, or another dispute's."""
    metadata = {"document_id": name}
    return NotFound("no such document", reason="DOCUMENT_NOT_FOUND", metadata=metadata)


def authorization_not_found(name: str) -> NotFound:
    """The error for an unknown purchase, or another's."""
    metadata = {"authorization_id": name}
    return NotFound("no such authorization", reason="AUTHORIZATION_NOT_FOUND", metadata=metadata)


def charge_not_posted(name: str) -> FailedPrecondition:
    """The error for a purchase of which nothing is cleared."""
    return FailedPrecondition(
        "nothing of the purchase is cleared yet: what is only held can be reversed",
        reason="CHARGE_NOT_POSTED",
        metadata={"authorization_id": name},
    )


def several_charges(names: list[str]) -> InvalidArgument:
    """The error for not saying which clearing is meant."""
    description = f"is required, the purchase was cleared in parts: one of {', '.join(names)}"
    return InvalidArgument.of([Violation("entry_id", description)])


def no_such_charge() -> InvalidArgument:
    """The error for naming an entry that is no clearing of the purchase."""
    return InvalidArgument.of([Violation("entry_id", "is no clearing of the purchase")])


def other_currency(field: str, currency_code: str) -> InvalidArgument:
    """The error for another currency than the account's."""
    description = f"must be the account's currency, {currency_code}"
    return InvalidArgument.of([Violation(f"{field}.currency_code", description)])


def claimant_erased(value: Dispute) -> FailedPrecondition:
    """The error for asking for what nobody can read any more, or could ever be sealed."""
    return FailedPrecondition(
        "the card's user was erased, or it has none: nothing can be sealed or opened",
        reason="CLAIMANT_ERASED",
        metadata={"dispute_id": value.id},
    )


def _state(value: dispute_pb2.Dispute.State.ValueType) -> State:
    return State(_STATE.Name(value).removeprefix("STATE_"))
