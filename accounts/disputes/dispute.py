"""Disputes: what may be disputed until when, the states they pass through, and what each step has
posted. No I/O, no clock, no grpc.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from accounts.billing.calendar import Cycle, Rhythm, next_cycle
from accounts.machine import IllegalTransition, Machine, Step

#: Days for a notice after the statement, for its acknowledgement, and for all of it at most
#: (12 CFR 1026.13(b)(1), (c)(1), (c)(2)).
NOTICE_DAYS, ACKNOWLEDGE_DAYS, RESOLVE_DAYS = 60, 30, 90
#: Complete billing cycles after the one of the notice (12 CFR 1026.13(c)(2)).
RESOLVE_CYCLES = 2


class State(StrEnum):
    """State of a dispute; the names are the contract's."""

    SUBMITTED = "SUBMITTED"
    INVESTIGATING = "INVESTIGATING"
    CHARGEBACK = "CHARGEBACK"
    REPRESENTMENT = "REPRESENTMENT"
    ARBITRATION = "ARBITRATION"
    WON = "WON"
    PARTIALLY_WON = "PARTIALLY_WON"
    LOST = "LOST"
    WITHDRAWN = "WITHDRAWN"


class Transition(StrEnum):
    """What may be done to a dispute."""

    INVESTIGATE = "INVESTIGATE"
    CHARGE_BACK = "CHARGE_BACK"
    REPRESENT = "REPRESENT"
    ARBITRATE = "ARBITRATE"
    WIN = "WIN"
    WIN_IN_PART = "WIN_IN_PART"
    LOSE = "LOSE"
    WITHDRAW = "WITHDRAW"


OPEN = frozenset(
    {
        State.SUBMITTED,
        State.INVESTIGATING,
        State.CHARGEBACK,
        State.REPRESENTMENT,
        State.ARBITRATION,
    }
)
#: Nothing is decided before somebody has looked into it (12 CFR 1026.13(f)).
_LOOKED_INTO = OPEN - {State.SUBMITTED}

DISPUTES = Machine(
    "dispute",
    {
        Transition.INVESTIGATE: Step(State.INVESTIGATING, frozenset({State.SUBMITTED})),
        Transition.CHARGE_BACK: Step(State.CHARGEBACK, frozenset({State.INVESTIGATING})),
        Transition.REPRESENT: Step(State.REPRESENTMENT, frozenset({State.CHARGEBACK})),
        Transition.ARBITRATE: Step(State.ARBITRATION, frozenset({State.REPRESENTMENT})),
        Transition.WIN: Step(State.WON, _LOOKED_INTO),
        Transition.WIN_IN_PART: Step(State.PARTIALLY_WON, _LOOKED_INTO),
        Transition.LOSE: Step(State.LOST, _LOOKED_INTO),
        Transition.WITHDRAW: Step(State.WITHDRAWN, OPEN),
    },
)
#: The transitions that lead to states in between.
ADVANCES = {
    State.INVESTIGATING: Transition.INVESTIGATE,
    State.CHARGEBACK: Transition.CHARGE_BACK,
    State.REPRESENTMENT: Transition.REPRESENT,
    State.ARBITRATION: Transition.ARBITRATE,
}


class Kind(StrEnum):
    """What a dispute has the ledger post; the names are the contract's."""

    PROVISIONAL_CREDIT = "PROVISIONAL_CREDIT"
    PROVISIONAL_CREDIT_REVERSAL = "PROVISIONAL_CREDIT_REVERSAL"
    DISPUTE_CLAIM = "DISPUTE_CLAIM"
    DISPUTE_LOSS = "DISPUTE_LOSS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why something is not done: a reason of the contract, and what people are told."""

    reason: str
    message: str
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One amount that the ledger is to post."""

    kind: Kind
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Liability:
    """Who bears a disputed amount."""

    merchant_minor: int = 0
    issuer_minor: int = 0
    cardholder_minor: int = 0

    @property
    def total_minor(self) -> int:
        """All of it."""
        return self.merchant_minor + self.issuer_minor + self.cardholder_minor

    @property
    def won_minor(self) -> int:
        """What the cardholder need not pay."""
        return self.merchant_minor + self.issuer_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A charge, with what else happened to its purchase."""

    entry_id: str
    amount_minor: int
    #: Cleared of the whole purchase, less what was refunded of it.
    owed_minor: int
    #: The day on which it was posted, and the day on which the first statement that shows it was
    #: issued; None: there is none yet.
    posted_on: date
    shown_on: date | None
    #: Whether its account has statements.
    billed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An earlier dispute about the same purchase."""

    dispute_id: str
    entry_id: str
    state: State
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A dispute at one version."""

    id: str
    account_id: str
    card_id: str
    #: Whose words they are; empty: the card has no user, so there are none.
    user_id: str
    authorization_id: str
    entry_id: str
    #: PURCHASE or CASH: the part of the balance that the charge is in.
    category: str
    reason: str
    state: State
    currency_code: str
    amount_minor: int
    #: What happened, sealed with the key that `data_key` is.
    description: bytes
    #: The dispute's own key, sealed with the person's.
    data_key: bytes
    #: The person's key, wrapped; empty: the person was erased.
    person_key: bytes
    #: Provisional credit, less what was taken back.
    credited_minor: int
    merchant_minor: int
    issuer_minor: int
    cardholder_minor: int
    acknowledge_due_time_ms: int
    resolve_due_time_ms: int
    #: 0: it was not, or has not.
    acknowledged_ms: int
    ended_ms: int
    version: int
    create_time_ms: int
    update_time_ms: int

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN

    @property
    def readable(self) -> bool:
        """Whether what was said and handed in can still be read."""
        return bool(self.data_key and self.person_key)

    @property
    def deadline_ms(self) -> int | None:
        """When the next thing must have happened; None: nothing must."""
        if not self.is_open:
            return None
        if self.acknowledged_ms:
            return self.resolve_due_time_ms
        return min(self.acknowledge_due_time_ms, self.resolve_due_time_ms)

    def overdue(self, now_ms: int) -> bool:
        """Whether that time has passed."""
        return self.deadline_ms is not None and self.deadline_ms <= now_ms


def disputable(
    charge: Charge, earlier: Iterable[Earlier], *, amount_minor: int, today: date
) -> int | Refused:
    """The amount of a new dispute, or why there is none; 0: all that may be disputed."""
    about = [one for one in earlier if one.state is not State.WITHDRAWN]
    same = [one for one in about if one.entry_id == charge.entry_id]
    is_open = next((one for one in same if one.state in OPEN), None)
    if is_open is not None:
        return Refused(
            reason="DISPUTE_EXISTS",
            message="a dispute about this charge is open",
            metadata={"dispute_id": is_open.dispute_id, "state": is_open.state},
        )
    begins = charge.shown_on if charge.billed else charge.posted_on
    last = None if begins is None else begins + timedelta(days=NOTICE_DAYS)
    if last is not None and today > last:
        return Refused(
            reason="DISPUTE_TOO_LATE",
            message=f"the charge could be disputed until {last}",
            metadata={"entry_id": charge.entry_id, "until": str(last)},
        )
    left = min(
        charge.amount_minor - sum(one.amount_minor for one in same),
        charge.owed_minor - sum(one.amount_minor for one in about),
    )
    left = max(left, 0)
    if not left or amount_minor > left:
        return Refused(
            reason="AMOUNT_EXCEEDS_CHARGE",
            message="more than the charge less what was refunded and disputed before",
            metadata={"entry_id": charge.entry_id, "disputable_minor": str(left)},
        )
    return amount_minor or left


def resolve_by(received: date, cycle: Cycle | None, rhythm: Rhythm | None) -> date:
    """The last day for the end of a dispute: two complete billing cycles after the one in which it
    was received, and 90 days at most. `cycle`: one of the account's that is not later.
    """
    last = received + timedelta(days=RESOLVE_DAYS)
    if cycle is None or rhythm is None:
        return last
    while cycle.end < received:
        cycle = next_cycle(cycle, rhythm)
    for _ in range(RESOLVE_CYCLES):
        cycle = next_cycle(cycle, rhythm)
    return min(last, cycle.end)


def acknowledge_by(received: date) -> date:
    """The last day for its acknowledgement."""
    return received + timedelta(days=ACKNOWLEDGE_DAYS)


def moved(dispute: Dispute, transition: Transition, *, now_ms: int) -> Dispute | IllegalTransition:
    """The dispute in its new state; the same object if it is there already."""
    state = DISPUTES.move(dispute.state, transition)
    if isinstance(state, IllegalTransition):
        return state
    if state is dispute.state:
        return dispute
    after = _next(dispute, now_ms=now_ms, state=state)
    return after if state in OPEN else replace(after, ended_ms=now_ms)


def acknowledged(dispute: Dispute, *, now_ms: int) -> Dispute | Refused:
    """The dispute once its receipt was acknowledged."""
    if not dispute.is_open:
        return ended(dispute)
    if dispute.acknowledged_ms:
        return dispute
    return _next(dispute, now_ms=now_ms, acknowledged_ms=now_ms)


def granted(
    dispute: Dispute, *, amount_minor: int, now_ms: int
) -> tuple[Dispute, tuple[Posting, ...]] | Refused:
    """The dispute with more provisional credit; 0: all that is not credited."""
    if not dispute.is_open:
        return ended(dispute)
    left = dispute.amount_minor - dispute.credited_minor
    amount = amount_minor or left
    if not left or amount > left:
        return Refused(
            reason="CREDIT_EXCEEDS_DISPUTE",
            message="more than is disputed in all",
            metadata={"dispute_id": dispute.id, "left_minor": str(left)},
        )
    after = _next(dispute, now_ms=now_ms, credited_minor=dispute.credited_minor + amount)
    return after, (Posting(kind=Kind.PROVISIONAL_CREDIT, amount_minor=amount),)


def taken_back(
    dispute: Dispute, *, amount_minor: int, now_ms: int
) -> tuple[Dispute, tuple[Posting, ...]] | Refused:
    """The dispute with less provisional credit; 0: with none."""
    if not dispute.is_open:
        return ended(dispute)
    amount = amount_minor or dispute.credited_minor
    if not amount or amount > dispute.credited_minor:
        return Refused(
            reason="NO_PROVISIONAL_CREDIT",
            message="less is credited",
            metadata={"dispute_id": dispute.id, "credited_minor": str(dispute.credited_minor)},
        )
    after = _next(dispute, now_ms=now_ms, credited_minor=dispute.credited_minor - amount)
    return after, (Posting(kind=Kind.PROVISIONAL_CREDIT_REVERSAL, amount_minor=amount),)


def resolved(
    dispute: Dispute, liability: Liability, *, now_ms: int
) -> tuple[Dispute, tuple[Posting, ...]] | IllegalTransition:
    """The dispute once it has ended, with what makes its credit final."""
    assert liability.total_minor == dispute.amount_minor, "checked with the request"
    transition = Transition.WIN_IN_PART
    if not liability.cardholder_minor:
        transition = Transition.WIN
    elif not liability.won_minor:
        transition = Transition.LOSE
    after = moved(dispute, transition, now_ms=now_ms)
    if isinstance(after, IllegalTransition):
        return after
    if after is dispute:
        return IllegalTransition(
            subject="dispute", source=dispute.state, target=dispute.state, allowed=()
        )
    return _settled(after, liability)


def withdrawn(
    dispute: Dispute, *, now_ms: int
) -> tuple[Dispute, tuple[Posting, ...]] | IllegalTransition:
    """The dispute once it was taken back; nothing more happens to one that was."""
    after = moved(dispute, Transition.WITHDRAW, now_ms=now_ms)
    if isinstance(after, IllegalTransition):
        return after
    if after is dispute:
        return dispute, ()
    return _settled(after, Liability(cardholder_minor=dispute.amount_minor))


def ended(dispute: Dispute) -> Refused:
    """The refusal of what only an open dispute allows."""
    return Refused(
        reason="DISPUTE_ENDED",
        message=f"the dispute is {dispute.state}",
        metadata={"dispute_id": dispute.id, "state": dispute.state},
    )


def _settled(dispute: Dispute, liability: Liability) -> tuple[Dispute, tuple[Posting, ...]]:
    """What was credited becomes what was won, which merchant and issuer bear."""
    won, credited = liability.won_minor, dispute.credited_minor
    found = (
        Posting(kind=Kind.PROVISIONAL_CREDIT, amount_minor=won - credited),
        Posting(kind=Kind.PROVISIONAL_CREDIT_REVERSAL, amount_minor=credited - won),
        Posting(kind=Kind.DISPUTE_CLAIM, amount_minor=liability.merchant_minor),
        Posting(kind=Kind.DISPUTE_LOSS, amount_minor=liability.issuer_minor),
    )
    after = replace(
        dispute,
        credited_minor=won,
        merchant_minor=liability.merchant_minor,
        issuer_minor=liability.issuer_minor,
        cardholder_minor=liability.cardholder_minor,
    )
    return after, tuple(one for one in found if one.amount_minor > 0)


def _next(dispute: Dispute, *, now_ms: int, **changes: object) -> Dispute:
    return replace(dispute, version=dispute.version + 1, update_time_ms=now_ms, **changes)  # type: ignore[arg-type]
