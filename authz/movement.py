"""What a flow hands back to the wire, and the header that it journals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from authz.outcome import Outcome
from authz.scripts import Status
from runtime import ids
from runtime.errors import (
    AlreadyExists,
    FailedPrecondition,
    HoldfastError,
    InvalidArgument,
    NotFound,
    RequestIdReused,
    Unavailable,
    Violation,
)
from runtime.record import record

#: How often something is decided again because what was read before was stale. Each try reads anew,
#: so only what changes all the time can exhaust it.
STALE_TRIES = 5


@record
class Movement:
    """One movement that happened, now or when its request first came."""

    outcome: Outcome
    currency_code: str
    replayed: bool


class Stale(Unavailable):
    """The script found other facts than were read before it: read them again."""


async def until_steady(attempt: Callable[[], Awaitable[Movement]]) -> Movement:
    """Tries again while what was read is stale; the last try's error goes to the caller."""
    for _ in range(STALE_TRIES - 1):
        with suppress(Stale):
            return await attempt()
    return await attempt()


def owner_fields(owner_id: str) -> tuple[str | None, str | None]:
    """(user id, company id) of an owner: one of them."""
    if owner_id.startswith(f"{ids.COMPANY}_"):
        return None, owner_id
    return owner_id or None, None


def check_currency(currency_code: str, account_currency: str) -> None:
    """Amounts of different currencies are never compared: the network converts, or nobody."""
    if currency_code != account_currency:
        message = f"must be the account's currency {account_currency}"
        raise InvalidArgument.of([Violation("amount.currency_code", message)])


def concluded(
    status: Status, outcome: Outcome | None, request_id: str, currency_code: str
) -> Movement:
    """The movement that a script made, now or before; raises if it refused to."""
    if status is Status.STALE:
        raise Stale("the authorization changes too fast", reason="SNAPSHOT_STALE")
    if outcome is None:
        raise refusal(status, request_id)
    replayed = status is Status.REPLAYED
    return Movement(outcome=outcome, currency_code=currency_code, replayed=replayed)


def refusal(status: Status, request_id: str) -> HoldfastError:
    """The error of a script's answer that changed nothing."""
    if status is Status.REQUEST_ID_REUSED:
        return RequestIdReused(request_id)
    kind, message, reason, metadata = _REFUSALS[status]
    return kind(message, reason=reason, metadata=metadata)


_REFUSALS: dict[Status, tuple[type[HoldfastError], str, str, dict[str, str]]] = {
    Status.CLEARING_REUSED: (
        AlreadyExists,
        "this clearing was posted before with other content",
        "CLEARING_REUSED",
        {"field": "clearing_reference"},
    ),
    Status.HOLD_NOT_FOUND: (
        NotFound,
        "no such authorization",
        "AUTHORIZATION_NOT_FOUND",
        {"field": "authorization_id"},
    ),
    Status.NOT_DUE: (
        FailedPrecondition,
        "the hold has not expired yet, or is closed",
        "NOT_DUE",
        {"field": "authorization_id"},
    ),
    Status.HOLD_CLOSED: (
        FailedPrecondition,
        "the authorization was declined or is closed; authorize anew",
        "AUTHORIZATION_CLOSED",
        {"field": "authorization_id"},
    ),
    Status.REFUND_EXCEEDED: (
        FailedPrecondition,
        "a merchant refunds no more than was captured, and takes back no more than it refunded",
        "REFUND_EXCEEDED",
        {"field": "amount"},
    ),
    Status.ACCOUNT_NOT_FOUND: (
        NotFound,
        "no such account",
        "ACCOUNT_NOT_FOUND",
        {"field": "account_id"},
    ),
    Status.PAYMENT_NOT_FOUND: (
        NotFound,
        "no such payment on this account",
        "PAYMENT_NOT_FOUND",
        {"field": "payment_id"},
    ),
    Status.PAYMENT_EXISTS: (
        FailedPrecondition,
        "this payment was credited before, by another request",
        "PAYMENT_EXISTS",
        {"field": "payment_id"},
    ),
    Status.PAYMENT_STATE: (
        FailedPrecondition,
        "this payment was released or returned before",
        "PAYMENT_STATE",
        {"field": "payment_id"},
    ),
    Status.REFUND_NOT_FOUND: (
        NotFound,
        "no such refund on this account",
        "REFUND_NOT_FOUND",
        {"field": "refund_id"},
    ),
    Status.REFUND_EXISTS: (
        FailedPrecondition,
        "this refund was debited before, by another request",
        "REFUND_EXISTS",
        {"field": "refund_id"},
    ),
    Status.REFUND_STATE: (
        FailedPrecondition,
        "this refund was put back before",
        "REFUND_STATE",
        {"field": "refund_id"},
    ),
    Status.CREDIT_EXCEEDED: (
        FailedPrecondition,
        "the account has less credit that may be paid back",
        "CREDIT_BALANCE_EXCEEDED",
        {"field": "amount"},
    ),
    Status.AMOUNT_OVERFLOW: (
        FailedPrecondition,
        "the account's balance would exceed 2^53 minor units",
        "AMOUNT_OVERFLOW",
        {},
    ),
}


def authorization_not_found() -> HoldfastError:
    """Unknown and another caller's look the same."""
    return refusal(Status.HOLD_NOT_FOUND, "")
