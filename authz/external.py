"""The external decision: what is asked, and what an answer, or none, means. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from authz.commands import Authorize
from authz.decision import Reason
from authz.entry import Decider
from authz.snapshot import Snapshot
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import external_decision_service_pb2 as external

#: Characters of the issuer's words that are kept.
REASON_LENGTH = 64


class Failure(StrEnum):
    """Why there is no answer."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    NOT_UNDERSTOOD = "not_understood"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """Whose word it is, and which: Reason.NONE approves."""

    decider: Decider
    reason: Reason = Reason.NONE
    words: str = ""


#: Nobody else was asked.
OWN = Opinion(decider=Decider.HOLDFAST)

_DECIDERS = {
    Failure.TIMEOUT: Decider.EXTERNAL_TIMEOUT,
    Failure.UNREACHABLE: Decider.EXTERNAL_ERROR,
    Failure.NOT_UNDERSTOOD: Decider.EXTERNAL_ERROR,
}
_DECLINES = {
    Failure.TIMEOUT: Reason.DECISION_TIMEOUT,
    Failure.UNREACHABLE: Reason.DECISION_TIMEOUT,
    Failure.NOT_UNDERSTOOD: Reason.EXTERNAL_DECLINED,
}


def question_of(command: Authorize, snapshot: Snapshot, request_id: str) -> external.DecideRequest:
    """What is asked about a purchase: field by field, so that nothing else is ever passed."""
    request = rpc.AuthorizeRequest.FromString(command.raw)
    card, account = snapshot.card, snapshot.account
    question = external.DecideRequest(
        request_id=request_id,
        card_id=card.card_id,
        root_card_id=card.root_card_id,
        account_id=account.account_id,
        owner_id=account.owner_id,
        programme_id=account.programme_id,
        amount=request.amount,
        message_type=request.message_type,
        initiator=request.initiator,
        network=command.network,
        network_transaction_id=command.transaction_id,
        preauthorization=request.preauthorization,
    )
    for name in ("merchant_amount", "merchant", "point_of_sale", "verification"):
        if request.HasField(name):
            getattr(question, name).CopyFrom(getattr(request, name))
    if request.HasField("transaction_time"):
        question.transaction_time.CopyFrom(request.transaction_time)
    return question


def opinion_of(answer: external.DecideResponse) -> Opinion | None:
    """What an answer says; None if it cannot be understood."""
    printable = "".join(one for one in answer.reason if one.isprintable())
    words = printable[:REASON_LENGTH]
    match answer.decision:
        case pb.DECISION_APPROVED:
            return Opinion(decider=Decider.EXTERNAL, words=words)
        case pb.DECISION_DECLINED:
            reason = Reason.EXTERNAL_DECLINED
            return Opinion(decider=Decider.EXTERNAL, reason=reason, words=words)
    return None


def by_default(failure: Failure, *, approve: bool) -> Opinion:
    """What stands for an answer that did not come."""
    reason = Reason.NONE if approve else _DECLINES[failure]
    return Opinion(decider=_DECIDERS[failure], reason=reason)
