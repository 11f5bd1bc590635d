"""Applications as the tests submit them."""

from __future__ import annotations

from typing import Any

from holdfast.accounts.v1 import application_pb2, programme_pb2, user_service_pb2
from holdfast.accounts.v1 import application_service_pb2 as pb
from holdfast.accounts.v1 import programme_service_pb2 as programmes
from tests.accounts_mesh import AccountsMesh, call, usd
from tests.accounts_people import ANNA, BORIS, STAFF, as_user

State = application_pb2.Application.State
SSN = "512-34-9999"
Kind = application_pb2.Document.Kind
PDF = b"%PDF-1.7 sample"


def applicant(ending: str = "9999", **fields: Any) -> application_pb2.Applicant:
    valid: dict[str, Any] = {
        "legal_name": "Anna Sample",
        "birth_date": "1987-05-04",
        "tax_id": f"512-34-{ending}",
        "annual_income": usd(7_200_000),
        "housing": application_pb2.Applicant.HOUSING_RENTS,
        "monthly_housing": usd(150_000),
        "employment": application_pb2.Applicant.EMPLOYMENT_EMPLOYED,
        "employment_months": 48,
        "consents_to_credit_check": True,
        "accepts_terms": True,
    }
    return application_pb2.Applicant(**(valid | fields))


def submission(ending: str = "9999", **fields: Any) -> pb.SubmitApplicationRequest:
    valid: dict[str, Any] = {
        "request_id": "r-1",
        "programme_id": "prog_gold",
        "requested_limit": usd(500_000),
        "applicant": applicant(ending),
    }
    return pb.SubmitApplicationRequest(**(valid | fields))


async def create_programme(mesh: AccountsMesh, **fields: Any) -> None:
    valid: dict[str, Any] = {
        "request_id": mesh.request_id(),
        "programme_id": "prog_gold",
        "display_name": "Gold",
        "kind": programme_pb2.Programme.KIND_CONSUMER,
        "network": programme_pb2.Programme.NETWORK_VISA,
        "currency_code": "USD",
        "bin": "400000",
        "underwriting": programme_pb2.Underwriting(
            credit_limit_min=usd(50_000), credit_limit_max=usd(1_000_000)
        ),
    }
    request = programmes.CreateProgrammeRequest(**(valid | fields))
    await call(mesh.programmes.CreateProgramme, request, **STAFF)
    for user_id in (ANNA, BORIS):
        await create_user(mesh, user_id)


async def create_user(mesh: AccountsMesh, user_id: str) -> None:
    """Only known users apply."""
    request = user_service_pb2.CreateUserRequest(
        request_id=mesh.request_id(), user_id=user_id, name="Anna Sample", email="user@example.com"
    )
    await call(mesh.users.CreateUser, request, **STAFF)


async def submit(
    mesh: AccountsMesh, ending: str = "9999", *, user_id: str = ANNA, **fields: Any
) -> application_pb2.Application:
    request = submission(ending, **({"request_id": mesh.request_id()} | fields))
    answer: pb.SubmitApplicationResponse = await call(
        mesh.applications.SubmitApplication, request, **as_user(user_id)
    )
    return answer.application


async def get(mesh: AccountsMesh, name: str, who: Any = None) -> application_pb2.Application:
    request = pb.GetApplicationRequest(application_id=name)
    answer: pb.GetApplicationResponse = await call(
        mesh.applications.GetApplication, request, **(who or STAFF)
    )
    return answer.application


async def checked(mesh: AccountsMesh, ending: str, **fields: Any) -> application_pb2.Application:
    """An application after the worker has looked at it once."""
    name = (await submit(mesh, ending, **fields)).id
    await mesh.worker.work_due()
    return await get(mesh, name)


def approve(name: str, request_id: str = "ok", **fields: Any) -> pb.ApproveApplicationRequest:
    return pb.ApproveApplicationRequest(request_id=request_id, application_id=name, **fields)


def document(name: str, **fields: Any) -> pb.AddDocumentRequest:
    valid: dict[str, Any] = {
        "request_id": "d",
        "application_id": name,
        "kind": Kind.KIND_IDENTITY,
        "media_type": "application/pdf",
        "content": PDF,
    }
    return pb.AddDocumentRequest(**(valid | fields))
