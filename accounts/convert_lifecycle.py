"""The life of accounts and who shares them: from the wire and back."""

from __future__ import annotations

from typing import Any, TypeAlias

from accounts.account import AccountTransition
from accounts.convert import key_of
from accounts.requests import RequestKey
from accounts.rows import Change
from holdfast.accounts.v1 import account_lifecycle_pb2 as pb
from holdfast.accounts.v1 import change_pb2
from runtime import ids
from runtime.paging import Page, Position, page_of
from runtime.spend_controls import check_controls
from runtime.validate import Violations, timestamp

AccountTransitionRequest: TypeAlias = (
    pb.SuspendAccountRequest | pb.ReopenAccountRequest | pb.CloseAccountRequest
)

_CAUSES = {
    pb.SUSPENSION_CAUSE_UNSPECIFIED: AccountTransition.SUSPEND,
    pb.SUSPENSION_CAUSE_ISSUER: AccountTransition.SUSPEND,
    pb.SUSPENSION_CAUSE_PAST_DUE: AccountTransition.MARK_PAST_DUE,
}


def account_transition(
    request: AccountTransitionRequest, context: Any
) -> tuple[RequestKey, AccountTransition]:
    """Checks SuspendAccountRequest, ReopenAccountRequest, CloseAccountRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    if isinstance(request, pb.SuspendAccountRequest):
        violations.enum("cause", request.cause, _CAUSES)
        transition = _CAUSES.get(request.cause, AccountTransition.SUSPEND)
    elif isinstance(request, pb.ReopenAccountRequest):
        transition = AccountTransition.REOPEN
    else:
        transition = AccountTransition.CLOSE
    violations.raise_if_any()
    return key, transition


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
    request: pb.ListAccountUsersRequest | pb.ListAccountChangesRequest,
) -> Page:
    """Checks ListAccountUsersRequest, ListAccountChangesRequest."""
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
