"""What billing has found out and done, for those who are told. Statements have theirs in `ready`;
what the ledger posts is told from there. No I/O, no clock, no grpc.
"""

from __future__ import annotations

from collections.abc import Mapping

from accounts.billing.account import BillingAccount, Charge, Posting
from accounts.billing.advance import Step
from runtime.events.catalogue import Event, money

#: What moves a debt between the book and what is charged off; and what staff gives back.
_OFF = {Charge.CHARGE_OFF: "account.charged_off", Charge.RECOVERY: "account.recovered"}
_WAIVED = {
    Charge.FEE_WAIVER: "account.fee_waived",
    Charge.INTEREST_WAIVER: "account.interest_waived",
}


def of_step(before: BillingAccount, step: Step, *, now_ms: int) -> list[Event]:
    """What one look at an account came to."""
    after, found = step.account, list[Event]()
    currency = after.currency_code
    if step.changed is not None:
        changed = {
            "bucket": str(step.changed.bucket),
            "previous_bucket": str(before.bucket),
            "days_past_due": step.changed.days_past_due,
            "past_due": money(step.changed.past_due_minor, currency),
        }
        found.append(_event("account.delinquency_changed", after, changed, now_ms))
    for charge, name in _OFF.items():
        moved = sum(one.amount_minor for one in step.postings if one.charge is charge)
        if moved:
            off = {
                "amount": money(moved, currency),
                "charged_off": money(after.charged_off_now_minor, currency),
            }
            found.append(_event(name, after, off, now_ms))
    return found


def of_waiver(account: BillingAccount, posting: Posting, *, reason: str) -> Event:
    """Staff gave something back, as the posting says."""
    data = {
        "amount": money(posting.amount_minor, posting.currency_code),
        "related_entry_id": posting.related_entry_id,
        "reason": reason,
    }
    return _event(_WAIVED[posting.charge], account, data, posting.value_ms)


def _event(name: str, account: BillingAccount, data: Mapping[str, object], time_ms: int) -> Event:
    return Event(type=name, time_ms=time_ms, account_id=account.account_id, data=data)
