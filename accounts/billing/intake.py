"""Takes what the ledger posted in, and knows what billing itself had posted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accounts.billing.account import Booked
from accounts.billing.balances import Change
from accounts.billing.store import Billing
from accounts.billing.terms import Category
from holdfast.authz.v1 import ledger_pb2 as pb
from runtime.validate import milliseconds

_RECEIVABLE = "receivable."
_ACCOUNTS = "/service/accounts"
_CHANGES = {
    pb.Entry.TYPE_CAPTURE: Change.DEBIT,
    pb.Entry.TYPE_FINANCIAL: Change.DEBIT,
    pb.Entry.TYPE_FORCE_POST: Change.DEBIT,
    pb.Entry.TYPE_REFUND: Change.CREDIT,
    pb.Entry.TYPE_REFUND_REVERSAL: Change.DEBIT,
    pb.Entry.TYPE_PAYMENT_CREDIT: Change.PAYMENT,
    pb.Entry.TYPE_PAYMENT_RETURN: Change.RETURN,
    pb.Entry.TYPE_PAYMENT_REFUND: Change.DEBIT,
    pb.Entry.TYPE_PAYMENT_REFUND_REVERSAL: Change.CREDIT,
    pb.Entry.TYPE_FEE: Change.DEBIT,
    pb.Entry.TYPE_INTEREST: Change.DEBIT,
    pb.Entry.TYPE_ADJUSTMENT_DEBIT: Change.DEBIT,
    pb.Entry.TYPE_ADJUSTMENT_CREDIT: Change.CREDIT,
    pb.Entry.TYPE_CHARGE_OFF: Change.CREDIT,
    pb.Entry.TYPE_RECOVERY: Change.DEBIT,
    pb.Entry.TYPE_PROVISIONAL_CREDIT: Change.CREDIT,
    pb.Entry.TYPE_PROVISIONAL_CREDIT_REVERSAL: Change.DEBIT,
}
_CATEGORIES = {pb.Entry.TYPE_FEE: Category.FEE, pb.Entry.TYPE_INTEREST: Category.INTEREST}


def booked(entry: pb.Entry) -> Booked | None:
    """What an entry did to the balance; None if it did nothing (a released payment)."""
    change = _CHANGES.get(entry.type)
    if change is None or not entry.lines or not entry.amount.amount_minor:
        return None
    posted_ms = milliseconds(entry.record_time)
    effective_ms = milliseconds(entry.effective_time)
    foreign = entry.merchant_amount.currency_code
    return Booked(
        entry_id=entry.id,
        account_id=entry.account_id,
        seq=entry.seq,
        type=pb.Entry.Type.Name(entry.type).removeprefix("TYPE_"),
        change=change,
        category=_category(entry),
        amount_minor=entry.amount.amount_minor,
        # Receipt counts for payments (12 CFR 1026.10), posting for what is owed.
        value_ms=min(effective_ms, posted_ms) if change is Change.PAYMENT else posted_ms,
        post_ms=posted_ms,
        card_id=entry.card_id,
        user_id=entry.user_id,
        authorization_id=entry.authorization_id,
        payment_id=entry.payment_id,
        related_entry_id=entry.related_entry_id,
        descriptor=entry.merchant.descriptor,
        category_code=entry.merchant.category_code,
        is_foreign=foreign not in ("", entry.amount.currency_code),
    )


def _category(entry: pb.Entry) -> Category:
    """What the ledger says; what a credit balance paid for altogether is a purchase."""
    if entry.type in _CATEGORIES:
        return _CATEGORIES[entry.type]
    names = (line.ledger_account for line in entry.lines)
    found = next((name for name in names if name.startswith(_RECEIVABLE)), "")
    name = found.removeprefix(_RECEIVABLE).upper()
    return Category(name) if name in Category.__members__ else Category.PURCHASE


def _own_request(entry: pb.Entry) -> str:
    """The request id of what accounts has posted; others may use the same ids."""
    return entry.request_id if entry.principal.endswith(_ACCOUNTS) else ""


async def take(connection: Any, entries: Sequence[pb.Entry]) -> None:
    """Takes a page of entries in, on the connection that moves the follower's positions; those that
    were taken in before are passed over.
    """
    billing = Billing(connection)
    found = [(one, _own_request(entry)) for entry in entries if (one := booked(entry))]
    accounts = sorted({one.account_id for one, _ in found})
    await billing.enrol(accounts)
    # Before anything is read or woken: whoever works on an account now has not seen this, and
    # decides when it is looked at next.
    await billing.lock(accounts)
    await billing.insert_entries(found)
    returned = await billing.return_postings(found)
    # Whatever lowers what is owed may make somebody less late, as does what comes back more late.
    eased = {one.account_id for one, _ in found if one.change is not Change.DEBIT}
    await billing.wake(sorted(eased | returned), accounts)
