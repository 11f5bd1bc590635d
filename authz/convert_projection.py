"""Wire to commands for configuration that the accounts service owns."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime

from authz.commands import ApplyAccount, ApplyAccountUser, ApplyCard, ApplyRules
from authz.expiry import DAY_MS
from holdfast.authz.v1 import projection_service_pb2 as projection
from runtime import ids
from runtime.clock import ms_of
from runtime.identity import Identity
from runtime.money import AMOUNT_MINOR_LIMIT
from runtime.spend_controls import check_controls, check_rules
from runtime.validate import Violations, milliseconds

EXPIRY_YEARS = range(2000, 2100)


def apply_account(request: projection.ApplyAccountRequest, identity: Identity) -> ApplyAccount:
    """Checks an ApplyAccountRequest."""
    check = Violations()
    _check_version(request.version, check)
    check.id("account_id", request.account_id, ids.ACCOUNT)
    check.id("owner_id", request.owner_id, ids.USER, ids.COMPANY)
    check.id("parent_account_id", request.parent_account_id, ids.ACCOUNT, required=False)
    if not ids.is_programme_id(request.programme_id):
        check.add("programme_id", "must be prog_ and 1 to 32 characters of a-z 0-9 _")
    known = projection.AccountState.DESCRIPTOR.values_by_number
    check.enum("state", request.state, known, required=True)
    check.money("credit_limit", request)
    currency = request.credit_limit.currency_code
    check_controls("controls", request.controls, check, currency_code=currency, of_card=False)
    check.raise_if_any()
    for name in ("owner_id", "parent_account_id"):
        _check_partition(name, getattr(request, name), request.account_id, check)
    check.raise_if_any()
    return ApplyAccount(
        principal=identity.principal,
        version=request.version,
        account_id=request.account_id,
        owner_id=request.owner_id,
        programme_id=request.programme_id,
        parent_account_id=request.parent_account_id,
        state=request.state,
        currency_code=request.credit_limit.currency_code,
        limit_minor=request.credit_limit.amount_minor,
        controls=_controls(request),
        raw=request.SerializeToString(deterministic=True),
    )


def apply_card(request: projection.ApplyCardRequest, identity: Identity) -> ApplyCard:
    """Checks an ApplyCardRequest."""
    check = Violations()
    _check_version(request.version, check)
    check.id("card_id", request.card_id, ids.CARD)
    check.id("account_id", request.account_id, ids.ACCOUNT)
    check.id("root_card_id", request.root_card_id, ids.CARD)
    check.id("user_id", request.user_id, ids.USER, required=False)
    known = projection.CardState.DESCRIPTOR.values_by_number
    check.enum("state", request.state, known, required=True)
    if request.expiry_month not in range(1, 13):
        check.add("expiry_month", "must be from 1 to 12")
    if request.expiry_year not in EXPIRY_YEARS:
        check.add("expiry_year", "must be from 2000 to 2099")
    check_controls("controls", request.controls, check, currency_code="", of_card=True)
    check.timestamp("suspicion_clear_time", request)
    check.raise_if_any()
    for name in ("account_id", "root_card_id"):
        _check_partition(name, getattr(request, name), request.card_id, check)
    check.raise_if_any()
    return ApplyCard(
        principal=identity.principal,
        version=request.version,
        card_id=request.card_id,
        account_id=request.account_id,
        root_card_id=request.root_card_id,
        state=request.state,
        expire_at_ms=end_of_month_ms(request.expiry_year, request.expiry_month),
        single_use=request.single_use,
        controls=_controls(request),
        user_id=request.user_id,
        suspicion_clear_ms=milliseconds(request.suspicion_clear_time),
        raw=request.SerializeToString(deterministic=True),
    )


def check_count(request: projection.ApplyAllRequest, *, most: int) -> None:
    """Refuses an ApplyAllRequest that has nothing, or too much."""
    check = Violations()
    if not 1 <= len(request.accounts) + len(request.cards) <= most:
        check.add("accounts", f"must be 1 to {most} accounts and cards")
    check.raise_if_any()


def apply_account_user(
    request: projection.ApplyAccountUserRequest, identity: Identity
) -> ApplyAccountUser:
    """Checks an ApplyAccountUserRequest."""
    check = Violations()
    _check_version(request.version, check)
    check.id("account_id", request.account_id, ids.ACCOUNT)
    check.id("user_id", request.user_id, ids.USER)
    check_controls("controls", request.controls, check, currency_code="", of_card=False)
    check.raise_if_any()
    return ApplyAccountUser(
        principal=identity.principal,
        version=request.version,
        account_id=request.account_id,
        user_id=request.user_id,
        controls=_controls(request),
        raw=request.SerializeToString(deterministic=True),
    )


def apply_rules(request: projection.ApplyRulesRequest, identity: Identity) -> ApplyRules:
    """Checks an ApplyRulesRequest."""
    check = Violations()
    _check_version(request.version, check)
    scope = request.WhichOneof("scope")
    if scope == "company_id":
        check.id("company_id", request.company_id, ids.COMPANY)
    elif not ids.is_programme_id(request.programme_id):
        check.add(
            "programme_id", "must be prog_ and 1 to 32 characters of a-z 0-9 _, or company_id"
        )
    check_rules("rules", request.rules, check)
    check.raise_if_any()
    return ApplyRules(
        principal=identity.principal,
        version=request.version,
        programme_id=request.programme_id,
        company_id=request.company_id,
        rules=request.rules.SerializeToString(deterministic=True),
        raw=request.SerializeToString(deterministic=True),
    )


def _controls(
    request: projection.ApplyAccountRequest
    | projection.ApplyCardRequest
    | projection.ApplyAccountUserRequest,
) -> bytes:
    return request.controls.SerializeToString(deterministic=True)


def _check_version(version: int, check: Violations) -> None:
    """Versions count from 1; Lua compares them exactly below 2^53."""
    if not 1 <= version < AMOUNT_MINOR_LIMIT:
        check.add("version", "must be at least 1 and below 2^53")


def _check_partition(field: str, value: str, other: str, check: Violations) -> None:
    """Everything of an owner shares the owner's partition."""
    if value and ids.tag_of(value) != ids.tag_of(other):
        check.add(field, "must be of the same partition")


def end_of_month_ms(year: int, month: int) -> int:
    """First millisecond after a month, UTC: a card is valid through its expiry month."""
    days = monthrange(year, month)[1]
    return ms_of(datetime(year, month, 1, tzinfo=UTC)) + days * DAY_MS
