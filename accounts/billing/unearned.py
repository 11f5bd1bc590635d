"""Fees that should not have been charged, as is known now. No I/O, no clock, no grpc.

Late fees of minimum payments that came in late, but had been received in time; and what won
disputes have caused: the fees of their charges, and late fees as far as the minimum would have been
lower without the disputed amount (12 CFR 1026.13(e)(1)).
"""

from __future__ import annotations

from accounts.billing.account import BillingAccount, Booked
from accounts.billing.product import Product
from accounts.billing.recompute import Again, Recalled, fair_late_fee, unearned_charge_fees


def late_fees(
    account: BillingAccount, mine: tuple[Booked, ...], product: Product, redone: Again
) -> int:
    """Of late fees: what has become too much with the entries of the cycle that closes, and with
    the disputes that have ended in it.
    """
    earlier = sum(
        max(before.late_fee_minor - after.late_fee_minor, 0)
        for before, after in zip(redone.before, redone.after, strict=True)
    )
    last = fair_late_fee(account, mine, product, redone.last)
    return earlier + account.late_fee_minor - last


def charge_fees(redone: Again, recalled: Recalled) -> dict[str, int]:
    """Of the fees that disputed charges on statements have caused: what is not owed, by charge."""
    found = unearned_charge_fees(recalled.past, redone.known)
    left = {name: recalled.fees_left.get(name, 0) - fair for name, (_, fair) in found.items()}
    return {name: amount for name, amount in left.items() if amount > 0}
