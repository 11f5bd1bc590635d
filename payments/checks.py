"""What has to be true before something is paid: the refusals that several requests share."""

from __future__ import annotations

from collections.abc import Container

from payments import convert, owed
from payments.convert import Wanted
from payments.funding import FundingSource, FundingState
from payments.holders import Holder, Holders
from payments.owed import Owed
from payments.payment import Source
from payments.transaction import Transaction
from runtime.errors import FailedPrecondition


async def holder_of(holders: Holders, account_id: str, *, currency_code: str = "") -> Holder:
    """Whose an account is that may be paid, in this currency if one is given."""
    found = await holders.holder(account_id)
    if found is None:
        raise convert.account_not_found(account_id)
    if currency_code and currency_code != found.currency_code:
        raise convert.other_currency("amount", found.currency_code)
    return found


async def known(holders: Holders, account_id: str) -> None:
    """Nothing, if there is such an account."""
    if not await holders.knows(account_id):
        raise convert.account_not_found(account_id)


async def payer_of(holders: Holders, wanted: Wanted) -> Holder:
    """The same of a payment that somebody wants to make: not on an account that has ended."""
    found = await holder_of(holders, wanted.account_id, currency_code=wanted.currency_code)
    check_not_closed(found)
    return found


def check_not_closed(holder: Holder) -> None:
    """Refuses an account that nobody can pay any more. One that is closing, suspended or past due
    can be paid: what is owed is owed.
    """
    if holder.closed:
        raise FailedPrecondition(
            "the account is closed",
            reason="ACCOUNT_CLOSED",
            metadata={"account_id": holder.account_id, "state": "CLOSED"},
        )


async def source_of(
    transaction: Transaction, wanted: Wanted, *, available: Container[Source]
) -> FundingSource:
    """Where the money comes from: what was named, or the account's default."""
    if not wanted.funding_source_id:
        found = await transaction.default_source(wanted.account_id)
        if found is None:
            raise FailedPrecondition(
                "the account has no default funding source: name one",
                reason="NO_FUNDING_SOURCE",
                metadata={"account_id": wanted.account_id},
            )
    else:
        found = await transaction.source(wanted.funding_source_id)
        if found is None or found.account_id != wanted.account_id:
            raise convert.funding_source_not_found(wanted.funding_source_id)
    check_verified(found)
    check_available(found.source, available)
    return found


def check_remembered(account_id: str, forgotten: bool) -> None:
    """Refuses an account whose owner was erased."""
    if forgotten:
        raise FailedPrecondition(
            "the account is closed, and its owner erased",
            reason="ACCOUNT_CLOSED",
            metadata={"account_id": account_id},
        )


def check_verified(source: FundingSource) -> None:
    """Refuses what may not be used."""
    if source.state is FundingState.REMOVED:
        raise convert.funding_source_not_found(source.id)
    if source.state is not FundingState.VERIFIED:
        raise FailedPrecondition(
            f"the funding source is {source.state}",
            reason="FUNDING_SOURCE_NOT_VERIFIED",
            metadata={"funding_source_id": source.id, "state": source.state},
        )


def wrong_source_state(source: FundingSource) -> FailedPrecondition:
    """The error for a funding source that nobody has to verify, or nobody may any more."""
    return FailedPrecondition(
        f"the funding source is {source.state}",
        reason="FUNDING_SOURCE_STATE",
        metadata={"funding_source_id": source.id, "state": source.state},
    )


def check_available(source: Source, available: Container[Source]) -> None:
    """Refuses what this installation has no processor for."""
    if source not in available:
        raise FailedPrecondition(
            f"this installation takes no payments by {source}",
            reason="SOURCE_NOT_AVAILABLE",
            metadata={"source": source},
        )


def amount_of(wanted: Wanted, found: Owed, *, credit_minor: int) -> int:
    """What a payment that begins now comes to."""
    amount_minor = owed.amount_of(wanted.basis, found, fixed_minor=wanted.amount_minor)
    if amount_minor is None:
        raise FailedPrecondition(
            "there is no statement yet",
            reason="NOT_BILLED",
            metadata={"account_id": wanted.account_id},
        )
    if amount_minor == 0:
        raise FailedPrecondition(
            "nothing is owed that is not being paid already",
            reason="NOTHING_OWED",
            metadata={"account_id": wanted.account_id},
        )
    most = owed.most_minor(found, credit_minor=credit_minor)
    if amount_minor > most:
        raise FailedPrecondition(
            "more than is owed and may be paid beyond it",
            reason="OVERPAYMENT",
            metadata={"account_id": wanted.account_id, "most_minor": str(most)},
        )
    return amount_minor
