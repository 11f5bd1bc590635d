"""Requests of staff about billing, checked, and what they are answered."""

from __future__ import annotations

from typing import Any

from accounts.billing.account import Posting
from accounts.billing.waiver import Kind, Waive, WaiverRefusal
from accounts.billing.waivers import ChangeRow, Refused
from holdfast.accounts.v1 import billing_service_pb2 as pb
from holdfast.accounts.v1 import statement_pb2
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.errors import FailedPrecondition, HoldfastError, InvalidArgument, NotFound, Violation
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, timestamp

NOTE_LENGTH = 200
_REASONS: dict[int, object] = dict(pb.WaiverReason.DESCRIPTOR.values_by_number)
_PREFIX = "WAIVER_REASON_"


def waive(
    request: pb.WaiveFeeRequest | pb.WaiveInterestRequest, context: Any
) -> tuple[RequestKey, Waive]:
    """Checks WaiveFeeRequest and WaiveInterestRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.id("entry_id", request.entry_id, ids.ENTRY)
    violations.money("amount", request, minimum=1, required=False)
    violations.enum("reason", request.reason, _REASONS, required=True)
    violations.text("note", request.note, limit=NOTE_LENGTH, required=True)
    violations.raise_if_any()
    named = request.HasField("amount")
    fee = isinstance(request, pb.WaiveFeeRequest)
    return key, Waive(
        account_id=request.account_id,
        entry_id=request.entry_id,
        kind=Kind.FEE if fee else Kind.INTEREST,
        amount_minor=request.amount.amount_minor if named else None,
        currency_code=request.amount.currency_code,
        reason=pb.WaiverReason.Name(request.reason).removeprefix(_PREFIX),
        note=request.note,
    )


def waiver(command: Waive, posting: Posting, *, principal: str) -> pb.Waiver:
    """The waiver on the wire."""
    return pb.Waiver(
        account_id=command.account_id,
        entry_id=command.entry_id,
        amount=Money(currency_code=posting.currency_code, amount_minor=posting.amount_minor),
        reason=pb.WaiverReason.Value(f"{_PREFIX}{command.reason}"),
        note=command.note,
        principal=principal,
        create_time=timestamp(posting.value_ms),
    )


def refusal(refused: Refused, currency_code: str) -> HoldfastError:
    """The error that says why nothing was given back."""
    match refused.reason:
        case WaiverRefusal.OTHER_CURRENCY:
            message = f"must be the account's currency {currency_code}"
            return InvalidArgument.of([Violation("amount.currency_code", message)])
        case WaiverRefusal.WAIVER_EXCEEDS:
            return FailedPrecondition(
                "no more can be given back than was charged and is left of it",
                reason="WAIVER_EXCEEDS",
                metadata={"left_minor": str(refused.left_minor), "currency_code": currency_code},
            )
        case WaiverRefusal.NOT_A_FEE:
            return FailedPrecondition("the entry charged no fee", reason="NOT_A_FEE")
        case WaiverRefusal.NOT_INTEREST:
            return FailedPrecondition("the entry charged no interest", reason="NOT_INTEREST")


def entry_not_found(entry_id: str) -> NotFound:
    """The error for an entry that is not the account's, or has not been taken in."""
    return NotFound(
        "the account has no such entry", reason="ENTRY_NOT_FOUND", metadata={"entry_id": entry_id}
    )


def delinquency_page(request: pb.ListDelinquencyChangesRequest) -> Page:
    """Checks ListDelinquencyChangesRequest."""
    violations = Violations()
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    scope = f"ListDelinquencyChanges|{request.account_id}"
    page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return page


def delinquency_change(row: ChangeRow, currency_code: str) -> statement_pb2.DelinquencyChange:
    """One change on the wire."""
    bucket = statement_pb2.DelinquencyBucket
    return statement_pb2.DelinquencyChange(
        change_time=timestamp(row.change_ms),
        bucket_before=bucket.Value(f"DELINQUENCY_BUCKET_{row.bucket_before}"),
        bucket=bucket.Value(f"DELINQUENCY_BUCKET_{row.bucket}"),
        days_past_due=row.days_past_due,
        past_due=Money(currency_code=currency_code, amount_minor=row.past_due_minor),
    )
