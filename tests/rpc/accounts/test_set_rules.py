"""Rules of programmes and companies, and controls of account-users: set, told, read, repeated."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from holdfast.accounts.v1 import account_service_pb2 as accounts
from holdfast.accounts.v1 import company_service_pb2 as companies
from holdfast.accounts.v1 import programme_service_pb2 as programmes
from holdfast.accounts.v1.account_lifecycle_pb2 import AddAccountUserRequest
from holdfast.accounts.v1.card_pb2 import Card
from holdfast.accounts.v1.card_service_pb2 import IssueCardRequest
from holdfast.type.v1.default_rules_pb2 import DefaultRules, FirstAbroadCheck, FraudChecks
from tests.accounts_mesh import (
    OWNER,
    UNKNOWN_ACCOUNT,
    AccountsMesh,
    call,
    call_replayed,
    refused,
    usd,
)
from tests.rpc.accounts.test_set_controls import EUR, controls

USER = "usr_0b" + "2" * 32
#: How the two kinds of rules are set and read.
SCOPES = {"programme": "prog_gold", "company": OWNER}


def rules(amount_minor: int = 500, **more: Any) -> DefaultRules:
    return DefaultRules(card_controls=controls(amount_minor), account_controls=controls(**more))


async def set_rules(mesh: AccountsMesh, scope: str, value: DefaultRules | None) -> Any:
    request: Any
    if scope == "programme":
        request = programmes.SetProgrammeRulesRequest(
            request_id=mesh.request_id(), programme_id=SCOPES[scope], rules=value
        )
        return (await call(mesh.programmes.SetProgrammeRules, request)).rules
    request = companies.SetCompanyRulesRequest(
        request_id=mesh.request_id(), company_id=SCOPES[scope], rules=value
    )
    return (await call(mesh.companies.SetCompanyRules, request)).rules


async def get_rules(mesh: AccountsMesh, scope: str) -> Any:
    request: Any
    if scope == "programme":
        request = programmes.GetProgrammeRulesRequest(programme_id=SCOPES[scope])
        return (await call(mesh.programmes.GetProgrammeRules, request)).rules
    request = companies.GetCompanyRulesRequest(company_id=SCOPES[scope])
    return (await call(mesh.companies.GetCompanyRules, request)).rules


async def set_user(mesh: AccountsMesh, account_id: str, value: Any) -> Any:
    request = accounts.SetAccountUserControlsRequest(
        request_id=mesh.request_id(), account_id=account_id, user_id=USER, controls=value
    )
    return (await call(mesh.accounts.SetAccountUserControls, request)).account_user


@pytest.mark.parametrize("scope", SCOPES)
async def test_rules_are_answered_after_the_authorizer_has_them(
    mesh: AccountsMesh, scope: str
) -> None:
    none = await get_rules(mesh, scope)
    assert (none.version, none.HasField("rules"), none.HasField("update_time")) == (0, False, False)
    mesh.clock.advance(5)
    changed = await set_rules(mesh, scope, rules())
    assert changed.version == 1
    assert changed.update_time.ToMilliseconds() == mesh.clock.now_ms()
    for part in (changed.rules.card_controls, changed.rules.account_controls):
        assert part.limits[0].counting_since.ToMilliseconds() == mesh.clock.now_ms()
    last = mesh.authorizer.requests[-1]
    assert (last.version, last.rules) == (1, changed.rules)
    assert SCOPES[scope] in (last.programme_id, last.company_id)
    assert await get_rules(mesh, scope) == changed


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_limit_that_stays_goes_on_counting(mesh: AccountsMesh, scope: str) -> None:
    first = await set_rules(mesh, scope, rules())
    mesh.clock.advance(1_000)
    assert await set_rules(mesh, scope, rules()) == first
    changed = await set_rules(mesh, scope, rules(501))
    assert changed.version == 2
    since = changed.rules.card_controls.limits[0].counting_since.ToMilliseconds()
    assert since == mesh.clock.now_ms()
    assert changed.rules.account_controls == first.rules.account_controls
    gone = await set_rules(mesh, scope, None)
    assert (gone.version, gone.HasField("rules")) == (3, False)
    assert not mesh.authorizer.requests[-1].HasField("rules")


async def test_a_repetition_has_the_first_answer(mesh: AccountsMesh) -> None:
    request = programmes.SetProgrammeRulesRequest(
        request_id="r", programme_id="prog_gold", rules=rules()
    )
    method = mesh.programmes.SetProgrammeRules
    answer, replayed = await call_replayed(method, request)
    assert not replayed
    mesh.clock.advance(1_000)
    await set_rules(mesh, "programme", None)
    assert await call_replayed(method, request) == (answer, True)
    request.programme_id = "prog_silver"
    error = await refused(method, request)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_changes_at_once_have_versions_of_their_own(mesh: AccountsMesh) -> None:
    """Of rules that were never set before, too."""
    changed = await asyncio.gather(
        *(set_rules(mesh, "company", rules(100 + number)) for number in range(8))
    )
    assert sorted(one.version for one in changed) == list(range(1, 9))
    last = await get_rules(mesh, "company")
    assert last.version == 8
    told = [one for one in mesh.authorizer.requests if one.version == 8]
    assert [one.rules for one in told] == [last.rules]


async def test_unconfirmed_rules_are_an_unknown_outcome(impatient_mesh: AccountsMesh) -> None:
    mesh = impatient_mesh
    mesh.authorizer.refusing = True
    request = companies.SetCompanyRulesRequest(request_id="r", company_id=OWNER, rules=rules())
    error = await refused(mesh.companies.SetCompanyRules, request)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    mesh.authorizer.refusing = False
    for _ in range(20):
        try:
            answer = await call(mesh.companies.SetCompanyRules, request)
            break
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.1)
    assert mesh.authorizer.requests[-1].rules == answer.rules.rules


async def test_users_of_an_account_have_controls(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    asked = accounts.GetAccountUserRequest(account_id=account.id, user_id=USER)
    assert (await call(mesh.accounts.GetAccountUser, asked)).account_user.version == 0
    first = await set_user(mesh, account.id, controls())
    assert (first.account_id, first.user_id, first.version) == (account.id, USER, 1)
    last = mesh.authorizer.requests[-1]
    assert (last.account_id, last.user_id, last.version) == (account.id, USER, 1)
    assert last.controls == first.controls
    mesh.clock.advance(1_000)
    assert await set_user(mesh, account.id, controls()) == first
    assert (await call(mesh.accounts.GetAccountUser, asked)).account_user == first
    other = await mesh.open_account()
    assert (await set_user(mesh, other.id, controls())).version == 1
    gone = await set_user(mesh, account.id, None)
    assert (gone.version, gone.HasField("controls")) == (2, False)


async def test_a_card_has_the_user_it_was_issued_for(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    issue = IssueCardRequest(
        request_id="i", account_id=account.id, kind=Card.KIND_VIRTUAL, user_id=USER
    )
    error = await refused(mesh.cards.IssueCard, issue)
    assert (error.reason, error.metadata["allowed"]) == ("USER_NOT_ON_ACCOUNT", "ACTIVE")
    add = AddAccountUserRequest(request_id="a", account_id=account.id, user_id=USER)
    await call(mesh.accounts.AddAccountUser, add)
    card = await mesh.issue_card(account.id, user_id=USER)
    assert card.user_id == USER
    assert mesh.authorizer.requests[-1].user_id == USER
    assert (await mesh.issue_card(account.id)).user_id == ""
    request = accounts.SetAccountUserControlsRequest(request_id="r", account_id=UNKNOWN_ACCOUNT)
    request.user_id = USER
    error = await refused(mesh.accounts.SetAccountUserControls, request)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
    found = accounts.GetAccountUserRequest(account_id=UNKNOWN_ACCOUNT, user_id=USER)
    error = await refused(mesh.accounts.GetAccountUser, found)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")


async def test_wrong_fields_are_named(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    user = accounts.SetAccountUserControlsRequest(
        request_id="r", account_id="x", user_id=OWNER, controls=controls(merchant_lock=True)
    )
    error = await refused(mesh.accounts.SetAccountUserControls, user)
    assert error.fields == ["account_id", "user_id", "controls.merchant_lock"]
    user.account_id, user.user_id = account.id, USER
    user.controls.CopyFrom(controls(transaction_maximum=EUR))
    error = await refused(mesh.accounts.SetAccountUserControls, user)
    assert error.fields == ["controls.transaction_maximum.currency_code"]
    bad = DefaultRules(
        card_controls=controls(transaction_maximum=usd(0)),
        account_controls=controls(merchant_lock=True),
    )
    programme = programmes.SetProgrammeRulesRequest(request_id="r", programme_id="gold", rules=bad)
    error = await refused(mesh.programmes.SetProgrammeRules, programme)
    assert error.fields == [
        "programme_id",
        "rules.card_controls.transaction_maximum.amount_minor",
        "rules.account_controls.merchant_lock",
    ]
    company = companies.GetCompanyRulesRequest(company_id=USER)
    assert (await refused(mesh.companies.GetCompanyRules, company)).fields == ["company_id"]
    asked = programmes.GetProgrammeRulesRequest(programme_id="")
    error = await refused(mesh.programmes.GetProgrammeRules, asked)
    assert error.fields == ["programme_id"]


def _seconds(seconds: int, nanos: int = 0) -> Duration:
    return Duration(seconds=seconds, nanos=nanos)


@pytest.mark.parametrize(
    ("checks", "wrong"),
    [
        ({"card_testing": {"declines": 2}}, "card_testing.declines"),
        ({"card_testing": {"declines": 21}}, "card_testing.declines"),
        ({"card_testing": {"window": _seconds(59)}}, "card_testing.window"),
        ({"card_testing": {"window": _seconds(3_600, 1)}}, "card_testing.window"),
        ({"first_abroad": {}}, "first_abroad.home_country"),
        ({"first_abroad": {"home_country": "usa"}}, "first_abroad.home_country"),
        (
            {"first_abroad": {"home_country": "US", "wait": _seconds(86_401)}},
            "first_abroad.wait",
        ),
        ({"repetition": {"window": _seconds(0)}}, "repetition.window"),
        ({"repetition": {"window": _seconds(5, -1)}}, "repetition.window"),
    ],
)
async def test_malformed_checks_are_named(
    mesh: AccountsMesh, checks: dict[str, Any], wrong: str
) -> None:
    found = DefaultRules(fraud_checks=FraudChecks(**checks))
    request = programmes.SetProgrammeRulesRequest(
        request_id="r", programme_id="prog_gold", rules=found
    )
    error = await refused(mesh.programmes.SetProgrammeRules, request)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == [f"rules.fraud_checks.{wrong}"]
    assert mesh.authorizer.requests == []


async def test_checks_are_kept_as_they_were_set(mesh: AccountsMesh) -> None:
    wait = FirstAbroadCheck(home_country="US", wait=_seconds(0))
    found = DefaultRules(fraud_checks=FraudChecks(first_abroad=wait))
    assert (await set_rules(mesh, "programme", found)).rules == found
    assert mesh.authorizer.requests[-1].rules == found
