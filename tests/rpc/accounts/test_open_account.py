from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import account_pb2
from holdfast.accounts.v1.account_service_pb2 import OpenAccountRequest
from holdfast.accounts.v1.company_pb2 import CompanySettings
from holdfast.accounts.v1.company_service_pb2 import UpdateCompanyRequest
from holdfast.accounts.v1.programme_pb2 import Programme
from holdfast.accounts.v1.programme_service_pb2 import UpdateProgrammeRequest
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.type.v1.money_pb2 import Money
from tests.accounts_applying import create_programme
from tests.accounts_mesh import (
    OTHER_OWNER,
    OWNER,
    UNKNOWN_ACCOUNT,
    AccountsMesh,
    call,
    call_replayed,
    refused,
    usd,
)
from tests.accounts_people import ANNA, STAFF, found_company


def _request(**fields: Any) -> OpenAccountRequest:
    valid: dict[str, Any] = {"request_id": "r-1", "owner_id": OWNER, "credit_limit": usd(100_000)}
    return OpenAccountRequest(**(valid | fields))


async def test_opens_an_account_and_tells_the_authorizer(mesh: AccountsMesh) -> None:
    answer = await call(mesh.accounts.OpenAccount, _request())
    account = answer.account
    assert account.id.startswith("acct_0a")
    assert account.owner_id == OWNER
    assert account.programme_id == "prog_standard"
    assert account.parent_account_id == ""
    assert account.state == account_pb2.Account.STATE_OPEN
    assert account.credit_limit == usd(100_000)
    assert account.version == 1
    assert account.create_time == account.update_time
    assert account.create_time.ToMilliseconds() == mesh.clock.now_ms()
    assert mesh.authorizer.requests == [
        projection.ApplyAccountRequest(
            version=1,
            account_id=account.id,
            owner_id=OWNER,
            programme_id="prog_standard",
            state=projection.ACCOUNT_STATE_OPEN,
            credit_limit=usd(100_000),
        )
    ]


async def test_takes_programme_parent_and_a_limit_of_zero(mesh: AccountsMesh) -> None:
    parent = await mesh.open_account()
    request = _request(programme_id="prog_gold", parent_account_id=parent.id, credit_limit=usd(0))
    account = (await call(mesh.accounts.OpenAccount, request)).account
    assert (account.programme_id, account.parent_account_id) == ("prog_gold", parent.id)
    assert account.credit_limit.amount_minor == 0
    assert mesh.authorizer.requests[-1].parent_account_id == parent.id


async def test_replay_gives_the_same_answer_and_says_so(mesh: AccountsMesh) -> None:
    first, replayed = await call_replayed(mesh.accounts.OpenAccount, _request())
    assert not replayed
    mesh.clock.advance(1_000)
    again, replayed = await call_replayed(mesh.accounts.OpenAccount, _request())
    assert replayed
    assert again == first
    assert await mesh.count("account") == 1


async def test_id_may_come_in_the_header_and_is_the_same_id(mesh: AccountsMesh) -> None:
    header = [("idempotency-key", "r-1")]
    first = await call(mesh.accounts.OpenAccount, _request(request_id=""), metadata=header)
    again, replayed = await call_replayed(mesh.accounts.OpenAccount, _request())
    assert replayed
    assert again == first


async def test_other_content_under_the_same_id_is_refused(mesh: AccountsMesh) -> None:
    await call(mesh.accounts.OpenAccount, _request())
    error = await refused(mesh.accounts.OpenAccount, _request(credit_limit=usd(100_001)))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert error.metadata["field"] == "request_id"
    assert await mesh.count("account") == 1


async def test_ids_of_different_callers_do_not_meet(mesh: AccountsMesh) -> None:
    mine = await call(mesh.accounts.OpenAccount, _request())
    theirs = await call(
        mesh.accounts.OpenAccount,
        _request(credit_limit=usd(5)),
        principal=("x-auth-spiffe", "spiffe://holdfast.local/other"),
    )
    assert mine.account.id != theirs.account.id


async def test_fifty_at_once_open_one_account(mesh: AccountsMesh) -> None:
    answers = await asyncio.gather(
        *(call(mesh.accounts.OpenAccount, _request()) for _ in range(50))
    )
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert await mesh.count("account") == 1
    # A relay that a repetition woke may deliver it, too: receivers go by versions.
    assert len({one.SerializeToString() for one in mesh.authorizer.requests}) == 1


MALFORMED: list[tuple[dict[str, Any], list[str]]] = [
    ({"request_id": ""}, ["request_id"]),
    ({"request_id": "has space"}, ["request_id"]),
    ({"request_id": "x" * 65}, ["request_id"]),
    ({"request_id": "x" * 100_000}, ["request_id"]),
    ({"owner_id": ""}, ["owner_id"]),
    ({"owner_id": UNKNOWN_ACCOUNT}, ["owner_id"]),
    ({"owner_id": "co_40" + "1" * 32}, ["owner_id"]),
    ({"owner_id": OWNER.upper()}, ["owner_id"]),
    ({"owner_id": OWNER + "\n"}, ["owner_id"]),
    ({"owner_id": "co_" + "x" * 100_000}, ["owner_id"]),
    ({"credit_limit": None}, ["credit_limit"]),
    ({"credit_limit": usd(-1)}, ["credit_limit.amount_minor"]),
    ({"credit_limit": usd(2**53)}, ["credit_limit.amount_minor"]),
    ({"credit_limit": usd(2**63 - 1)}, ["credit_limit.amount_minor"]),
    ({"credit_limit": Money(amount_minor=1)}, ["credit_limit.currency_code"]),
    ({"credit_limit": Money(currency_code="usd")}, ["credit_limit.currency_code"]),
    ({"credit_limit": Money(currency_code="XXX")}, ["credit_limit.currency_code"]),
    (
        {"credit_limit": Money(currency_code="ZZZ", amount_minor=-1)},
        ["credit_limit.currency_code", "credit_limit.amount_minor"],
    ),
    ({"programme_id": "gold"}, ["programme_id"]),
    ({"programme_id": "prog_"}, ["programme_id"]),
    ({"programme_id": "prog_" + "x" * 33}, ["programme_id"]),
    ({"parent_account_id": OWNER}, ["parent_account_id"]),
    ({"parent_account_id": "x" * 100_000}, ["parent_account_id"]),
    ({"parent_account_id": "acct_0b" + "3" * 32}, ["parent_account_id"]),
    ({"parent_account_id": UNKNOWN_ACCOUNT}, ["parent_account_id"]),
    (
        {
            "request_id": "",
            "owner_id": "x",
            "credit_limit": None,
            "programme_id": "x",
            "parent_account_id": "x",
        },
        ["request_id", "owner_id", "credit_limit", "programme_id", "parent_account_id"],
    ),
]


async def test_malformed_fields_are_named_and_nothing_is_written(mesh: AccountsMesh) -> None:
    for fields, wrong in MALFORMED:
        error = await refused(mesh.accounts.OpenAccount, _request(**fields))
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT, fields
        assert (error.reason, error.fields) == ("INVALID_ARGUMENT", wrong), fields
    for table in ("account", "request_record", "outbox"):
        assert await mesh.count(table) == 0
    assert mesh.authorizer.requests == []


async def test_a_retired_programme_gets_no_new_account(mesh: AccountsMesh) -> None:
    """Named or the company's own, as applications and imports; what was answered stays."""
    await create_programme(mesh)
    asked = _request(programme_id="prog_gold", credit_limit=usd(0))
    opened = await call(mesh.accounts.OpenAccount, asked)
    retire = UpdateProgrammeRequest(
        request_id="u", programme_id="prog_gold", state=Programme.STATE_RETIRED
    )
    await call(mesh.programmes.UpdateProgramme, retire)
    assert await call_replayed(mesh.accounts.OpenAccount, asked) == (opened, True)
    company = await found_company(mesh, ANNA)
    settings = UpdateCompanyRequest(
        request_id="c",
        company_id=company.id,
        settings=CompanySettings(default_programme_id="prog_gold"),
    )
    await call(mesh.companies.UpdateCompany, settings, **STAFF)
    for fields in ({"programme_id": "prog_gold"}, {"owner_id": company.id}):
        error = await refused(mesh.accounts.OpenAccount, _request(request_id="new", **fields))
        assert (error.code, error.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "PROGRAMME_RETIRED",
        )
    assert await mesh.count("account") == 1


@pytest.mark.parametrize(
    ("request_id", "headers"),
    [("", ["a", "b"]), ("a", ["b"]), ("a", ["a", "b"]), ("", ["has space"])],
)
async def test_contradicting_request_ids(
    mesh: AccountsMesh, request_id: str, headers: list[str]
) -> None:
    error = await refused(
        mesh.accounts.OpenAccount,
        _request(request_id=request_id),
        metadata=[("idempotency-key", header) for header in headers],
    )
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["request_id"])


async def test_refused_request_leaves_its_id_free(mesh: AccountsMesh) -> None:
    request = _request(parent_account_id=UNKNOWN_ACCOUNT)
    assert (await refused(mesh.accounts.OpenAccount, request)).fields == ["parent_account_id"]
    assert (await call(mesh.accounts.OpenAccount, _request(owner_id=OTHER_OWNER))).account.id


async def test_call_without_identity_is_refused(mesh: AccountsMesh) -> None:
    error = await refused(mesh.accounts.OpenAccount, _request(), principal=("x-other", "x"))
    assert error.code == grpc.StatusCode.UNAUTHENTICATED
