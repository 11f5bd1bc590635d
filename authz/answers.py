"""Movements to wire: a replay goes through the same code as the first answer."""

from __future__ import annotations

from typing import Protocol

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from authz.commands import Authorize
from authz.decision import Reason
from authz.hold import Hold, State
from authz.movement import Movement
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1 import posting_service_pb2 as postings
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from holdfast.type.v1 import options_pb2
from holdfast.type.v1.money_pb2 import Money
from runtime.validate import timestamp

#: ISO 8583 DE39 of approvals: in full, in part, and of an account verification (amount 0).
APPROVED = "00"
APPROVED_PARTIALLY = "10"
VERIFIED = "85"

_STATES = {state: getattr(pb.Authorization, f"STATE_{state}") for state in State}


def _response_codes() -> dict[int, str]:
    """DE39 of each decline reason, from the contract."""
    option = options_pb2.decline
    return {
        value.number: value.GetOptions().Extensions[option].response_code
        for value in DeclineReason.DESCRIPTOR.values
        if value.number
    }


RESPONSE_CODES = _response_codes()


def response_code(
    reason: int, *, approved_minor: int, requested_minor: int, inquiry: bool = False
) -> str:
    """The DE39 answer to the network."""
    if reason != Reason.NONE:
        return RESPONSE_CODES[reason]
    if requested_minor == 0 and not inquiry:
        return VERIFIED
    return APPROVED if approved_minor == requested_minor else APPROVED_PARTIALLY


def state(hold: Hold) -> pb.Authorization.State.ValueType:
    """The contract's state of a hold."""
    found: pb.Authorization.State.ValueType = _STATES[hold.state]
    return found


def authorize(command: Authorize, movement: Movement) -> rpc.AuthorizeResponse:
    """The decision."""
    outcome = movement.outcome
    approved = outcome.reason == Reason.NONE
    currency = movement.currency_code
    answer = rpc.AuthorizeResponse(
        authorization_id=outcome.authorization_id,
        decision=pb.DECISION_APPROVED if approved else pb.DECISION_DECLINED,
        decline_reason=DeclineReason.ValueType(outcome.reason),
        response_code=response_code(
            outcome.reason,
            approved_minor=outcome.amount_minor,
            requested_minor=command.purchase.amount_minor,
            inquiry=command.inquiry,
        ),
        authorization_code=outcome.authorization_code,
    )
    # Filled in place: building parts to copy them takes twice as long.
    fill(answer.approved_amount, outcome.amount_minor, currency)
    fill_time(answer.decide_time, outcome.recorded_at_ms)
    if outcome.control:
        answer.control.CopyFrom(control_of(outcome, currency))
    if outcome.seq:
        fill(answer.available_credit, outcome.available_minor, currency)
    if outcome.expire_at_ms:
        fill_time(answer.expire_time, outcome.expire_at_ms)
    return answer


def fill(money: Money, amount_minor: int, currency_code: str) -> None:
    """Sets an amount that is part of a message."""
    money.currency_code = currency_code
    money.amount_minor = amount_minor


def fill_time(time: Timestamp, ms: int) -> None:
    """Sets an instant that is part of a message."""
    time.seconds = ms // 1000
    time.nanos = ms % 1000 * 1_000_000


class _Refused(Protocol):
    @property
    def control(self) -> str: ...

    @property
    def control_left_minor(self) -> int: ...

    @property
    def control_left_count(self) -> int: ...


def control_of(outcome: _Refused, currency_code: str) -> pb.ControlRefusal:
    """The control that declined, and what it would have allowed."""
    found = pb.ControlRefusal(control_id=outcome.control)
    if outcome.control_left_minor >= 0:
        found.left_amount.currency_code = currency_code
        found.left_amount.amount_minor = outcome.control_left_minor
    if outcome.control_left_count >= 0:
        found.left_count = outcome.control_left_count
    return found


def hide_left(answer: Message) -> None:
    """Takes out of an answer what a cardholder has left: no merchant is told."""
    names = answer.DESCRIPTOR.fields_by_name
    if "available_credit" in names:
        answer.ClearField("available_credit")
    if "control" in names and answer.HasField("control"):
        for name in ("left_amount", "left_count"):
            answer.control.ClearField(name)  # type: ignore[attr-defined]


def capture(movement: Movement) -> rpc.CaptureAuthorizationResponse:
    """What a capture did."""
    outcome, currency = movement.outcome, movement.currency_code
    hold = outcome.hold
    return rpc.CaptureAuthorizationResponse(
        authorization_id=outcome.authorization_id,
        state=state(hold),
        posted_amount=Money(currency_code=currency, amount_minor=outcome.amount_minor),
        captured_amount=Money(currency_code=currency, amount_minor=hold.captured_minor),
        held_amount=Money(currency_code=currency, amount_minor=hold.held_minor),
        available_credit=Money(currency_code=currency, amount_minor=outcome.available_minor),
        record_time=timestamp(outcome.recorded_at_ms),
    )


def force_post(movement: Movement) -> movements.ForcePostResponse:
    """What a force post did."""
    outcome, currency = movement.outcome, movement.currency_code
    return movements.ForcePostResponse(
        authorization_id=outcome.authorization_id,
        posted_amount=Money(currency_code=currency, amount_minor=outcome.amount_minor),
        available_credit=Money(currency_code=currency, amount_minor=outcome.available_minor),
        record_time=timestamp(outcome.recorded_at_ms),
    )


def increment(movement: Movement) -> movements.IncrementAuthorizationResponse:
    """The decision on an increment."""
    outcome, currency = movement.outcome, movement.currency_code
    approved = outcome.reason == Reason.NONE
    hold = outcome.hold
    answer = movements.IncrementAuthorizationResponse(
        authorization_id=outcome.authorization_id,
        decision=pb.DECISION_APPROVED if approved else pb.DECISION_DECLINED,
        decline_reason=DeclineReason.ValueType(outcome.reason),
        response_code=APPROVED if approved else RESPONSE_CODES[outcome.reason],
        authorized_amount=Money(currency_code=currency, amount_minor=hold.approved_minor),
        held_amount=Money(currency_code=currency, amount_minor=hold.held_minor),
        available_credit=Money(currency_code=currency, amount_minor=outcome.available_minor),
        decide_time=timestamp(outcome.recorded_at_ms),
    )
    if outcome.control:
        answer.control.CopyFrom(control_of(outcome, currency))
    return answer


def expire(movement: Movement) -> movements.ExpireAuthorizationResponse:
    """What an expiry did."""
    outcome, currency = movement.outcome, movement.currency_code
    return movements.ExpireAuthorizationResponse(
        authorization_id=outcome.authorization_id,
        state=state(outcome.hold),
        released_amount=Money(currency_code=currency, amount_minor=outcome.amount_minor),
        available_credit=Money(currency_code=currency, amount_minor=outcome.available_minor),
        record_time=timestamp(outcome.recorded_at_ms),
    )


def refund(movement: Movement) -> movements.RefundResponse:
    """What a refund, or its reversal, did."""
    outcome, currency = movement.outcome, movement.currency_code
    return movements.RefundResponse(
        authorization_id=outcome.authorization_id,
        posted_amount=Money(currency_code=currency, amount_minor=outcome.amount_minor),
        refunded_amount=Money(currency_code=currency, amount_minor=outcome.hold_refunded_minor),
        available_credit=Money(currency_code=currency, amount_minor=outcome.available_minor),
        record_time=timestamp(outcome.recorded_at_ms),
    )


def posting(movement: Movement, entry_id: str) -> postings.PostingResult:
    """The balance after a posting."""
    outcome, currency = movement.outcome, movement.currency_code
    return postings.PostingResult(
        entry_id=entry_id,
        posted=Money(currency_code=currency, amount_minor=outcome.posted_minor),
        unreleased=Money(currency_code=currency, amount_minor=outcome.unreleased_minor),
        available_credit=Money(currency_code=currency, amount_minor=outcome.available_minor),
        record_time=timestamp(outcome.recorded_at_ms),
    )


def reverse(movement: Movement) -> rpc.ReverseAuthorizationResponse:
    """What a reversal did."""
    outcome, currency = movement.outcome, movement.currency_code
    return rpc.ReverseAuthorizationResponse(
        authorization_id=outcome.authorization_id,
        state=state(outcome.hold),
        released_amount=Money(currency_code=currency, amount_minor=outcome.amount_minor),
        held_amount=Money(currency_code=currency, amount_minor=outcome.hold.held_minor),
        available_credit=Money(currency_code=currency, amount_minor=outcome.available_minor),
        record_time=timestamp(outcome.recorded_at_ms),
    )
