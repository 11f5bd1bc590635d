"""The life of cards: from the wire and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from accounts.card import Expiry
from accounts.card_life import (
    AlreadyReplaced,
    CardNotInState,
    CardNotShipped,
    Details,
    RenewalNotDue,
    ReplacementReason,
    ShippingTransition,
    UpdateShipping,
    WrongDetails,
)
from accounts.convert import NICKNAME_LENGTH
from holdfast.accounts.v1 import card_lifecycle_pb2 as pb
from holdfast.accounts.v1 import card_pb2
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from runtime import ids
from runtime.clock import datetime_of
from runtime.errors import FailedPrecondition
from runtime.identity import current_identity
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations

CardRefusal: TypeAlias = (
    AlreadyReplaced | CardNotInState | CardNotShipped | RenewalNotDue | WrongDetails
)

#: Characters of a carrier's name, and of its number of a letter.
SHIPPING_LENGTH = 64
#: Who may activate a card that they do not hold.
ADMIN = "admin"

_SHIPPING = {
    card_pb2.Shipping.STATE_SHIPPED: ShippingTransition.SHIP,
    card_pb2.Shipping.STATE_DELIVERED: ShippingTransition.DELIVER,
    card_pb2.Shipping.STATE_RETURNED: ShippingTransition.RETURN,
}
_REASONS: dict[int, object] = dict(pb.ReplacementReason.DESCRIPTOR.values_by_number)
_LAST4 = 4
_MONTHS = range(1, 13)
_YEARS = range(2000, 2100)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCard:
    """What is to change of a card; None: nothing."""

    card_id: str
    nickname: str | None
    user_id: str | None


def activate_card(
    request: pb.ActivateCardRequest, context: Any
) -> tuple[RequestKey, Details | None]:
    """Checks ActivateCardRequest; None: an administrator activates it without the details."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("card_id", request.card_id, ids.CARD)
    given = request.last4 or request.expiry_month or request.expiry_year
    if given or ADMIN not in current_identity().roles:
        if len(request.last4) != _LAST4 or not request.last4.isdecimal():
            violations.add("last4", "must be the last four digits of the card's number")
        if request.expiry_month not in _MONTHS:
            violations.add("expiry_month", "must be from 1 to 12")
        if request.expiry_year not in _YEARS:
            violations.add("expiry_year", "must be from 2000 to 2099")
    violations.raise_if_any()
    if not given:
        return key, None
    expiry = Expiry(request.expiry_year, request.expiry_month)
    return key, Details(last4=request.last4, expiry=expiry)


def replace_card(
    request: pb.ReplaceCardRequest, context: Any
) -> tuple[RequestKey, ReplacementReason]:
    """Checks ReplaceCardRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("card_id", request.card_id, ids.CARD)
    violations.enum("reason", request.reason, _REASONS, required=True)
    violations.raise_if_any()
    name = pb.ReplacementReason.Name(request.reason)
    return key, ReplacementReason(name.removeprefix("REPLACEMENT_REASON_"))


def update_card(request: pb.UpdateCardRequest, context: Any) -> tuple[RequestKey, UpdateCard]:
    """Checks UpdateCardRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("card_id", request.card_id, ids.CARD)
    violations.text("nickname", request.nickname, limit=NICKNAME_LENGTH)
    violations.id("user_id", request.user_id, ids.USER, required=False)
    violations.raise_if_any()
    return key, UpdateCard(
        card_id=request.card_id,
        nickname=request.nickname if request.HasField("nickname") else None,
        user_id=request.user_id if request.HasField("user_id") else None,
    )


def update_shipping(
    request: pb.UpdateCardShippingRequest, context: Any
) -> tuple[RequestKey, UpdateShipping]:
    """Checks UpdateCardShippingRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("card_id", request.card_id, ids.CARD)
    transition = _SHIPPING.get(request.state)
    if transition is None:
        violations.add("state", "must be SHIPPED, DELIVERED or RETURNED")
    violations.text("carrier", request.carrier, limit=SHIPPING_LENGTH)
    violations.text("tracking_number", request.tracking_number, limit=SHIPPING_LENGTH)
    violations.raise_if_any()
    assert transition is not None, "checked above"
    return key, UpdateShipping(
        transition=transition, carrier=request.carrier, tracking_number=request.tracking_number
    )


def changes_page(request: pb.ListCardChangesRequest) -> Page:
    """Checks ListCardChangesRequest."""
    violations = Violations()
    violations.id("card_id", request.card_id, ids.CARD)
    scope = f"ListCardChanges|{request.card_id}"
    page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return page


def check_merchant_lock(controls: SpendControls) -> None:
    """Cards that were issued locked to a merchant stay so."""
    violations = Violations()
    if not controls.merchant_lock:
        violations.add("controls.merchant_lock", "must be set: the card is merchant-locked")
    violations.raise_if_any()


def activation_locked() -> FailedPrecondition:
    """The error for details that were given too often."""
    return FailedPrecondition(
        "the card's details were given too often: an administrator can activate it",
        reason="ACTIVATION_LOCKED",
    )


def refusal(value: CardRefusal) -> FailedPrecondition:
    """The error that says why the domain refused."""
    match value:
        case AlreadyReplaced():
            return FailedPrecondition(
                "the card was replaced before",
                reason="CARD_REPLACED",
                metadata={"replaced_by_card_id": value.replaced_by_card_id},
            )
        case CardNotInState():
            return FailedPrecondition(
                f"the card is {value.state}; it must be {' or '.join(value.allowed)}",
                reason="CARD_STATE",
                metadata={"state": value.state, "allowed": ",".join(value.allowed)},
            )
        case CardNotShipped():
            return FailedPrecondition(
                f"the plastic is {value.state}; it must be {' or '.join(value.allowed)}",
                reason="CARD_NOT_SHIPPED",
                metadata={"state": value.state, "allowed": ",".join(value.allowed)},
            )
        case RenewalNotDue():
            due = datetime_of(value.due_time_ms).date().isoformat()
            return FailedPrecondition(
                f"the card can be renewed from {due}",
                reason="RENEWAL_NOT_DUE",
                metadata={"due_date": due},
            )
        case WrongDetails():
            return FailedPrecondition(
                "this is not what is printed on the card", reason="CARD_DETAILS_WRONG"
            )
