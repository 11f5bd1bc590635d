"""ApplicationService: convert, load, decide, commit, convert."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from accounts import convert_user
from accounts.applications import convert
from accounts.applications.application import (
    Application,
    Fulfilment,
    State,
    Transition,
    move,
)
from accounts.applications.checks import APPLICANT, Checks, policy_of
from accounts.applications.documents import Documents, described, document_not_found, hand_in
from accounts.applications.fulfilment import Fulfilling
from accounts.applications.providers import CreditReport, ProviderUnavailable
from accounts.applications.sealing import ApplicationKeys
from accounts.applications.store import Applications, Document, Note
from accounts.applications.worker import Worker
from accounts.caller import calling_user, company_not_found, is_staff, require, sees_all
from accounts.company import Action, may
from accounts.company_store import Companies
from accounts.convert import refusal
from accounts.convert_company import refuse_inactive
from accounts.convert_programme import programme_not_found, programme_retired
from accounts.machine import IllegalTransition
from accounts.mutation import Context, Mutations
from accounts.programme import Programme, ProgrammeKind, ProgrammeState
from accounts.programme_store import Programmes
from accounts.requests import Answer
from accounts.transaction import Transaction
from holdfast.accounts.v1 import application_pb2, programme_pb2
from holdfast.accounts.v1 import application_service_pb2 as pb
from holdfast.accounts.v1.application_service_pb2_grpc import ApplicationServiceServicer
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.clock import Clock, datetime_of
from runtime.errors import (
    InvalidArgument,
    PermissionDenied,
    Unavailable,
    Violation,
)
from runtime.identity import current_identity
from runtime.pages import cut
from runtime.request_records import RequestKey
from runtime.validate import timestamp

#: How often, and how far apart, to look for the profile of who applies.
PROFILE_LOOKS, PROFILE_LOOK_S = 20, 0.1

_DAY_MS = 86_400_000

Change = Callable[[Applications, Application], Awaitable[Application]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the service is made of."""

    applications: Applications
    mutations: Mutations
    keys: ApplicationKeys
    documents: Documents
    checks: Checks
    fulfilling: Fulfilling
    worker: Worker
    ids: ids.IdSource
    clock: Clock


class ApplicationService(ApplicationServiceServicer):
    """Applications, from their submission to what they open."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def SubmitApplication(
        self, request: pb.SubmitApplicationRequest, context: Context
    ) -> pb.SubmitApplicationResponse:
        """Applies."""
        parts = self._parts
        now_ms = parts.clock.now_ms()
        today = datetime_of(now_ms).date()
        key = convert.submit(request, context, parts.keys, today=today)
        user_id = _applying(request.user_id)
        await self._await_profile(user_id)

        async def effect(transaction: Transaction) -> Answer:
            companies = Companies(transaction.connection)
            if request.company_id:
                await _require_active(companies, request.company_id)
            programme = await Programmes(transaction.connection).get(request.programme_id)
            _check_programme(programme, request)
            assert programme is not None, "_check_programme refuses what is not there"
            applications = Applications(transaction.connection)
            person_key = await _person_key(applications, user_id)
            application = self._new(request, programme, user_id, person_key, now_ms=now_ms)
            person = parts.keys.person_hash(request.applicant.tax_id)
            await applications.insert(application, person_hash=person)
            return _answer(application)

        answer = await parts.mutations.run(key, effect, context)
        parts.worker.wake()
        return pb.SubmitApplicationResponse(
            application=application_pb2.Application.FromString(answer)
        )

    async def GetApplication(
        self, request: pb.GetApplicationRequest, context: Context
    ) -> pb.GetApplicationResponse:
        """Returns one application."""
        del context
        parts = self._parts
        application_id = convert.application_id(request)
        application = await parts.applications.get(application_id)
        if application is None or not (
            sees_all() or await _is_theirs(parts.applications, application)
        ):
            raise convert.application_not_found(application_id)
        message = convert.application(application, staff=sees_all())
        if application.readable:
            said = parts.checks.applicant(application)
            whole = is_staff() or calling_user() == application.user_id
            message.applicant.CopyFrom(convert.shown(said, whole=whole, colleague=not sees_all()))
        documents = await parts.applications.documents(application_id)
        message.documents.extend(convert.document(one) for one in documents)
        if sees_all() and application.readable:
            for note in await parts.applications.notes(application_id):
                message.notes.append(self._opened(note, application))
        return pb.GetApplicationResponse(application=message)

    async def ListApplications(
        self, request: pb.ListApplicationsRequest, context: Context
    ) -> pb.ListApplicationsResponse:
        """Lists applications, newest first."""
        del context
        user_id = "" if sees_all() else calling_user()
        page, states = convert.page(request, user_id=user_id)
        if not user_id and not sees_all():
            return pb.ListApplicationsResponse()
        listed = await self._parts.applications.page(page, states=states, user_id=user_id)
        found, token = cut(page, listed, lambda one: one.id)
        return pb.ListApplicationsResponse(
            applications=[convert.application(one, staff=sees_all()) for one in found],
            next_page_token=token,
        )

    async def AddDocument(
        self, request: pb.AddDocumentRequest, context: Context
    ) -> pb.AddDocumentResponse:
        """Hands in a document."""
        key = convert.change(request, context)
        parts = self._parts
        document = described(request, key, now_ms=parts.clock.now_ms())
        found = await parts.applications.get(request.application_id)
        if found is None or not (is_staff() or await _is_theirs(parts.applications, found)):
            raise convert.application_not_found(request.application_id)
        await parts.documents.upload(parts.applications, found, document, request.content)

        async def change(applications: Applications, application: Application) -> Application:
            return await hand_in(applications, application, document)

        message = await self._change(key, request.application_id, change, context, own=True)
        kept = await _document(parts.applications, document.id, found)
        return pb.AddDocumentResponse(document=convert.document(kept), application=message)

    async def RevealDocument(
        self, request: pb.RevealDocumentRequest, context: Context
    ) -> pb.RevealDocumentResponse:
        """Shows a document to a reviewer."""
        key = convert.change(request, context)

        async def change(applications: Applications, application: Application) -> Application:
            await _document(applications, request.document_id, application)
            return application

        # The audit log has who sees it before anybody does.
        await self._change(key, request.application_id, change, context)
        applications = self._parts.applications
        application = await applications.get(request.application_id)
        assert application is not None, "applications are never deleted"
        document = await _document(applications, request.document_id, application)
        content = await self._parts.documents.show(application, document)
        return pb.RevealDocumentResponse(document=convert.document(document), content=content)

    async def StartReview(
        self, request: pb.StartReviewRequest, context: Context
    ) -> pb.StartReviewResponse:
        """Takes an application to review."""
        key = convert.change(request, context)
        change = self._moving(Transition.REVIEW)
        message = await self._change(key, request.application_id, change, context)
        return pb.StartReviewResponse(application=message)

    async def RequestDocuments(
        self, request: pb.RequestDocumentsRequest, context: Context
    ) -> pb.RequestDocumentsResponse:
        """Asks the applicant for documents."""
        key = convert.change(request, context)
        missing = convert.kind_names(request.kinds)

        async def change(applications: Applications, application: Application) -> Application:
            moved = await self._moving(Transition.ASK_DOCUMENTS)(applications, application)
            return replace(moved, missing=missing)

        message = await self._change(key, request.application_id, change, context)
        return pb.RequestDocumentsResponse(application=message)

    async def AddNote(self, request: pb.AddNoteRequest, context: Context) -> pb.AddNoteResponse:
        """Writes down what a reviewer has seen."""
        key = convert.change(request, context)

        async def change(applications: Applications, application: Application) -> Application:
            if not application.readable:
                raise convert.applicant_erased(application)
            sealed = self._parts.keys.seal(request.text.encode(), application, what="note")
            now_ms = self._parts.clock.now_ms()
            note = Note(author=key.principal, text=sealed, create_time_ms=now_ms)
            await applications.insert_note(application.id, note)
            return application

        message = await self._change(key, request.application_id, change, context)
        return pb.AddNoteResponse(application=message)

    async def ApproveApplication(
        self, request: pb.ApproveApplicationRequest, context: Context
    ) -> pb.ApproveApplicationResponse:
        """Approves an application, and answers when what it opens is open."""
        key = convert.change(request, context)

        async def change(applications: Applications, application: Application) -> Application:
            moved = await self._moving(Transition.APPROVE)(applications, application)
            if moved is application:
                return application
            companies = Companies(applications.source)
            refuse_inactive(await companies.steady_of_owner(application.owner_id))
            await _person_key(applications, application.user_id)
            granted = await _granted(applications, request, application)
            decision = self._decided(application)
            decision.credit_limit.CopyFrom(
                Money(currency_code=application.currency_code, amount_minor=granted)
            )
            return replace(
                moved, granted_limit_minor=granted, decision=decision.SerializeToString()
            )

        message = await self._change(key, request.application_id, change, context)
        if not await self._parts.fulfilling.run(request.application_id):
            raise Unavailable(
                "the application is approved, but the authorizer has not confirmed account and"
                " card yet: repeat the same request",
                reason="OUTCOME_UNKNOWN",
            )
        message.fulfilled = True
        return pb.ApproveApplicationResponse(application=message)

    async def DeclineApplication(
        self, request: pb.DeclineApplicationRequest, context: Context
    ) -> pb.DeclineApplicationResponse:
        """Declines an application, with the reasons that the applicant is told."""
        key = convert.change(request, context)
        reasons = tuple(request.reasons)
        # Before anything is locked: it is somebody else's server.
        report = await self._report(request.application_id)

        async def change(applications: Applications, application: Application) -> Application:
            moved = await self._moving(Transition.DECLINE)(applications, application)
            if moved is application:
                return application
            decision = self._decided(application)
            decision.reasons[:] = reasons
            decision.notice = self._parts.checks.notice(reasons, report)
            return replace(moved, decision=decision.SerializeToString())

        message = await self._change(key, request.application_id, change, context)
        return pb.DeclineApplicationResponse(application=message)

    async def WithdrawApplication(
        self, request: pb.WithdrawApplicationRequest, context: Context
    ) -> pb.WithdrawApplicationResponse:
        """Takes an application back."""
        key = convert.change(request, context)
        change = self._moving(Transition.WITHDRAW)
        message = await self._change(key, request.application_id, change, context, own=True)
        return pb.WithdrawApplicationResponse(application=message)

    async def _await_profile(self, user_id: str) -> None:
        """Gives the profile of somebody who registered just now a moment to come here: gateway
        hands it on after its answer.
        """
        if user_id != calling_user():
            return
        for _ in range(PROFILE_LOOKS):
            if await self._parts.applications.steady_person(user_id) is not None:
                return
            await asyncio.sleep(PROFILE_LOOK_S)

    async def _report(self, application_id: str) -> CreditReport | None:
        application = await self._parts.applications.get(application_id)
        if application is None or not application.readable:
            return None
        try:
            return await self._parts.checks.credit_of(application)
        except ProviderUnavailable:
            raise Unavailable(
                "the credit bureau gives no answer, and the notice must quote it: repeat",
                reason="PROVIDER_UNAVAILABLE",
            ) from None

    async def _change(
        self,
        key: RequestKey,
        application_id: str,
        change: Change,
        context: Context,
        *,
        own: bool = False,
    ) -> application_pb2.Application:
        """The same steps for every change; `own`: applicants may do it, too."""
        if not own and not is_staff():
            raise PermissionDenied("only the bank's staff does this", reason="STAFF_ONLY")

        async def effect(transaction: Transaction) -> Answer:
            applications = Applications(transaction.connection)
            application = await applications.get(application_id, locked=True)
            if application is None or not (
                is_staff() or await _is_theirs(applications, application)
            ):
                raise convert.application_not_found(application_id)
            changed = await change(applications, application)
            if changed is not application:
                await applications.update(changed)
            return _answer(changed)

        answer = await self._parts.mutations.run(key, effect, context)
        return application_pb2.Application.FromString(answer)

    def _moving(self, transition: Transition) -> Change:
        async def change(applications: Applications, application: Application) -> Application:
            del applications
            moved = move(application, transition, now_ms=self._parts.clock.now_ms())
            if isinstance(moved, IllegalTransition):
                raise refusal(moved)
            return moved

        return change

    def _decided(self, application: Application) -> application_pb2.Decision:
        """The decision with who decides now."""
        decision = application_pb2.Decision.FromString(application.decision)
        decision.decided_by = current_identity().principal
        decision.decide_time.CopyFrom(timestamp(self._parts.clock.now_ms()))
        return decision

    def _new(
        self,
        request: pb.SubmitApplicationRequest,
        programme: Programme,
        user_id: str,
        person_key: bytes,
        *,
        now_ms: int,
    ) -> Application:
        parts = self._parts
        owner_id = request.company_id or user_id
        application_id = parts.ids.new(ids.APPLICATION, ids.partition_of(owner_id))
        data_key = parts.keys.new(application_id, user_id=user_id, person_key=person_key)
        applicant = application_pb2.Applicant()
        applicant.CopyFrom(request.applicant)
        applicant.DiscardUnknownFields()
        days = programme_pb2.Underwriting.FromString(programme.underwriting).decide_within_days
        application = Application(
            id=application_id,
            user_id=user_id,
            company_id=request.company_id,
            programme_id=programme.id,
            state=State.SUBMITTED,
            currency_code=programme.currency_code,
            requested_limit_minor=request.requested_limit.amount_minor,
            applicant=b"",
            data_key=data_key,
            person_key=person_key,
            decision=b"",
            offered_limit_minor=0,
            granted_limit_minor=0,
            missing="",
            fulfilment=Fulfilment.NONE,
            expire_time_ms=now_ms + days * _DAY_MS,
            version=1,
            create_time_ms=now_ms,
            update_time_ms=now_ms,
        )
        said = parts.keys.seal(applicant.SerializeToString(), application, what=APPLICANT)
        return replace(application, applicant=said)

    def _opened(self, note: Note, application: Application) -> application_pb2.Note:
        text = self._parts.keys.open(note.text, application, what="note")
        return application_pb2.Note(
            author=note.author, text=text.decode(), create_time=timestamp(note.create_time_ms)
        )


async def _person_key(applications: Applications, user_id: str) -> bytes:
    """The wrapped key of somebody who may have credit: known, neither set aside nor gone."""
    person = await applications.steady_person(user_id)
    if person is None:
        raise convert_user.user_not_found(user_id)
    if not person.may_apply:
        raise convert.user_not_active(user_id, person.state)
    return person.key_wrapped


async def _document(
    applications: Applications, document_id: str, application: Application
) -> Document:
    documents = await applications.documents(application.id)
    found = next((one for one in documents if one.id == document_id), None)
    if found is None:
        raise document_not_found(document_id)
    return found


async def _granted(
    applications: Applications, request: pb.ApproveApplicationRequest, application: Application
) -> int:
    programme = await Programmes(applications.source).get(application.programme_id)
    assert programme is not None, "an application refers to its programme"
    policy = policy_of(programme)
    granted, currency = application.offered_limit_minor, application.currency_code
    if request.HasField("credit_limit"):
        granted = request.credit_limit.amount_minor
        currency = request.credit_limit.currency_code
    within = policy.limit_min_minor <= granted <= policy.limit_max_minor and granted > 0
    if not within or currency != application.currency_code:
        raise convert.limit_outside(policy.limit_min_minor, policy.limit_max_minor)
    return granted


async def _is_theirs(applications: Applications, application: Application | None) -> bool:
    """True if the caller applied, or administers the company that it is for."""
    user_id = calling_user()
    if not user_id or application is None:
        return False
    if user_id == application.user_id:
        return True
    if not application.company_id:
        return False
    member = await Companies(applications.source).member(application.company_id, user_id)
    return member is not None and member.active and may(member.role, Action.APPLY)


def _applying(user_id: str) -> str:
    """Who applies: the calling user, or whom the bank's staff names."""
    caller = calling_user()
    if is_staff() and user_id:
        return user_id
    if not caller:
        raise PermissionDenied("only a user may apply, for itself", reason="NOT_A_USER")
    if user_id not in ("", caller):
        raise InvalidArgument.of([Violation("user_id", "must be the caller, or empty")])
    return caller


async def _require_active(companies: Companies, company_id: str) -> None:
    await require(companies, company_id, Action.APPLY)
    company = await companies.steady_of_owner(company_id)
    if company is None:
        raise company_not_found(company_id)
    refuse_inactive(company)


def _check_programme(programme: Programme | None, request: pb.SubmitApplicationRequest) -> None:
    if programme is None:
        raise programme_not_found(request.programme_id)
    if programme.state is not ProgrammeState.ACTIVE:
        raise programme_retired()
    business = programme.kind is ProgrammeKind.BUSINESS
    if business != bool(request.company_id):
        description = "is required" if business else "must be empty: this programme is for people"
        raise InvalidArgument.of([Violation("company_id", description)])
    convert.check_currency(request, programme.currency_code)


def _answer(application: Application) -> Answer:
    """Without what the applicant said: answers are stored."""
    message = convert.application(application, staff=is_staff())
    return Answer(response=message.SerializeToString(), outbox_key=application.id)
