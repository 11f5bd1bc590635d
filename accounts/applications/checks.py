"""The checks of a submitted application: providers are asked, the scorecard decides, and the result
is written. Safe to repeat: whoever finds the application decided changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from accounts.applications.application import Application, State, Transition, move
from accounts.applications.notice import Bureau, Creditor, adverse_action
from accounts.applications.profile import Profiles
from accounts.applications.providers import (
    CreditProvider,
    CreditReport,
    IdentityProvider,
    IdentityReport,
    Person,
)
from accounts.applications.scorecard import Facts, Identity, Outcome, Policy, Scored, score
from accounts.applications.sealing import ApplicationKeys
from accounts.applications.store import Applications
from accounts.company import CompanyState
from accounts.company_store import Companies
from accounts.machine import IllegalTransition
from accounts.programme import Programme
from accounts.programme_store import Programmes
from accounts.store import Store
from accounts.transaction import Transaction
from holdfast.accounts.v1 import application_pb2, programme_pb2
from holdfast.type.v1.money_pb2 import Money
from runtime.clock import Clock, datetime_of
from runtime.validate import timestamp

#: What the sealed part of an application is called.
APPLICANT = "applicant"
#: Documents that are asked for when an identity cannot be verified otherwise.
_IDENTITY_DOCUMENTS = "ADDRESS,IDENTITY"

_STEPS = {
    Outcome.APPROVE: Transition.PASS,
    Outcome.DECLINE: Transition.FAIL,
    Outcome.REVIEW: Transition.REVIEW,
    Outcome.ASK_DOCUMENTS: Transition.ASK_DOCUMENTS,
}
_EARNING = (
    application_pb2.Applicant.EMPLOYMENT_EMPLOYED,
    application_pb2.Applicant.EMPLOYMENT_SELF_EMPLOYED,
    application_pb2.Applicant.EMPLOYMENT_RETIRED,
)


class Checks:
    """Checks applications. `creditor` signs the notices."""

    def __init__(
        self,
        store: Store,
        applications: Applications,
        programmes: Programmes,
        keys: ApplicationKeys,
        clock: Clock,
        *,
        identity: IdentityProvider,
        credit: CreditProvider,
        creditor: Creditor,
    ) -> None:
        self._store = store
        self._applications = applications
        self._programmes = programmes
        self._keys = keys
        self._clock = clock
        self._identity = identity
        self._credit = credit
        self._creditor = creditor

    async def run(self, application_id: str) -> None:
        """Decides, or hands the application to a person. Raises ProviderUnavailable."""
        application = await self._applications.get(application_id)
        if application is None or application.state is not State.SUBMITTED:
            return
        programme = await self.programme_of(application)
        applicant = self.applicant(application)
        person = Person(
            legal_name=applicant.legal_name,
            birth_date=applicant.birth_date,
            tax_id=applicant.tax_id,
        )
        identity = await self._identity.identity(person, reference=application_id)
        credit = await self._credit.credit(person, reference=application_id)
        async with self._store.transaction(now_ms=self._clock.now_ms()) as transaction:
            await self._decide(
                transaction,
                application,
                policy_of(programme),
                applicant=applicant,
                identity=identity,
                credit=credit,
            )

    async def programme_of(self, application: Application) -> Programme:
        """The programme that is applied for."""
        programme = await self._programmes.get(application.programme_id)
        assert programme is not None, "an application refers to its programme"
        return programme

    def applicant(self, application: Application) -> application_pb2.Applicant:
        """What the applicant said. Raises ErasedError."""
        opened = self._keys.open(application.applicant, application, what=APPLICANT)
        return application_pb2.Applicant.FromString(opened)

    def notice(self, reasons: tuple[str, ...], credit: CreditReport | None) -> str:
        """The notice of adverse action of today."""
        bureau = (
            None
            if credit is None
            else Bureau(
                name=credit.bureau,
                score=credit.score,
                score_low=credit.score_low,
                score_high=credit.score_high,
                factors=credit.factors,
            )
        )
        day = datetime_of(self._clock.now_ms()).date()
        return adverse_action(creditor=self._creditor, reasons=reasons, bureau=bureau, day=day)

    async def credit_of(self, application: Application) -> CreditReport:
        """The bureau's report again, for the notice of a decline by a person."""
        applicant = self.applicant(application)
        person = Person(
            legal_name=applicant.legal_name,
            birth_date=applicant.birth_date,
            tax_id=applicant.tax_id,
        )
        return await self._credit.credit(person, reference=application.id)

    async def _decide(
        self,
        transaction: Transaction,
        application: Application,
        policy: Policy,
        *,
        applicant: application_pb2.Applicant,
        identity: IdentityReport,
        credit: CreditReport,
    ) -> None:
        applications = Applications(transaction.connection)
        locked = await applications.get(application.id, locked=True)
        if locked is None or locked.state is not State.SUBMITTED:
            return
        now_ms = self._clock.now_ms()
        # Companies are always locked before people.
        company = await Companies(transaction.connection).steady_of_owner(locked.owner_id)
        gone = company is not None and company.state is not CompanyState.ACTIVE
        profile = Profiles(applications, self._keys.people)
        other_person = await profile.contradicts(locked.user_id, applicant)
        # Whoever applies as another is not verified by the other's papers.
        if identity.identity is Identity.VERIFIED and not identity.watch_list and not other_person:
            person = await profile.verify(locked.user_id, applicant, now_ms=now_ms)
        else:
            person = await applications.steady_person(locked.user_id)
        if person is None or not person.may_apply or gone:
            policy = replace(policy, always_review=True)
        same = self._keys.person_hashes(applicant.tax_id)
        facts = _facts(
            applicant,
            identity,
            credit,
            duplicate=await applications.same_person(locked, same) > 0,
            other_person=other_person,
            requested_minor=locked.requested_limit_minor,
            today=datetime_of(now_ms).date(),
        )
        scored = score(facts, policy)
        moved = move(locked, _STEPS[scored.outcome], now_ms=now_ms)
        assert not isinstance(moved, IllegalTransition), "the scorecard leads out of SUBMITTED"
        approved = scored.outcome is Outcome.APPROVE
        missing = _IDENTITY_DOCUMENTS if scored.outcome is Outcome.ASK_DOCUMENTS else ""
        decided = replace(
            moved,
            missing=missing,
            offered_limit_minor=scored.limit_minor,
            granted_limit_minor=scored.limit_minor if approved else 0,
            decision=self._decision(scored, locked, credit).SerializeToString(),
        )
        await applications.update(decided)

    def _decision(
        self, scored: Scored, application: Application, credit: CreditReport
    ) -> application_pb2.Decision:
        declined = scored.outcome is Outcome.DECLINE
        decided = declined or scored.outcome is Outcome.APPROVE
        decision = application_pb2.Decision(
            score=scored.score,
            factors=[f"{one.name} {one.points:+d}" for one in scored.factors],
            reasons=scored.reasons if declined else (),
            alerts=[application_pb2.Decision.Alert.Value(f"ALERT_{one}") for one in scored.alerts],
            notice=self.notice(scored.reasons, credit) if declined else "",
            decide_time=timestamp(self._clock.now_ms()) if decided else None,
        )
        if scored.outcome is Outcome.APPROVE:
            limit = Money(currency_code=application.currency_code, amount_minor=scored.limit_minor)
            decision.credit_limit.CopyFrom(limit)
        return decision


def policy_of(programme: Programme) -> Policy:
    """What a programme asks for."""
    asked = programme_pb2.Underwriting.FromString(programme.underwriting)
    return Policy(
        approve_score=asked.approve_score,
        decline_score=asked.decline_score,
        limit_min_minor=asked.credit_limit_min.amount_minor,
        limit_max_minor=asked.credit_limit_max.amount_minor,
        income_percent=asked.income_percent,
        always_review=asked.always_review,
    )


def _facts(
    applicant: application_pb2.Applicant,
    identity: IdentityReport,
    credit: CreditReport,
    *,
    duplicate: bool,
    other_person: bool,
    requested_minor: int,
    today: date,
) -> Facts:
    born = date.fromisoformat(applicant.birth_date)
    birthday_to_come = (today.month, today.day) < (born.month, born.day)
    return Facts(
        age=today.year - born.year - birthday_to_come,
        identity=identity.identity,
        watch_list=identity.watch_list,
        duplicate=duplicate,
        other_person=other_person,
        credit_score=credit.score,
        delinquencies=credit.delinquencies,
        inquiries=credit.inquiries,
        bankruptcy=credit.bankruptcy,
        income_minor=applicant.annual_income.amount_minor // 12,
        housing_minor=applicant.monthly_housing.amount_minor,
        debt_minor=credit.debt_minor,
        earning=applicant.employment in _EARNING,
        employment_months=applicant.employment_months,
        requested_minor=requested_minor,
    )
