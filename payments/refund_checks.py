"""What has to be true before credit is paid back: the refusals, and what is paid back to whom."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from payments import convert
from payments import refund as rules
from payments.books import Credit
from payments.checks import check_available
from payments.convert_refund import WantedRefund
from payments.holders import Asked, Holder
from payments.payment import TRANSFERS, Payment, Source
from payments.refund_store import Refunds
from payments.transaction import Transaction
from runtime.errors import FailedPrecondition


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found out about an account's credit."""

    holder: Holder
    #: Refunds that were about to take from it. Asked for before the credit: one that is debited in
    #: between counts twice rather than not at all.
    waiting: Mapping[str, int]
    credit: Credit


def check_not_charged_off(account_id: str, asked: Asked | None) -> None:
    """What was charged off is owed all the same: a credit balance pays it first."""
    if asked is not None and asked.charged_off_minor > 0:
        raise FailedPrecondition(
            "of this account something was charged off, which is owed",
            reason="ACCOUNT_CHARGED_OFF",
            metadata={
                "account_id": account_id,
                "charged_off_minor": str(asked.charged_off_minor),
            },
        )


async def parts_of(
    transaction: Transaction,
    wanted: WantedRefund,
    found: Found,
    *,
    available: Container[Source],
) -> list[tuple[Payment, int]]:
    """Which payments are given back, and how much of each; the account is locked."""
    refunds, credit = Refunds(transaction), found.credit
    waiting = {**found.waiting, **await refunds.waiting(wanted.account_id)}
    most_minor = credit.refundable_minor - sum(waiting.values())
    _check_credit(wanted, credit, most_minor)
    left = [
        (payment, left_minor)
        for payment, left_minor in await refunds.refundable(wanted.account_id)
        if payment.source in available or payment.source in TRANSFERS
    ]
    if wanted.payment_id:
        left = [await _named(transaction, wanted, left, available)]
    covered_minor = sum(left_minor for _, left_minor in left)
    amount_minor = wanted.amount_minor
    if amount_minor is None:
        amount_minor = min(most_minor, covered_minor)
    parts = rules.spread(amount_minor, left)
    if not parts or sum(part_minor for _, part_minor in parts) < amount_minor:
        raise FailedPrecondition(
            "there are no payments that could be given back, or not that much of them",
            reason="NO_REFUNDABLE_PAYMENT",
            metadata={
                "account_id": wanted.account_id,
                "most_minor": str(min(most_minor, covered_minor)),
            },
        )
    return parts


def _check_credit(wanted: WantedRefund, credit: Credit, most_minor: int) -> None:
    metadata = {"account_id": wanted.account_id, "most_minor": str(max(most_minor, 0))}
    if most_minor <= 0:
        if credit.minor and not credit.refundable_minor and credit.unreleased_minor:
            raise FailedPrecondition(
                "the credit is of payments that are not released yet",
                reason="CREDIT_NOT_RELEASED",
                metadata=metadata,
            )
        raise FailedPrecondition(
            "the account has no credit that is not needed, or paid back already",
            reason="NO_CREDIT_BALANCE",
            metadata=metadata,
        )
    if wanted.amount_minor is not None and wanted.amount_minor > most_minor:
        raise FailedPrecondition(
            "the account has less credit that may be paid back",
            reason="CREDIT_BALANCE_EXCEEDED",
            metadata=metadata,
        )


async def _named(
    transaction: Transaction,
    wanted: WantedRefund,
    left: list[tuple[Payment, int]],
    available: Container[Source],
) -> tuple[Payment, int]:
    """The payment that was named, and what is left of it."""
    found = next((one for one in left if one[0].id == wanted.payment_id), None)
    if found is not None:
        return found
    payment = await transaction.payment(wanted.payment_id)
    if payment is None or payment.account_id != wanted.account_id:
        raise convert.payment_not_found(wanted.payment_id)
    if not rules.may_be_refunded(payment):
        raise FailedPrecondition(
            f"the payment is {payment.state}, and not released"
            if not payment.released
            else f"the payment is {payment.state}",
            reason="PAYMENT_NOT_REFUNDABLE",
            metadata={"payment_id": payment.id, "state": payment.state},
        )
    if payment.source not in TRANSFERS:
        check_available(payment.source, available)
    left_minor = await Refunds(transaction).left_minor(payment)
    if left_minor <= 0:
        raise FailedPrecondition(
            "all of the payment is given back already",
            reason="PAYMENT_NOT_REFUNDABLE",
            metadata={"payment_id": payment.id, "state": payment.state},
        )
    return payment, left_minor
