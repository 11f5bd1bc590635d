"""Spend controls from the wire: checked, and counting from when they were set."""

from __future__ import annotations

from typing import Any

from accounts.card import CardKind
from holdfast.accounts.v1 import account_service_pb2, card_service_pb2
from holdfast.type.v1.spend_controls_pb2 import SpendControls, SpendLimit
from runtime import ids
from runtime.request_records import RequestKey, key_of
from runtime.spend_controls import check_controls
from runtime.validate import Violations, timestamp


def set_card_controls(
    request: card_service_pb2.SetCardControlsRequest, context: Any
) -> tuple[RequestKey, str]:
    """Checks SetCardControlsRequest; returns the card's id."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("card_id", request.card_id, ids.CARD)
    check_controls("controls", request.controls, violations, currency_code="", of_card=True)
    violations.raise_if_any()
    return key, request.card_id


def set_account_controls(
    request: account_service_pb2.SetAccountControlsRequest, context: Any
) -> tuple[RequestKey, str]:
    """Checks SetAccountControlsRequest; returns the account's id."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    check_controls("controls", request.controls, violations, currency_code="", of_card=False)
    violations.raise_if_any()
    return key, request.account_id


def check_currency(controls: SpendControls, currency_code: str) -> None:
    """Amounts are in the account's currency."""
    violations = Violations()
    check_controls("controls", controls, violations, currency_code=currency_code, of_card=True)
    violations.raise_if_any()


def counting(controls: SpendControls, *, before: bytes, now_ms: int) -> bytes:
    """The controls to keep: a limit counts from when it was set with this content."""
    known = {_content(limit): limit for limit in SpendControls.FromString(before).limits}
    kept = SpendControls()
    kept.CopyFrom(controls)
    kept.DiscardUnknownFields()
    for limit in kept.limits:
        same = known.get(_content(limit))
        limit.counting_since.CopyFrom(timestamp(now_ms) if same is None else same.counting_since)
    return kept.SerializeToString(deterministic=True)


def of_kind(kind: CardKind, controls: bytes) -> bytes:
    """The controls of a new card: what is to be locked to a merchant says so, whichever way it is
    made.
    """
    if kind is not CardKind.MERCHANT_LOCKED:
        return controls
    locked = SpendControls.FromString(controls)
    locked.merchant_lock = True
    return locked.SerializeToString(deterministic=True)


def _content(limit: SpendLimit) -> bytes:
    content = SpendLimit()
    content.CopyFrom(limit)
    content.DiscardUnknownFields()
    content.ClearField("counting_since")
    return content.SerializeToString(deterministic=True)
