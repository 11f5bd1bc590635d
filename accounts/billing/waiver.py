"""Fees and interest that staff gives back. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from accounts.billing.account import BillingAccount, Booked, Charge, Posting
from accounts.billing.balances import Change
from accounts.billing.terms import Category


class Kind(StrEnum):
    """What is given back: the types of entries that charge it."""

    FEE = "FEE"
    INTEREST = "INTEREST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waive:
    """Gives something back; `amount_minor` None: all that is left."""

    account_id: str
    entry_id: str
    kind: Kind
    amount_minor: int | None
    currency_code: str
    #: By its name in the contract.
    reason: str
    note: str


class WaiverRefusal(StrEnum):
    """Why it cannot be given back; the names are reasons that callers see."""

    NOT_A_FEE = "NOT_A_FEE"
    NOT_INTEREST = "NOT_INTEREST"
    WAIVER_EXCEEDS = "WAIVER_EXCEEDS"
    OTHER_CURRENCY = "OTHER_CURRENCY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was given back before: of this entry, how often; and of everything of its kind that the
    account was ever charged, how much has not been given back yet, for whatever reason.
    """

    of_entry_minor: int
    times: int
    left_of_all_minor: int


def left_of(entry: Booked, given: Given) -> int:
    """What may still be given back of an entry: what payments that came in late have had given back
    counts, too, without a word on which charge it was.
    """
    return max(min(entry.amount_minor - given.of_entry_minor, given.left_of_all_minor), 0)


def waived(
    command: Waive, account: BillingAccount, entry: Booked, given: Given, *, now_ms: int
) -> Posting | WaiverRefusal:
    """What is posted for it."""
    if entry.type != command.kind or entry.change is not Change.DEBIT:
        fee = command.kind is Kind.FEE
        return WaiverRefusal.NOT_A_FEE if fee else WaiverRefusal.NOT_INTEREST
    if command.currency_code not in ("", account.currency_code):
        return WaiverRefusal.OTHER_CURRENCY
    left = left_of(entry, given)
    amount = left if command.amount_minor is None else command.amount_minor
    if not 0 < amount <= left:
        return WaiverRefusal.WAIVER_EXCEEDS
    fee = command.kind is Kind.FEE
    return Posting(
        account_id=account.account_id,
        request_id=f"{entry.entry_id}:waiver.{given.times + 1}",
        charge=Charge.FEE_WAIVER if fee else Charge.INTEREST_WAIVER,
        change=Change.CREDIT,
        category=Category.FEE if fee else Category.INTEREST,
        amount_minor=amount,
        currency_code=account.currency_code,
        value_ms=now_ms,
        related_entry_id=entry.entry_id,
    )
