"""What a change of a dispute means to those who are told. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Sequence

from accounts.disputes.dispute import Dispute, Kind, Posting, State
from runtime.events.catalogue import Event, money

#: By the state that a dispute is in from now on.
_STATES = {
    State.SUBMITTED: "dispute.submitted",
    State.INVESTIGATING: "dispute.investigating",
    State.CHARGEBACK: "dispute.charged_back",
    State.REPRESENTMENT: "dispute.represented",
    State.ARBITRATION: "dispute.in_arbitration",
    State.WON: "dispute.won",
    State.PARTIALLY_WON: "dispute.partially_won",
    State.LOST: "dispute.lost",
    State.WITHDRAWN: "dispute.withdrawn",
}
#: What only the issuer's own books are about is told to nobody.
_CREDITS = {
    Kind.PROVISIONAL_CREDIT: "dispute.credit_granted",
    Kind.PROVISIONAL_CREDIT_REVERSAL: "dispute.credit_reversed",
}


def submitted(dispute: Dispute) -> Event:
    """A charge was disputed."""
    return _event(_STATES[dispute.state], dispute, dispute.amount_minor)


def of_change(before: Dispute, after: Dispute, postings: Sequence[Posting]) -> list[Event]:
    """What happened between two versions, of which these postings came."""
    found = [
        _event(_CREDITS[one.kind], after, one.amount_minor)
        for one in postings
        if one.kind in _CREDITS
    ]
    if not before.acknowledged_ms and after.acknowledged_ms:
        found.append(_event("dispute.acknowledged", after, after.amount_minor))
    if before.state is not after.state:
        found.append(_event(_STATES[after.state], after, after.amount_minor))
    return found


def _event(name: str, dispute: Dispute, amount_minor: int) -> Event:
    data = {
        "dispute_id": dispute.id,
        "authorization_id": dispute.authorization_id,
        "entry_id": dispute.entry_id,
        "state": str(dispute.state),
        "reason": dispute.reason,
        "amount": money(amount_minor, dispute.currency_code),
    }
    if not dispute.is_open and name == _STATES[dispute.state]:
        won_minor = dispute.merchant_minor + dispute.issuer_minor
        data["won"] = money(won_minor, dispute.currency_code)
    return Event(
        type=name,
        time_ms=dispute.update_time_ms,
        account_id=dispute.account_id,
        user_id=dispute.user_id,
        data=data,
    )
