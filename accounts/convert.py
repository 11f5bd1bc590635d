"""Between the wire and the domain: checks requests field by field, makes answers and errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from accounts.account import (
    Account,
    AccountNotOpen,
    OpenAccount,
    OtherCurrency,
    UpdateCreditLimit,
)
from accounts.account_user import UserNotOnAccount
from accounts.card import Card, CardKind, IssueCard, ShippingState
from accounts.machine import IllegalTransition
from holdfast.accounts.v1 import (
    account_pb2,
    account_service_pb2,
    card_lifecycle_pb2,
    card_pb2,
    card_service_pb2,
)
from holdfast.type.v1.money_pb2 import Money
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from runtime import ids
from runtime.errors import (
    FailedPrecondition,
    HoldfastError,
    InvalidArgument,
    NotFound,
    Violation,
)
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.spend_controls import check_controls
from runtime.validate import Violations, timestamp

Refusal: TypeAlias = AccountNotOpen | OtherCurrency | UserNotOnAccount | IllegalTransition
CardTransitionRequest: TypeAlias = (
    card_service_pb2.FreezeCardRequest
    | card_service_pb2.UnfreezeCardRequest
    | card_service_pb2.CloseCardRequest
    | card_lifecycle_pb2.ReportCardLostRequest
    | card_lifecycle_pb2.ReportCardStolenRequest
    | card_lifecycle_pb2.ReissueCardRequest
    | card_lifecycle_pb2.RenewCardRequest
    | card_lifecycle_pb2.ClearCardSuspicionRequest
)

#: Characters of what a holder calls a card.
NICKNAME_LENGTH = 64

_KIND = card_pb2.Card.Kind
_KINDS: dict[int, object] = dict(_KIND.DESCRIPTOR.values_by_number)
_PARENT = "parent_account_id"


def open_account(
    request: account_service_pb2.OpenAccountRequest, context: Any
) -> tuple[RequestKey, OpenAccount]:
    """Checks OpenAccountRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("owner_id", request.owner_id, ids.USER, ids.COMPANY)
    violations.money("credit_limit", request)
    if request.programme_id and not ids.is_programme_id(request.programme_id):
        violations.add("programme_id", "must be prog_ and 1 to 32 characters of a-z 0-9 _")
    violations.id(_PARENT, request.parent_account_id, ids.ACCOUNT, required=False)
    if _in_other_partition(request):
        violations.add(_PARENT, "must be in the owner's partition")
    violations.raise_if_any()
    return key, OpenAccount(
        owner_id=request.owner_id,
        programme_id=request.programme_id,
        parent_account_id=request.parent_account_id or None,
        currency_code=request.credit_limit.currency_code,
        credit_limit_minor=request.credit_limit.amount_minor,
    )


def update_credit_limit(
    request: account_service_pb2.UpdateCreditLimitRequest, context: Any
) -> tuple[RequestKey, UpdateCreditLimit]:
    """Checks UpdateCreditLimitRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.money("credit_limit", request)
    violations.raise_if_any()
    return key, UpdateCreditLimit(
        account_id=request.account_id,
        currency_code=request.credit_limit.currency_code,
        credit_limit_minor=request.credit_limit.amount_minor,
    )


def issue_card(
    request: card_service_pb2.IssueCardRequest, context: Any
) -> tuple[RequestKey, IssueCard]:
    """Checks IssueCardRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.enum("kind", request.kind, _KINDS, required=True)
    violations.id("user_id", request.user_id, ids.USER, required=False)
    violations.text("nickname", request.nickname, limit=NICKNAME_LENGTH)
    check_controls("controls", request.controls, violations, currency_code="", of_card=True)
    violations.raise_if_any()
    return key, IssueCard(
        account_id=request.account_id,
        kind=CardKind(_KIND.Name(request.kind).removeprefix("KIND_")),
        user_id=request.user_id,
        nickname=request.nickname,
    )


def card_transition(request: CardTransitionRequest, context: Any) -> tuple[RequestKey, str]:
    """Checks requests that name a card and nothing else; returns the card's id."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("card_id", request.card_id, ids.CARD)
    violations.raise_if_any()
    return key, request.card_id


def account_id(request: account_service_pb2.GetAccountRequest) -> str:
    """Checks GetAccountRequest."""
    violations = Violations()
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.raise_if_any()
    return request.account_id


def card_id(request: card_service_pb2.GetCardRequest) -> str:
    """Checks GetCardRequest."""
    violations = Violations()
    violations.id("card_id", request.card_id, ids.CARD)
    violations.raise_if_any()
    return request.card_id


def accounts_page(request: account_service_pb2.ListAccountsRequest) -> Page:
    """Checks ListAccountsRequest."""
    violations = Violations()
    violations.id("owner_id", request.owner_id, ids.USER, ids.COMPANY, required=False)
    scope = f"ListAccounts|{request.owner_id}"
    page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return page


def cards_page(request: card_service_pb2.ListCardsRequest) -> Page:
    """Checks ListCardsRequest."""
    violations = Violations()
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    scope = f"ListCards|{request.account_id}"
    page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return page


def account(value: Account) -> account_pb2.Account:
    """The account on the wire."""
    return account_pb2.Account(
        id=value.id,
        owner_id=value.owner_id,
        programme_id=value.programme_id,
        parent_account_id=value.parent_account_id or "",
        state=account_pb2.Account.State.Value(f"STATE_{value.state}"),
        credit_limit=Money(
            currency_code=value.currency_code, amount_minor=value.credit_limit_minor
        ),
        version=value.version,
        create_time=timestamp(value.create_time_ms),
        update_time=timestamp(value.update_time_ms),
        controls=SpendControls.FromString(value.controls) if value.controls else None,
        type=account_pb2.Account.Type.Value(f"TYPE_{value.type}"),
    )


def card(value: Card) -> card_pb2.Card:
    """The card on the wire."""
    return card_pb2.Card(
        id=value.id,
        account_id=value.account_id,
        root_card_id=value.root_card_id,
        kind=_KIND.Value(f"KIND_{value.kind}"),
        state=card_pb2.Card.State.Value(f"STATE_{value.state}"),
        last4=value.last4,
        bin=value.bin,
        expiry_month=value.expiry_month,
        expiry_year=value.expiry_year,
        version=value.version,
        create_time=timestamp(value.create_time_ms),
        update_time=timestamp(value.update_time_ms),
        controls=SpendControls.FromString(value.controls) if value.controls else None,
        user_id=value.user_id,
        nickname=value.nickname,
        shipping=_shipping(value),
        received=value.received,
        replaces_card_id=value.replaces_card_id,
        replaced_by_card_id=value.replaced_by_card_id,
        holder_suspended=value.holder_suspended,
        suspicion_clear_time=(
            timestamp(value.suspicion_clear_time_ms) if value.suspicion_clear_time_ms else None
        ),
    )


def _shipping(value: Card) -> card_pb2.Shipping | None:
    if value.shipping is ShippingState.UNSPECIFIED:
        return None
    return card_pb2.Shipping(
        state=card_pb2.Shipping.State.Value(f"STATE_{value.shipping}"),
        carrier=value.carrier,
        tracking_number=value.tracking_number,
    )


def account_not_found(name: str) -> NotFound:
    """The error for an unknown account."""
    return NotFound("no such account", reason="ACCOUNT_NOT_FOUND", metadata={"account_id": name})


def card_not_found(name: str) -> NotFound:
    """The error for an unknown card."""
    return NotFound("no such card", reason="CARD_NOT_FOUND", metadata={"card_id": name})


def parent_not_found() -> InvalidArgument:
    """The error for an unknown parent account."""
    return InvalidArgument.of([Violation(_PARENT, "names no account")])


def not_the_programmes(currency_code: str) -> InvalidArgument:
    """The error for a limit in another currency than the programme's, whose fees are in that."""
    description = f"must be the programme's currency, {currency_code}"
    return InvalidArgument.of([Violation("credit_limit.currency_code", description)])


def refusal(value: Refusal) -> HoldfastError:
    """The error that says why the domain refused."""
    if isinstance(value, OtherCurrency):
        description = f"must be the account's currency, {value.currency_code}"
        return InvalidArgument.of([Violation("credit_limit.currency_code", description)])
    if isinstance(value, AccountNotOpen):
        return FailedPrecondition(
            f"the account is {value.state}; it must be {_or(value.allowed)}",
            reason="ACCOUNT_NOT_OPEN",
            metadata={
                "account_id": value.account_id,
                "state": value.state,
                "allowed": ",".join(value.allowed),
            },
        )
    if isinstance(value, UserNotOnAccount):
        return FailedPrecondition(
            "the user neither owns nor shares the account: add them first",
            reason="USER_NOT_ON_ACCOUNT",
            metadata={"user_id": value.user_id, "state": value.state, "allowed": "ACTIVE"},
        )
    return FailedPrecondition(
        f"{_a(value.subject)} that is {value.source} cannot become {value.target} this way; it can"
        f" become {_or(value.allowed) or 'nothing else'}",
        reason="ILLEGAL_TRANSITION",
        metadata={"from": value.source, "to": value.target, "allowed": ",".join(value.allowed)},
    )


def _a(subject: str) -> str:
    return f"an {subject}" if subject[0] in "aei" else f"a {subject}"


def _or(names: Sequence[str]) -> str:
    return " or ".join(names)


def _in_other_partition(request: account_service_pb2.OpenAccountRequest) -> bool:
    return (
        ids.is_id(request.owner_id, ids.USER, ids.COMPANY)
        and ids.is_id(request.parent_account_id, ids.ACCOUNT)
        and ids.partition_of(request.owner_id) != ids.partition_of(request.parent_account_id)
    )
