"""Applications and the states that they pass through. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from accounts.machine import IllegalTransition, Machine, Step
from runtime import ids


class State(StrEnum):
    """State of an application; the names are the contract's."""

    SUBMITTED = "SUBMITTED"
    IN_REVIEW = "IN_REVIEW"
    PENDING_DOCUMENT = "PENDING_DOCUMENT"
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"


class Transition(StrEnum):
    """What may be done to an application."""

    #: The scorecard refers it, or a reviewer takes it, or the documents are there.
    REVIEW = "REVIEW"
    ASK_DOCUMENTS = "ASK_DOCUMENTS"
    #: The scorecard decides.
    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    #: A person decides.
    APPROVE = "APPROVE"
    DECLINE = "DECLINE"
    WITHDRAW = "WITHDRAW"
    EXPIRE = "EXPIRE"


class Fulfilment(StrEnum):
    """What is done next for an approved application."""

    NONE = "NONE"
    OPEN_ACCOUNT = "OPEN_ACCOUNT"
    ISSUE_CARD = "ISSUE_CARD"
    CONFIRM = "CONFIRM"
    DONE = "DONE"


_OPEN = frozenset({State.SUBMITTED, State.IN_REVIEW, State.PENDING_DOCUMENT})
#: States that are never left.
FINAL = frozenset(State) - _OPEN

APPLICATIONS = Machine(
    "application",
    {
        Transition.REVIEW: Step(
            State.IN_REVIEW, frozenset({State.SUBMITTED, State.PENDING_DOCUMENT})
        ),
        Transition.ASK_DOCUMENTS: Step(
            State.PENDING_DOCUMENT, frozenset({State.SUBMITTED, State.IN_REVIEW})
        ),
        Transition.PASS: Step(State.APPROVED, frozenset({State.SUBMITTED})),
        Transition.FAIL: Step(State.DECLINED, frozenset({State.SUBMITTED})),
        Transition.APPROVE: Step(State.APPROVED, frozenset({State.IN_REVIEW})),
        Transition.DECLINE: Step(
            State.DECLINED, frozenset({State.IN_REVIEW, State.PENDING_DOCUMENT})
        ),
        Transition.WITHDRAW: Step(State.WITHDRAWN, _OPEN),
        Transition.EXPIRE: Step(State.EXPIRED, _OPEN),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """An application at one version."""

    id: str
    user_id: str
    #: Empty: the user applies for itself.
    company_id: str
    programme_id: str
    state: State
    currency_code: str
    requested_limit_minor: int
    #: What the applicant says, sealed with the key that `data_key` is.
    applicant: bytes
    #: The application's own key, sealed with the person's; empty: the person was erased.
    data_key: bytes
    #: The person's key, wrapped; empty: the person was erased.
    person_key: bytes
    #: The decision, as the contract serializes it; empty: there is none.
    decision: bytes
    #: Highest limit that the scorecard allows; 0: it has not run, or allows none.
    offered_limit_minor: int
    #: Limit that was granted.
    granted_limit_minor: int
    #: Kinds of documents that are missing, by their names in the contract, with commas between.
    missing: str
    fulfilment: Fulfilment
    expire_time_ms: int
    version: int
    create_time_ms: int
    update_time_ms: int

    @property
    def owner_id(self) -> str:
        """Who will own the account."""
        return self.company_id or self.user_id

    @property
    def readable(self) -> bool:
        """Whether what the applicant said can still be read."""
        return bool(self.data_key and self.person_key)

    @property
    def account_id(self) -> str:
        """The account that an approval opens: it follows from the application."""
        return ids.derived(ids.ACCOUNT, ids.tag_of(self.id), self.id, "account")

    @property
    def card_id(self) -> str:
        """The first card."""
        return ids.derived(ids.CARD, ids.tag_of(self.id), self.id, "card")

    @property
    def missing_kinds(self) -> tuple[str, ...]:
        """Kinds of documents that are missing."""
        return tuple(name for name in self.missing.split(",") if name)


def move(
    application: Application, transition: Transition, *, now_ms: int
) -> Application | IllegalTransition:
    """The application in its new state; the same object if it is there already. An approval begins
    with the account; what is decided asks for no documents any more.
    """
    state = APPLICATIONS.move(application.state, transition)
    if isinstance(state, IllegalTransition):
        return state
    if state is application.state:
        return application
    after = replace(
        application, state=state, version=application.version + 1, update_time_ms=now_ms
    )
    if state is State.APPROVED:
        after = replace(after, fulfilment=Fulfilment.OPEN_ACCOUNT)
    if state is not State.PENDING_DOCUMENT:
        after = replace(after, missing="")
    return after
