"""What a flow hands back to the wire, and the header that it journals."""

from __future__ import annotations

from dataclasses import dataclass

from authz.entry import Header
from authz.outcome import Outcome
from authz.scripts import Status
from runtime import ids
from runtime.errors import (
    AlreadyExists,
    FailedPrecondition,
    HoldfastError,
    NotFound,
    RequestIdReused,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One movement that happened, now or when its request first came."""

    outcome: Outcome
    currency_code: str
    replayed: bool


def owner_fields(owner_id: str) -> tuple[str | None, str | None]:
    """(user id, company id) of an owner: one of them."""
    if owner_id.startswith(f"{ids.COMPANY}_"):
        return None, owner_id
    return owner_id or None, None


def refusal(status: Status, header: Header) -> HoldfastError:
    """The error of a script's answer that changed nothing."""
    match status:
        case Status.REQUEST_ID_REUSED:
            return RequestIdReused(header.request_id)
        case Status.CLEARING_REUSED:
            return AlreadyExists(
                "this clearing (network, clearing_reference, clearing_sequence) was posted before"
                " with other content",
                reason="CLEARING_REUSED",
                metadata={"field": "clearing_reference"},
            )
        case Status.HOLD_NOT_FOUND:
            return authorization_not_found()
        case Status.AMOUNT_OVERFLOW:
            return FailedPrecondition(
                "the account's balance would exceed 2^53 minor units", reason="AMOUNT_OVERFLOW"
            )
    raise AssertionError(f"no movement answers {status}")


def authorization_not_found() -> NotFound:
    """Unknown and another caller's look the same."""
    return NotFound(
        "no such authorization",
        reason="AUTHORIZATION_NOT_FOUND",
        metadata={"field": "authorization_id"},
    )
