from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.accounts.v1.account_service_pb2 import UpdateCreditLimitRequest
from holdfast.type.v1.money_pb2 import Money
from tests.accounts_mesh import (
    OWNER,
    UNKNOWN_ACCOUNT,
    AccountsMesh,
    call,
    call_replayed,
    refused,
    usd,
)


def _request(account_id: str, **fields: Any) -> UpdateCreditLimitRequest:
    valid: dict[str, Any] = {
        "request_id": "r-1",
        "account_id": account_id,
        "credit_limit": usd(250_000),
    }
    return UpdateCreditLimitRequest(**(valid | fields))


async def test_answers_after_the_authorizer_has_the_new_limit(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    mesh.clock.advance(5)
    answer = await call(mesh.accounts.UpdateCreditLimit, _request(account.id))
    assert answer.account.credit_limit == usd(250_000)
    assert answer.account.version == 2
    assert answer.account.create_time == account.create_time
    assert answer.account.update_time.ToMilliseconds() == mesh.clock.now_ms()
    last = mesh.authorizer.requests[-1]
    assert last.version == 2
    assert last.credit_limit == usd(250_000)


async def test_the_limit_it_has_changes_nothing(mesh: AccountsMesh) -> None:
    account = await mesh.open_account(limit_minor=250_000)
    answer = await call(mesh.accounts.UpdateCreditLimit, _request(account.id))
    assert answer.account == account
    assert len(mesh.authorizer.requests) == 1


async def test_replay_gives_the_stored_answer_after_later_changes(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    first, replayed = await call_replayed(mesh.accounts.UpdateCreditLimit, _request(account.id))
    assert not replayed
    later = _request(account.id, request_id="r-2", credit_limit=usd(1))
    await call(mesh.accounts.UpdateCreditLimit, later)
    again, replayed = await call_replayed(mesh.accounts.UpdateCreditLimit, _request(account.id))
    assert replayed
    assert again == first


async def test_other_content_or_method_under_the_same_id_is_refused(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    await call(mesh.accounts.UpdateCreditLimit, _request(account.id))
    opened_with = _request(account.id, request_id="test-1")
    for request in (_request(account.id, credit_limit=usd(7)), opened_with):
        error = await refused(mesh.accounts.UpdateCreditLimit, request)
        assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_concurrent_changes_each_count(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    answers = await asyncio.gather(
        *(
            call(
                mesh.accounts.UpdateCreditLimit,
                _request(account.id, request_id=f"c-{number}", credit_limit=usd(number)),
            )
            for number in range(20)
        )
    )
    assert sorted(answer.account.version for answer in answers) == list(range(2, 22))
    assert mesh.authorizer.versions[account.id] == 21


async def test_unknown_account(mesh: AccountsMesh) -> None:
    error = await refused(mesh.accounts.UpdateCreditLimit, _request(UNKNOWN_ACCOUNT))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")


@pytest.mark.parametrize("state", ["CLOSING", "CLOSED"])
async def test_account_that_is_not_open(mesh: AccountsMesh, state: str) -> None:
    account = await mesh.open_account()
    await mesh.set_account_state(account.id, state)
    error = await refused(mesh.accounts.UpdateCreditLimit, _request(account.id))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_NOT_OPEN")
    assert error.metadata["state"] == state


async def test_malformed_fields_are_named_and_nothing_is_written(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    malformed: list[tuple[dict[str, Any], list[str]]] = [
        ({"request_id": ""}, ["request_id"]),
        ({"request_id": "x" * 100_000}, ["request_id"]),
        ({"account_id": ""}, ["account_id"]),
        ({"account_id": OWNER}, ["account_id"]),
        ({"account_id": "x" * 100_000}, ["account_id"]),
        ({"credit_limit": None}, ["credit_limit"]),
        ({"credit_limit": usd(-1)}, ["credit_limit.amount_minor"]),
        ({"credit_limit": usd(2**53)}, ["credit_limit.amount_minor"]),
        ({"credit_limit": Money(currency_code="ZZZ")}, ["credit_limit.currency_code"]),
        ({"credit_limit": Money(currency_code="EUR")}, ["credit_limit.currency_code"]),
        (
            {"request_id": "", "account_id": "", "credit_limit": None},
            ["request_id", "account_id", "credit_limit"],
        ),
    ]
    for fields, wrong in malformed:
        request = _request(**({"account_id": account.id} | fields))
        error = await refused(mesh.accounts.UpdateCreditLimit, request)
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.fields == wrong, fields
    assert await mesh.count("request_record") == 1
    assert mesh.authorizer.versions == {account.id: 1}
