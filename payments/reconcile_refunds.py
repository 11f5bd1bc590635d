"""Refunds against the ledger, and against who has given them back. No I/O, no clock, no grpc.

As payments.reconcile: what is on its way is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from payments.payment import Payment
from payments.reconcile import (
    ABSENT,
    LEDGER,
    PROCESSOR,
    WRONG_BOOK,
    Booked,
    Difference,
)
from payments.refund import Refund, RefundState, RefundStep

PAYMENT = "payment / refunds"
_DEBITED, _PUT_BACK = "DEBITED", "PUT_BACK"
#: What to do, by what was found.
NOT_GIVEN = "the balance was debited and no money went out: pay it by hand, or correct the ledger"
NOT_DEBITED = "money went out that the balance was not debited for: correct the ledger"
GIVEN_TWICE = "more than one went out: ask the customer for the second, or correct the ledger"
NOBODYS = "nobody asked for it here: it was given back at the processor itself; correct the ledger"
OTHER_SUM = "the payment counts otherwise than its refunds: see `payment_change`, `refund_change`"


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """A refund as its processor has it."""

    #: What the processor calls it, and the refund that it says it is.
    reference: str
    refund_id: str
    amount_minor: int
    currency_code: str
    #: The money went out, or is about to.
    given: bool


def against_ledger(refund: Refund, booked: Booked | None) -> Iterator[Difference]:
    """What the ledger says otherwise of a refund."""
    expected = _booked_as(refund)
    found = booked.state if booked else ABSENT
    pairs = [("state", found, found if found in expected else " or ".join(expected))]
    if booked is not None:
        pairs.append(("amount_minor", str(booked.amount_minor), str(refund.amount_minor)))
        pairs.append(("account_id", booked.account_id, refund.account_id))
    for field, has, should in pairs:
        if has != should:
            yield _difference(refund.id, field, (has, should), LEDGER, WRONG_BOOK)


def against_processor(refund: Refund, found: Sequence[GivenBack]) -> Iterator[Difference]:
    """What the processor says otherwise of a refund, given all that say that they are it."""
    given = [one for one in found if one.given]
    if refund.step is RefundStep.SEND and len(given) <= 1:
        # Nobody knows yet.
        return
    wanted = int(refund.state is RefundState.SUCCEEDED)
    if len(given) != wanted:
        remedy = NOT_GIVEN if not given else GIVEN_TWICE if len(given) > 1 else NOT_DEBITED
        yield _difference(refund.id, "refunds", (str(len(given)), str(wanted)), PROCESSOR, remedy)
        return
    for one in given:
        has = f"{one.amount_minor} {one.currency_code} {one.reference}"
        should = f"{refund.amount_minor} {refund.currency_code} {refund.reference}"
        if has != should:
            yield _difference(refund.id, "refund", (has, should), PROCESSOR, GIVEN_TWICE)


def against_payment(payment: Payment, refunds: Sequence[Refund]) -> Iterator[Difference]:
    """What a payment says otherwise of its refunds."""
    given_minor = sum(one.amount_minor for one in refunds if one.state is RefundState.SUCCEEDED)
    if given_minor != payment.refunded_minor:
        yield _difference(
            payment.id,
            "refunded_minor",
            (str(payment.refunded_minor), str(given_minor)),
            PAYMENT,
            OTHER_SUM,
        )


def nobodys(one: GivenBack) -> Difference:
    """A processor has given something back that is no refund of ours."""
    found = f"{one.amount_minor} {one.currency_code}"
    return _difference(one.reference, "refund", (found, ABSENT), PROCESSOR, NOBODYS)


def _difference(
    subject: str, field: str, says: tuple[str, str], compared: str, remedy: str
) -> Difference:
    found, expected = says
    return Difference(
        subject=subject,
        field=field,
        found=found,
        expected=expected,
        compared=compared,
        remedy=remedy,
    )


def _booked_as(refund: Refund) -> tuple[str, ...]:
    """What the ledger may say of a refund: two things, while one becomes the other."""
    if refund.step is RefundStep.DEBIT:
        return (ABSENT, _DEBITED)
    if refund.step is RefundStep.PUT_BACK:
        return (_DEBITED, _PUT_BACK)
    if refund.state is RefundState.FAILED:
        return (_PUT_BACK if refund.debited else ABSENT,)
    return (_DEBITED,)
