"""Applications from the wire and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, TypeAlias

from accounts.applications.application import Application, Fulfilment, State
from accounts.applications.sealing import ApplicationKeys
from accounts.applications.store import Document
from accounts.convert_programme import check_programme_id
from accounts.personal import tax_id_of
from holdfast.accounts.v1 import application_pb2
from holdfast.accounts.v1 import application_service_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.errors import FailedPrecondition, InvalidArgument, NotFound, Violation
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, timestamp

ApplicationRequest: TypeAlias = (
    pb.AddDocumentRequest
    | pb.RevealDocumentRequest
    | pb.StartReviewRequest
    | pb.RequestDocumentsRequest
    | pb.AddNoteRequest
    | pb.ApproveApplicationRequest
    | pb.DeclineApplicationRequest
    | pb.WithdrawApplicationRequest
)

NAME_LENGTH_MAX = 128
NOTE_LENGTH_MAX = 2_000
REASON_LENGTH_MAX = 200
REASONS_MAX = 4
#: A message of ours has 256 KiB at most, and JSON writes four characters for three bytes.
DOCUMENT_BYTES_MAX = 180 * 1024
DOCUMENTS_MAX = 20
_MONTHS_MAX = 12 * 80

#: How files of each type begin.
_MAGIC = {
    "application/pdf": b"%PDF-",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
}
_STATE = application_pb2.Application.State
_KIND = application_pb2.Document.Kind
_STATES: dict[int, object] = dict(_STATE.DESCRIPTOR.values_by_number)
_KINDS: dict[int, object] = dict(_KIND.DESCRIPTOR.values_by_number)
_HOUSINGS: dict[int, object] = dict(application_pb2.Applicant.Housing.DESCRIPTOR.values_by_number)
_EMPLOYMENTS: dict[int, object] = dict(
    application_pb2.Applicant.Employment.DESCRIPTOR.values_by_number
)


def submit(
    request: pb.SubmitApplicationRequest, context: Any, keys: ApplicationKeys, *, today: date
) -> RequestKey:
    """Checks SubmitApplicationRequest. Its fingerprint is keyed: a tax number has few digits."""
    violations = Violations()
    key = key_of(request, context, violations)
    check_programme_id("programme_id", request.programme_id, violations)
    violations.id("company_id", request.company_id, ids.COMPANY, required=False)
    violations.id("user_id", request.user_id, ids.USER, required=False)
    violations.money("requested_limit", request, minimum=1)
    _check_applicant(request.applicant, violations, today=today)
    violations.raise_if_any()
    current, known = keys.people.fingerprints(key.fingerprint)
    return replace(key, fingerprint=current, known=known)


def check_currency(request: pb.SubmitApplicationRequest, currency_code: str) -> None:
    """All amounts are in the programme's currency."""
    violations = Violations()
    amounts = {
        "requested_limit": request.requested_limit,
        "applicant.annual_income": request.applicant.annual_income,
        "applicant.monthly_housing": request.applicant.monthly_housing,
    }
    for field, amount in amounts.items():
        if amount.currency_code != currency_code:
            violations.add(
                f"{field}.currency_code", f"must be the programme's currency, {currency_code}"
            )
    violations.raise_if_any()


def change(request: ApplicationRequest, context: Any) -> RequestKey:
    """Checks a request that changes an application."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("application_id", request.application_id, ids.APPLICATION)
    match request:
        case pb.AddDocumentRequest():
            _check_document(request, violations)
        case pb.RevealDocumentRequest():
            violations.id("document_id", request.document_id, ids.DOCUMENT)
        case pb.RequestDocumentsRequest():
            if not request.kinds:
                violations.add("kinds", "is required")
            for number, kind in enumerate(request.kinds):
                violations.enum(f"kinds[{number}]", kind, _KINDS, required=True)
        case pb.AddNoteRequest():
            violations.text("text", request.text, limit=NOTE_LENGTH_MAX, required=True)
        case pb.ApproveApplicationRequest():
            violations.money("credit_limit", request, minimum=1, required=False)
        case pb.DeclineApplicationRequest():
            _check_reasons(request.reasons, violations)
    violations.raise_if_any()
    return key


def application_id(request: pb.GetApplicationRequest) -> str:
    """Checks GetApplicationRequest."""
    violations = Violations()
    violations.id("application_id", request.application_id, ids.APPLICATION)
    violations.raise_if_any()
    return request.application_id


def page(request: pb.ListApplicationsRequest, *, user_id: str) -> tuple[Page, list[State]]:
    """Checks ListApplicationsRequest; returns the states that are asked for."""
    violations = Violations()
    for number, state in enumerate(request.states):
        violations.enum(f"states[{number}]", state, _STATES, required=True)
    scope = f"ListApplications|{user_id}|{sorted(set(request.states))}"
    found = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    states = [State(_STATE.Name(one).removeprefix("STATE_")) for one in request.states]
    return found, states or list(State)


def kind_names(kinds: Sequence[application_pb2.Document.Kind.ValueType]) -> str:
    """Kinds of documents as they are kept: each once, in order."""
    return ",".join(sorted({_KIND.Name(kind).removeprefix("KIND_") for kind in kinds}))


def application(value: Application, *, staff: bool) -> application_pb2.Application:
    """The application on the wire, without what the applicant said. Others than the bank's staff
    see what an applicant must be told, and nothing of how it was found.
    """
    message = application_pb2.Application(
        id=value.id,
        user_id=value.user_id,
        company_id=value.company_id,
        programme_id=value.programme_id,
        state=_STATE.Value(f"STATE_{value.state}"),
        requested_limit=_money(value, value.requested_limit_minor),
        missing_documents=[_KIND.Value(f"KIND_{name}") for name in value.missing_kinds],
        expire_time=timestamp(value.expire_time_ms),
        fulfilled=value.fulfilment is Fulfilment.DONE,
        version=value.version,
        create_time=timestamp(value.create_time_ms),
        update_time=timestamp(value.update_time_ms),
    )
    if value.state is State.APPROVED:
        message.account_id, message.card_id = value.account_id, value.card_id
    if value.decision:
        decision = application_pb2.Decision.FromString(value.decision)
        if not staff:
            for field in ("score", "factors", "decided_by", "alerts"):
                decision.ClearField(field)
        if staff or value.state in (State.APPROVED, State.DECLINED):
            message.decision.CopyFrom(decision)
    return message


def shown(
    applicant: application_pb2.Applicant, *, whole: bool, colleague: bool
) -> application_pb2.Applicant:
    """What is shown of an applicant: to themselves and to who reviews (`whole`), to who reads
    everything, or to a `colleague`, who administers the same company.
    """
    if colleague and not whole:
        return application_pb2.Applicant(legal_name=applicant.legal_name)
    masked = application_pb2.Applicant()
    masked.CopyFrom(applicant)
    masked.tax_id = f"***-**-{applicant.tax_id[-4:]}"
    if not whole:
        masked.ClearField("birth_date")
    return masked


def document(value: Document) -> application_pb2.Document:
    """The document on the wire."""
    return application_pb2.Document(
        id=value.id,
        kind=_KIND.Value(f"KIND_{value.kind}"),
        media_type=value.media_type,
        size=value.size,
        sha256=value.sha256.hex(),
        create_time=timestamp(value.create_time_ms),
    )


def application_not_found(name: str) -> NotFound:
    """The error for an unknown application, or another's."""
    metadata = {"application_id": name}
    return NotFound("no such application", reason="APPLICATION_NOT_FOUND", metadata=metadata)


def decided(value: Application) -> FailedPrecondition:
    """The error for handing in something too late."""
    return FailedPrecondition(
        f"the application is {value.state}",
        reason="APPLICATION_DECIDED",
        metadata={"application_id": value.id, "state": value.state},
    )


def user_not_active(user_id: str, state: str) -> FailedPrecondition:
    """The error for applying for somebody who is set aside, or gone."""
    return FailedPrecondition(
        f"the user is {state}",
        reason="USER_NOT_ACTIVE",
        metadata={"user_id": user_id, "state": state},
    )


def applicant_erased(value: Application) -> FailedPrecondition:
    """The error for asking for what nobody can read any more."""
    return FailedPrecondition(
        "who applied was erased, and with them what was handed in",
        reason="APPLICANT_ERASED",
        metadata={"application_id": value.id},
    )


def limit_outside(low: int, high: int) -> InvalidArgument:
    """The error for a limit that the programme does not grant."""
    description = f"is required, from {low} to {high} in the programme's currency"
    return InvalidArgument.of([Violation("credit_limit", description)])


def _money(value: Application, amount_minor: int) -> Money:
    return Money(currency_code=value.currency_code, amount_minor=amount_minor)


def _check_applicant(
    value: application_pb2.Applicant, violations: Violations, *, today: date
) -> None:
    field = "applicant"
    violations.text(f"{field}.legal_name", value.legal_name, limit=NAME_LENGTH_MAX, required=True)
    try:
        born = date.fromisoformat(value.birth_date)
    except ValueError:
        born = date.max
    if str(born) != value.birth_date or not 0 <= today.year - born.year <= 130:  # noqa: PLR2004
        violations.add(f"{field}.birth_date", "must be a day that was: YYYY-MM-DD")
    if tax_id_of(f"{field}.tax_id", value.tax_id, "US", violations) not in ("", value.tax_id):
        violations.add(f"{field}.tax_id", "must have hyphens: NNN-NN-NNNN")
    violations.money(f"{field}.annual_income", value)
    violations.money(f"{field}.monthly_housing", value)
    violations.enum(f"{field}.housing", value.housing, _HOUSINGS, required=True)
    violations.enum(f"{field}.employment", value.employment, _EMPLOYMENTS, required=True)
    if not 0 <= value.employment_months <= _MONTHS_MAX:
        violations.add(f"{field}.employment_months", f"must be from 0 to {_MONTHS_MAX}")
    for consent in ("consents_to_credit_check", "accepts_terms"):
        if not getattr(value, consent):
            violations.add(f"{field}.{consent}", "must be true: nothing is done without it")


def _check_document(request: pb.AddDocumentRequest, violations: Violations) -> None:
    violations.enum("kind", request.kind, _KINDS, required=True)
    check_file(request.media_type, request.content, violations)


def check_file(media_type: str, content: bytes, violations: Violations) -> None:
    """Checks a file that is handed in."""
    magic = _MAGIC.get(media_type)
    if magic is None:
        violations.add("media_type", f"must be one of {', '.join(_MAGIC)}")
    elif not content.startswith(magic):
        violations.add("content", f"is no {media_type}")
    if not 0 < len(content) <= DOCUMENT_BYTES_MAX:
        violations.add("content", f"must have 1 to {DOCUMENT_BYTES_MAX} bytes")


def _check_reasons(reasons: Sequence[str], violations: Violations) -> None:
    if not 1 <= len(reasons) <= REASONS_MAX:
        violations.add("reasons", f"must be 1 to {REASONS_MAX}")
    for number, reason in enumerate(reasons):
        violations.text(f"reasons[{number}]", reason, limit=REASON_LENGTH_MAX, required=True)
