"""Payments against the ledger, and against who brought the money. No I/O, no clock, no grpc.

A payment on its way between two of them is no difference; what stays at rest has to agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from payments.payment import Payment, State, Step

ABSENT = "absent"
LEDGER = "ledger / payments"
PROCESSOR = "processor / payments"

_CREDITED, _RELEASED, _RETURNED = "CREDITED", "RELEASED", "RETURNED"
#: What to do, by what was found.
WRONG_BOOK = "see `holdfast journal` of the account and `payment_change`: correct the ledger"
NOBODYS_BOOK = "nobody asked for it here: was an older copy of payments restored?"
NOT_TAKEN = "credited, and no money came: ReturnPayment takes it back"
NOT_CREDITED = "money came and was not credited: give it back there, or use RecordTransfer"
TAKEN_TWICE = "give the charge back there that the payment does not name"
NOBODYS_CHARGE = "no payment is behind it: give it back there, or find whose it is"
OTHER_AMOUNT = "the processor's amount is what came: correct the rest by hand"
NOT_GIVEN_BACK = "the payment went back and its deposit has no money: AddDeposit"
GIVEN_BACK = "the deposit has money that the payment kept: ReturnPayment, or correct it by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A payment as the ledger has it."""

    account_id: str
    amount_minor: int
    #: CREDITED, RELEASED or RETURNED.
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A charge as its processor has it."""

    #: What the processor calls it, and the payment that it says it is for.
    reference: str
    payment_id: str
    amount_minor: int
    currency_code: str
    #: The money is there.
    came: bool
    #: It went back, as far as the processor keeps that here.
    given_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two that should say the same, and what to do about it."""

    #: A payment, or a charge that has none.
    subject: str
    field: str
    found: str
    expected: str
    compared: str
    remedy: str


def brought_money(payment: Payment) -> bool:
    """Whether payments says that the money came."""
    return payment.step is Step.CREDIT or payment.state in (
        State.SUCCEEDED,
        State.RETURNED,
        State.REFUNDED,
    )


def against_ledger(payment: Payment, booked: Booked | None, *, now_ms: int) -> Iterator[Difference]:
    """What the ledger says otherwise of a payment."""
    expected = _booked_as(payment, now_ms=now_ms)
    found = booked.state if booked else ABSENT
    pairs = [("state", found, found if found in expected else " or ".join(expected))]
    if booked is not None:
        pairs.append(("amount_minor", str(booked.amount_minor), str(payment.amount_minor)))
        pairs.append(("account_id", booked.account_id, payment.account_id))
    for field, has, should in pairs:
        if has != should:
            yield Difference(
                subject=payment.id,
                field=field,
                found=has,
                expected=should,
                compared=LEDGER,
                remedy=WRONG_BOOK,
            )


def nobodys_book(payment_id: str, booked: Booked) -> Difference:
    """The ledger knows a payment that payments does not."""
    return Difference(
        subject=payment_id,
        field="payment",
        found=booked.state,
        expected=ABSENT,
        compared=LEDGER,
        remedy=NOBODYS_BOOK,
    )


def against_processor(payment: Payment, charges: Sequence[Charge]) -> Iterator[Difference]:
    """What the processor says otherwise of a payment, given all charges that are for it."""
    came = [one for one in charges if one.came]
    if payment.state is State.PROCESSING and payment.step is Step.CHARGE and len(came) <= 1:
        # Nobody knows yet.
        return
    named = [one for one in came if one.reference == payment.processor_reference]
    wanted = int(brought_money(payment))
    if len(came) != wanted:
        remedy = NOT_TAKEN if not came else TAKEN_TWICE if len(came) > 1 else NOT_CREDITED
        yield Difference(
            subject=payment.id,
            field="charges",
            found=str(len(came)),
            expected=str(wanted),
            compared=PROCESSOR,
            remedy=remedy,
        )
        return
    for one in came:
        if not named:
            reference = payment.processor_reference
            yield Difference(
                subject=payment.id,
                field="reference",
                found=one.reference,
                expected=reference,
                compared=PROCESSOR,
                remedy=NOBODYS_CHARGE,
            )
        has = f"{one.amount_minor} {one.currency_code}"
        should = f"{payment.amount_minor} {payment.currency_code}"
        if has != should:
            yield Difference(
                subject=payment.id,
                field="amount",
                found=has,
                expected=should,
                compared=PROCESSOR,
                remedy=OTHER_AMOUNT,
            )


def against_deposit(payment: Payment, charge: Charge) -> Iterator[Difference]:
    """What a deposit says otherwise of whether a payment went back."""
    if charge.came and charge.given_back != payment.returning:
        remedy = GIVEN_BACK if charge.given_back else NOT_GIVEN_BACK
        found, expected = str(charge.given_back), str(payment.returning)
        yield Difference(
            subject=payment.id,
            field="given_back",
            found=found,
            expected=expected,
            compared=PROCESSOR,
            remedy=remedy,
        )


def nobodys_charge(charge: Charge) -> Difference:
    """Money came for which there is no payment."""
    found = f"{charge.amount_minor} {charge.currency_code}"
    return Difference(
        subject=charge.reference,
        field="payment",
        found=found,
        expected=ABSENT,
        compared=PROCESSOR,
        remedy=NOBODYS_CHARGE,
    )


def _booked_as(payment: Payment, *, now_ms: int) -> tuple[str, ...]:
    """What the ledger may say of a payment: two things, while one becomes the other."""
    if payment.state is State.RETURNED:
        return (_RETURNED,)
    if payment.state in (State.SUCCEEDED, State.REFUNDED):
        if payment.step is Step.TAKE_BACK:
            return (_RELEASED if payment.released else _CREDITED, _RETURNED)
        if payment.step is Step.NONE:
            return (_RELEASED,)
        due = payment.due_ms is not None and payment.due_ms <= now_ms
        # A worker that has just taken it has moved its time on.
        taken = payment.release_ms is not None and payment.release_ms <= now_ms
        return (_CREDITED, _RELEASED) if due or taken else (_CREDITED,)
    if payment.step is Step.CREDIT:
        return (ABSENT, _CREDITED)
    return (ABSENT,)
