from __future__ import annotations

import pytest
from google.protobuf.json_format import MessageToJson

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import decline_reason_pb2
from holdfast.type.v1.money_pb2 import Money
from loadtest.frames import grpc_message
from loadtest.outcome import Outcome, of_grpc, of_json

ID = "auth_2a" + "0" * 32
INSUFFICIENT_CREDIT = decline_reason_pb2.DECLINE_REASON_INSUFFICIENT_CREDIT
AMOUNT = Money(currency_code="USD", amount_minor=5)

#: An answer, and what became of the call.
CASES = [
    (rpc.AuthorizeResponse(authorization_id=ID, decision=pb.DECISION_APPROVED), Outcome.APPROVED),
    (rpc.AuthorizeResponse(authorization_id=ID, decision=pb.DECISION_DECLINED), Outcome.DECLINED),
    # Of another form than ours.
    (rpc.AuthorizeResponse(decision=pb.DECISION_APPROVED, response_code="00"), Outcome.APPROVED),
    (rpc.AuthorizeResponse(authorization_id="x", decision=pb.DECISION_DECLINED), Outcome.DECLINED),
    # No decision, although later fields and a 1 are there.
    (rpc.AuthorizeResponse(authorization_id=ID, approved_amount=AMOUNT), Outcome.OK),
    (rpc.AuthorizeResponse(decline_reason=INSUFFICIENT_CREDIT, approved_amount=AMOUNT), Outcome.OK),
    (rpc.AuthorizeResponse(), Outcome.OK),
]


@pytest.mark.parametrize(("answer", "outcome"), CASES)
def test_the_decision_is_read_from_the_bytes(
    answer: rpc.AuthorizeResponse, outcome: Outcome
) -> None:
    """The shortcut of the usual answer and the walk over any other find what protobuf finds."""
    assert of_grpc(grpc_message(answer.SerializeToString())) is outcome


@pytest.mark.parametrize(("answer", "outcome"), CASES)
def test_the_same_as_json(answer: rpc.AuthorizeResponse, outcome: Outcome) -> None:
    text = MessageToJson(answer, preserving_proto_field_name=True)
    assert of_json(text.encode()) is outcome
