"""The scorecard: what is known of an applicant becomes an outcome that explains itself. No I/O, no
clock, no grpc.

Points are added to `BASE`; each rule names what it looks at, and the text that an applicant is told
if it counted against it: that of Regulation B's sample form C-1 where it has one. What may never
count (12 CFR 1002.4 to 1002.6) is not among the facts: age is only asked for the capacity to
contract. A watch-list hit, a duplicate, or somebody who applies as another goes to a person and is
told to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Whom nobody may give credit without others: they cannot contract.
AGE_MIN = 18
#: Points that everybody begins with, and the most there are.
BASE, SCORE_MAX = 500, 1000
#: Reasons that a notice names at most (commentary on 12 CFR 1002.9(b)(2)).
REASONS_MAX = 4

_STEP_MINOR = 10_000


class Identity(StrEnum):
    """What the identity check found."""

    VERIFIED = "VERIFIED"
    UNVERIFIED = "UNVERIFIED"
    MISMATCH = "MISMATCH"


class Outcome(StrEnum):
    """What happens next."""

    APPROVE = "APPROVE"
    REVIEW = "REVIEW"
    ASK_DOCUMENTS = "ASK_DOCUMENTS"
    DECLINE = "DECLINE"


class Alert(StrEnum):
    """What a person has to look into; the names are the contract's."""

    WATCH_LIST = "WATCH_LIST"
    DUPLICATE = "DUPLICATE"
    OTHER_PERSON = "OTHER_PERSON"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known, amounts of a month in minor units."""

    age: int
    identity: Identity
    watch_list: bool
    duplicate: bool
    #: What is said contradicts what is known of the user who applies.
    other_person: bool
    #: None: there is no credit file.
    credit_score: int | None
    delinquencies: int
    inquiries: int
    bankruptcy: bool
    income_minor: int
    housing_minor: int
    debt_minor: int
    earning: bool
    employment_months: int
    requested_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a programme asks for."""

    approve_score: int
    decline_score: int
    limit_min_minor: int
    limit_max_minor: int
    income_percent: int
    always_review: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One rule's points, and what is told if they count against the applicant."""

    name: str
    points: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The outcome. `factors` are those that counted, the heaviest first."""

    outcome: Outcome
    score: int
    #: Limit that may be granted; 0: none.
    limit_minor: int
    factors: tuple[Factor, ...]
    #: Told if it is declined.
    reasons: tuple[str, ...]
    #: Told to reviewers only.
    alerts: tuple[Alert, ...]


_IDENTITY = "Unable to verify identity"
_AGE = "Applicant does not have the legal capacity to contract"
_INCOME = "Income insufficient for amount of credit requested"
_OBLIGATIONS = "Excessive obligations in relation to income"
_BANKRUPTCY = "Bankruptcy"


def score(facts: Facts, policy: Policy) -> Scored:
    """Judges an application."""
    factors = sorted(_factors(facts), key=lambda factor: (-abs(factor.points), factor.name))
    total = min(max(BASE + sum(factor.points for factor in factors), 0), SCORE_MAX)
    limit_minor = _limit(facts, policy)
    against = [factor.reason for factor in factors if factor.points < 0]
    knocked = _knocked_out(facts)
    if limit_minor == 0 and not knocked:
        against.insert(0, _INCOME)
    outcome = _outcome(facts, policy, total=total, limit_minor=limit_minor, knocked=bool(knocked))
    reasons = tuple(dict.fromkeys([*knocked, *against]))[:REASONS_MAX]
    if outcome is Outcome.DECLINE and not reasons:
        reasons = ("Insufficient number of credit references provided",)
    return Scored(
        outcome=outcome,
        score=total,
        limit_minor=limit_minor,
        factors=tuple(factors),
        reasons=reasons,
        alerts=_alerts(facts),
    )


def _outcome(
    facts: Facts, policy: Policy, *, total: int, limit_minor: int, knocked: bool
) -> Outcome:
    # A person looks before anything else is decided: the applicant is told nothing of it.
    if _alerts(facts):
        return Outcome.REVIEW
    if knocked:
        return Outcome.DECLINE
    if facts.identity is Identity.UNVERIFIED:
        return Outcome.ASK_DOCUMENTS
    if total < policy.decline_score or limit_minor == 0:
        return Outcome.DECLINE
    if total >= policy.approve_score and not policy.always_review:
        return Outcome.APPROVE
    return Outcome.REVIEW


def _alerts(facts: Facts) -> tuple[Alert, ...]:
    found = {
        Alert.WATCH_LIST: facts.watch_list,
        Alert.DUPLICATE: facts.duplicate,
        Alert.OTHER_PERSON: facts.other_person,
    }
    return tuple(alert for alert, raised in found.items() if raised)


def _knocked_out(facts: Facts) -> list[str]:
    """What no other merit outweighs."""
    found = []
    if facts.age < AGE_MIN:
        found.append(_AGE)
    if facts.identity is Identity.MISMATCH:
        found.append(_IDENTITY)
    if facts.bankruptcy:
        found.append(_BANKRUPTCY)
    return found


def _limit(facts: Facts, policy: Policy) -> int:
    """The limit that the income carries, in whole hundreds; 0 if below the programme's least."""
    disposable = facts.income_minor - facts.housing_minor - facts.debt_minor
    carried = disposable * policy.income_percent // 100
    limit = min(facts.requested_minor, policy.limit_max_minor, carried)
    limit -= limit % _STEP_MINOR
    return limit if limit >= max(policy.limit_min_minor, 1) else 0


def _factors(facts: Facts) -> list[Factor]:
    rules = (
        _of_credit_score(facts),
        Factor(
            name="delinquencies",
            points=-min(facts.delinquencies * 60, 180),
            reason="Delinquent past or present credit obligations with others",
        ),
        Factor(
            name="inquiries",
            points=-min(max(facts.inquiries - 2, 0) * 15, 75),
            reason="Number of recent inquiries on credit bureau report",
        ),
        _of_obligations(facts),
        Factor(
            name="employment",
            points=40 if facts.earning else -80,
            reason="Temporary or irregular employment",
        ),
        Factor(
            name="employment_months",
            points=_between(facts.employment_months - 12, -12, 24) * 2,
            reason="Length of employment",
        ),
    )
    return [rule for rule in rules if rule.points]


def _of_credit_score(facts: Facts) -> Factor:
    if facts.credit_score is None:
        return Factor(name="credit_score", points=-60, reason="No credit file")
    # 640 counts neither way; 850 and 430 count as much as they can.
    points = _between(facts.credit_score - 640, -210, 210) * 3 // 2
    return Factor(
        name="credit_score", points=points, reason="Limited or unfavorable credit experience"
    )


def _of_obligations(facts: Facts) -> Factor:
    if facts.income_minor <= 0:
        return Factor(name="obligations", points=-200, reason=_INCOME)
    percent = (facts.housing_minor + facts.debt_minor) * 100 // facts.income_minor
    return Factor(
        name="obligations", points=_between(36 - percent, -40, 20) * 4, reason=_OBLIGATIONS
    )


def _between(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)
