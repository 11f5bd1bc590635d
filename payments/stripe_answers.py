"""What Stripe's errors mean: refused for good, or unknown."""

from __future__ import annotations

from collections.abc import Awaitable
from http import HTTPStatus
from typing import TypeVar

import stripe

from payments.processor import Outcome, OutcomeUnknown, Result

DECLINED = "DECLINED"

Answer = TypeVar("Answer")


async def known(call: Awaitable[Answer]) -> Answer:
    """The answer to a call that any error leaves unknown."""
    try:
        return await call
    except stripe.StripeError as error:
        raise unknown(error) from error


async def gone(call: Awaitable[Answer]) -> Answer | None:
    """The same of something that is to be gone; None: Stripe does not know it (any more)."""
    try:
        return await call
    except stripe.StripeError as error:
        if error.http_status == HTTPStatus.NOT_FOUND:
            return None
        raise unknown(error) from error


def refused(error: stripe.StripeError, reference: str) -> Outcome:
    """What Stripe will not do, and why."""
    return Outcome(result=Result.REFUSED, reference=reference, reason=reason_of(error))


def reason_of(error: stripe.StripeError) -> str:
    """Why, UPPER_SNAKE."""
    return upper(getattr(error.error, "decline_code", None) or error.code)


def upper(code: str | None) -> str:
    """A code of Stripe's as a reason of ours."""
    return (code or DECLINED).upper()[:64]


def unknown(error: stripe.StripeError) -> OutcomeUnknown:
    """Its text may name what was sent: only its kind and code are told."""
    return OutcomeUnknown(f"{type(error).__name__} {error.http_status or ''} {error.code or ''}")
