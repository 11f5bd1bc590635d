"""What disputes change in an account between statements: what is disputed is asked for no more,
and what was lost is asked for again by the next statement. No I/O, no clock, no grpc.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from accounts.billing.account import BillingAccount, Phase
from accounts.billing.disputed import Disputed, relieved, withheld_minor
from accounts.billing.product import Product


def opened(
    account: BillingAccount, dispute: Disputed, product: Product, *, shown_due: date | None
) -> BillingAccount:
    """The account with one more dispute; `shown_due`: when the statement that first showed the
    charge was due, if it is on one.
    """
    demands, opening = account.demands, account.opening
    if shown_due is not None:
        dispute = replace(
            dispute, demands_before=demands, minimum_before_minor=opening.minimum_minor
        )
        demands, minimum_minor = relieved(
            demands,
            minimum_minor=opening.minimum_minor,
            statement_minor=opening.statement_minor,
            amount_minor=dispute.amount_minor,
            withheld_before_minor=withheld_minor(account.disputes),
            shown_due=shown_due,
            terms=product.terms,
        )
        opening = replace(opening, minimum_minor=minimum_minor)
    return _woken(
        replace(
            account,
            demands=demands,
            opening=opening,
            disputes=(*account.disputes, dispute),
        )
    )


def ended(account: BillingAccount, dispute_id: str, *, on: date, won_minor: int) -> BillingAccount:
    """The account once a dispute has ended; the next statement makes the earlier ones good."""
    found = tuple(
        replace(one, settled=on, won_minor=won_minor) if one.dispute_id == dispute_id else one
        for one in account.disputes
    )
    return _woken(replace(account, disputes=found))


def _woken(account: BillingAccount) -> BillingAccount:
    """Looked at at once; what has ended is, when an entry comes in."""
    return replace(account, work_ms=None if account.phase is Phase.ENDED else 0)
