"""The life of accounts and who shares them: from the wire and back."""

from __future__ import annotations

from typing import Any, TypeAlias

from accounts.rows import Change, Suspension
from accounts.suspension import Cause
from holdfast.accounts.v1 import account_lifecycle_pb2 as pb
from holdfast.accounts.v1 import change_pb2
from runtime import ids
from runtime.paging import Page, Position, page_of
from runtime.request_records import RequestKey, key_of
from runtime.spend_controls import check_controls
from runtime.validate import Violations, timestamp

AccountTransitionRequest: TypeAlias = (
    pb.SuspendAccountRequest | pb.ReopenAccountRequest | pb.CloseAccountRequest
)

_CAUSES = {pb.SuspensionCause.Value(f"SUSPENSION_CAUSE_{cause}"): cause for cause in Cause}
_WIRE_CAUSES = {cause: number for number, cause in _CAUSES.items()}


def account_transition(
    request: AccountTransitionRequest, context: Any
) -> tuple[RequestKey, Cause | None]:
    """Checks SuspendAccountRequest, ReopenAccountRequest, CloseAccountRequest; returns the cause
    that is named.
    """
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    cause = None
    if not isinstance(request, pb.CloseAccountRequest):
        violations.enum("cause", request.cause, pb.SuspensionCause.values())
        cause = _CAUSES.get(request.cause)
    violations.raise_if_any()
    return key, cause


def suspensions_page(page: Page, found: list[Suspension]) -> tuple[list[pb.AccountSuspension], str]:
    """A page of suspensions, and the token of the next one."""
    suspensions, more = page.cut(found)
    token = page.token_after(Position(suspensions[-1].id, "")) if more else ""
    return [_suspension(one) for one in suspensions], token


def _suspension(value: Suspension) -> pb.AccountSuspension:
    end_ms = value.end_time_ms
    return pb.AccountSuspension(
        cause=_WIRE_CAUSES[value.cause],
        principal=value.principal,
        begin_time=timestamp(value.begin_time_ms),
        end_time=timestamp(end_ms) if end_ms is not None else None,
        end_principal=value.end_principal,
        by_billing=value.by_billing,
    )


def add_account_user(request: pb.AddAccountUserRequest, context: Any) -> RequestKey:
    """Checks AddAccountUserRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.id("user_id", request.user_id, ids.USER)
    check_controls("controls", request.controls, violations, currency_code="", of_card=False)
    violations.raise_if_any()
    return key


def check_not_owner(user_id: str, owner_id: str) -> None:
    """Owners have their accounts without being added."""
    violations = Violations()
    if user_id == owner_id:
        violations.add("user_id", "owns the account, and needs not be added")
    violations.raise_if_any()


def remove_account_user(request: pb.RemoveAccountUserRequest, context: Any) -> RequestKey:
    """Checks RemoveAccountUserRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.id("user_id", request.user_id, ids.USER)
    violations.raise_if_any()
    return key


def page_of_account(
    request: pb.ListAccountUsersRequest
    | pb.ListAccountChangesRequest
    | pb.ListAccountSuspensionsRequest,
) -> Page:
    """Checks requests for a page of something of an account."""
    violations = Violations()
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    scope = f"{request.DESCRIPTOR.name}|{request.account_id}"
    page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return page


def change(value: Change) -> change_pb2.Change:
    """A change on the wire."""
    return change_pb2.Change(
        subject_id=value.subject_id,
        user_id=value.user_id,
        version=value.version,
        change_time=timestamp(value.change_time_ms),
        principal=value.principal,
        request_id=value.request_id,
        method=value.method,
        fields=[change_pb2.FieldChange(**field._asdict()) for field in value.fields],
    )


def changes_page(page: Page, found: list[Change]) -> tuple[list[change_pb2.Change], str]:
    """A page of changes, and the token of the next one."""
    changes, more = page.cut(found)
    token = page.token_after(Position(changes[-1].id, "")) if more else ""
    return [change(one) for one in changes], token
