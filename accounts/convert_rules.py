"""Rules of programmes and companies, and controls of account-users: from the wire and back."""

from __future__ import annotations

from typing import Any, TypeAlias

from accounts.account_user import AccountUser
from accounts.convert_controls import counting
from accounts.rules import Rules
from holdfast.accounts.v1 import (
    account_service_pb2,
    account_user_pb2,
    company_service_pb2,
    programme_service_pb2,
    rules_pb2,
)
from holdfast.type.v1.default_rules_pb2 import DefaultRules
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from runtime import ids
from runtime.request_records import RequestKey, key_of
from runtime.spend_controls import check_controls, check_rules
from runtime.validate import Violations, timestamp

SetRulesRequest: TypeAlias = (
    programme_service_pb2.SetProgrammeRulesRequest | company_service_pb2.SetCompanyRulesRequest
)
GetRulesRequest: TypeAlias = (
    programme_service_pb2.GetProgrammeRulesRequest | company_service_pb2.GetCompanyRulesRequest
)
AccountUserRequest: TypeAlias = (
    account_service_pb2.SetAccountUserControlsRequest | account_service_pb2.GetAccountUserRequest
)


def set_rules(request: SetRulesRequest, context: Any) -> tuple[RequestKey, str]:
    """Checks SetProgrammeRulesRequest, SetCompanyRulesRequest; returns whose rules they are."""
    violations = Violations()
    key = key_of(request, context, violations)
    scope_id = _scope_id(request, violations)
    check_rules("rules", request.rules, violations)
    violations.raise_if_any()
    return key, scope_id


def scope_id(request: GetRulesRequest) -> str:
    """Checks GetProgrammeRulesRequest, GetCompanyRulesRequest."""
    violations = Violations()
    found = _scope_id(request, violations)
    violations.raise_if_any()
    return found


def set_account_user_controls(
    request: account_service_pb2.SetAccountUserControlsRequest, context: Any
) -> RequestKey:
    """Checks SetAccountUserControlsRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    _check_user(request, violations)
    check_controls("controls", request.controls, violations, currency_code="", of_card=False)
    violations.raise_if_any()
    return key


def check_account_user(request: account_service_pb2.GetAccountUserRequest) -> None:
    """Checks GetAccountUserRequest."""
    violations = Violations()
    _check_user(request, violations)
    violations.raise_if_any()


def counting_rules(rules: DefaultRules, *, before: bytes, now_ms: int) -> bytes:
    """The rules to keep: a limit counts from when it was set with this content."""
    known = DefaultRules.FromString(before)
    kept = DefaultRules()
    kept.CopyFrom(rules)
    kept.DiscardUnknownFields()
    for name in ("card_controls", "account_controls"):
        if kept.HasField(name):
            controls = counting(
                getattr(rules, name),
                before=getattr(known, name).SerializeToString(deterministic=True),
                now_ms=now_ms,
            )
            getattr(kept, name).CopyFrom(SpendControls.FromString(controls))
    return kept.SerializeToString(deterministic=True)


def rules(value: Rules) -> rules_pb2.Rules:
    """Rules on the wire."""
    return rules_pb2.Rules(
        rules=DefaultRules.FromString(value.rules) if value.rules else None,
        version=value.version,
        update_time=timestamp(value.update_time_ms) if value.version else None,
    )


def account_user(value: AccountUser) -> account_user_pb2.AccountUser:
    """A user of an account on the wire."""
    return account_user_pb2.AccountUser(
        account_id=value.account_id,
        user_id=value.user_id,
        controls=SpendControls.FromString(value.controls) if value.controls else None,
        version=value.version,
        update_time=timestamp(value.update_time_ms) if value.version else None,
        state=account_user_pb2.AccountUser.State.Value(f"STATE_{value.state}"),
    )


def _scope_id(request: SetRulesRequest | GetRulesRequest, violations: Violations) -> str:
    if isinstance(
        request,
        company_service_pb2.SetCompanyRulesRequest | company_service_pb2.GetCompanyRulesRequest,
    ):
        violations.id("company_id", request.company_id, ids.COMPANY)
        return request.company_id
    if not ids.is_programme_id(request.programme_id):
        violations.add("programme_id", "must be prog_ and 1 to 32 characters of a-z 0-9 _")
    return request.programme_id


def _check_user(request: AccountUserRequest, violations: Violations) -> None:
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.id("user_id", request.user_id, ids.USER)
