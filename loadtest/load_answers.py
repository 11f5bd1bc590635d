"""What the users of a load test were answered, added up so that a ledger can be held against it.

Pure. An authorization belongs to one actor at a time, so its last answer is its state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2


@dataclass(slots=True, kw_only=True)
class Answered:
    """One authorization as the answers have told it."""

    account_id: str
    approved: bool
    authorized_minor: int
    held_minor: int
    captured_minor: int = 0
    refunded_minor: int = 0


@dataclass(slots=True, kw_only=True)
class Answers:
    """Everything that was answered."""

    #: By authorization id.
    authorizations: dict[str, Answered] = field(default_factory=dict)
    #: Posted by clearings, less refunds, by account.
    posted_minor: Counter[str] = field(default_factory=Counter)
    #: Requests without a definite answer so far, by request id, each with its name.
    unanswered: dict[str, str] = field(default_factory=dict)

    def authorized(self, account_id: str, answer: rpc.AuthorizeResponse) -> None:
        """A decision, told for the first time."""
        assert answer.authorization_id not in self.authorizations, "one request, one authorization"
        approved = answer.decision == pb.DECISION_APPROVED
        amount_minor = answer.approved_amount.amount_minor
        self.authorizations[answer.authorization_id] = Answered(
            account_id=account_id,
            approved=approved,
            authorized_minor=amount_minor,
            held_minor=amount_minor,
        )

    def captured(self, answer: rpc.CaptureAuthorizationResponse) -> None:
        """A clearing."""
        one = self.authorizations[answer.authorization_id]
        one.captured_minor = answer.captured_amount.amount_minor
        one.held_minor = answer.held_amount.amount_minor
        self.posted_minor[one.account_id] += answer.posted_amount.amount_minor

    def reversed(self, answer: rpc.ReverseAuthorizationResponse) -> None:
        """A reversal."""
        self.authorizations[answer.authorization_id].held_minor = answer.held_amount.amount_minor

    def refunded(self, answer: movement_pb2.RefundResponse) -> None:
        """A refund of a purchase."""
        one = self.authorizations[answer.authorization_id]
        one.refunded_minor = answer.refunded_amount.amount_minor
        self.posted_minor[one.account_id] -= answer.posted_amount.amount_minor

    def held_minor(self) -> Counter[str]:
        """Sum of the open holds by account."""
        sums: Counter[str] = Counter()
        for one in self.authorizations.values():
            sums[one.account_id] += one.held_minor
        return sums

    def document(self) -> dict[str, Any]:
        """The answers for `of_document`."""
        return {
            "authorizations": {name: asdict(one) for name, one in self.authorizations.items()},
            "posted_minor": dict(self.posted_minor),
            "unanswered": self.unanswered,
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Answers:
        """What `document` told."""
        return cls(
            authorizations={
                name: Answered(**one) for name, one in document["authorizations"].items()
            },
            posted_minor=Counter(document["posted_minor"]),
            unanswered=dict(document["unanswered"]),
        )
