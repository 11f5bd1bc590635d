"""What a closed cycle has the ledger post: fees, interest, corrections. No I/O, clock or grpc."""

from __future__ import annotations

from datetime import timedelta

from accounts.billing import fees
from accounts.billing.account import BillingAccount, Booked, Charge, Posting
from accounts.billing.balances import Change
from accounts.billing.calendar import Cycle, ends_ms
from accounts.billing.closing import Closed
from accounts.billing.product import Product
from accounts.billing.terms import Category, Fees

#: Entries that the fees of cash advances and foreign purchases are for.
_PURCHASES = ("CAPTURE", "FINANCIAL", "FORCE_POST")


def late_fee(
    account: BillingAccount, *, asked_minor: int, paid_minor: int, product: Product
) -> int:
    """The late fee of the last statement, less what its payment has cost already."""
    found = fees.late_fee(
        product.terms.fees,
        minimum_minor=asked_minor,
        paid_by_due_minor=paid_minor,
        cycles_since_last=_since(account.cycles, account.late_cycle),
    )
    return max(found - account.penalty_fee_minor, 0)


def of_entries(
    account: BillingAccount, cycle: Cycle, entries: tuple[Booked, ...], product: Product
) -> tuple[Posting, ...]:
    """Fees for cash advances, foreign purchases and returned payments of the cycle."""
    rules, found, penalty = product.terms.fees, list[Posting](), account.penalty_fee_minor
    at_ms = _last_ms(cycle, product)
    for entry in entries:
        if entry.change is Change.RETURN:
            fee = fees.returned_fee(
                rules,
                minimum_minor=account.opening.minimum_minor,
                cycles_since_last=_since(account.cycles, account.returned_cycle),
            )
            charged = fees.heavier(penalty, fee)[1]
            penalty += charged
            found.append(_fee(account, at_ms, Charge.RETURNED_PAYMENT_FEE, charged, entry))
        # What a dispute has won of it within the cycle was never charged.
        won = sum(one.won_minor for one in account.disputes if one.entry_id == entry.entry_id)
        caused = caused_by(entry, rules, owed_minor=entry.amount_minor - won)
        found += [_fee(account, at_ms, charge, amount, entry) for charge, amount in caused.items()]
    return tuple(one for one in found if one.amount_minor)


def caused_by(entry: Booked, rules: Fees, *, owed_minor: int) -> dict[Charge, int]:
    """The fees of a charge of which so much is owed."""
    found = dict[Charge, int]()
    if entry.type not in _PURCHASES:
        return found
    if entry.category is Category.CASH:
        found[Charge.CASH_ADVANCE_FEE] = fees.cash_fee(rules, owed_minor)
    if entry.is_foreign:
        found[Charge.FOREIGN_FEE] = fees.foreign_fee(rules, owed_minor)
    return found


def annual(account: BillingAccount, cycle: Cycle, product: Product) -> tuple[Posting, ...]:
    """The annual fee if its day is in the cycle."""
    opened_on, amount = product.day(account.opened_ms), product.terms.fees.annual_minor
    due = fees.annual_fee_due(opened_on, start=cycle.start, end=cycle.end)
    if not due or account.closed or not amount:
        return ()
    return (_fee(account, _last_ms(cycle, product), Charge.ANNUAL_FEE, amount, None),)


def interest(account: BillingAccount, closed: Closed, product: Product) -> tuple[Posting, ...]:
    """Interest, one posting for each category of balance that bore it."""
    number = account.number + 1
    return tuple(
        Posting(
            account_id=account.account_id,
            request_id=f"{account.account_id}:{number}:interest.{category}",
            charge=Charge.INTEREST,
            change=Change.DEBIT,
            category=Category.INTEREST,
            amount_minor=amount,
            currency_code=account.currency_code,
            value_ms=_last_ms(closed.cycle, product),
            number=number,
            of=category,
        )
        for category, amount in closed.interest.items()
        if amount
    )


def credit(
    account: BillingAccount,
    cycle: Cycle,
    product: Product,
    charge: Charge,
    amount_minor: int,
    *,
    about: str = "",
) -> tuple[Posting, ...]:
    """What is given back with the cycle's statement, from its first day on: what should not have
    been charged bears no interest. Nothing for nothing. `about`: the entry of a charge.
    """
    if amount_minor <= 0:
        return ()
    fee = charge in (Charge.LATE_FEE_WAIVER, Charge.FEE_CORRECTION)
    number, kind = account.number + 1, charge.lower()
    # Ids of entries are unique: they need no account.
    name = f"{about}:{kind}.{number}" if about else f"{account.account_id}:{number}:{kind}"
    posting = Posting(
        account_id=account.account_id,
        request_id=name,
        charge=charge,
        change=Change.CREDIT,
        category=Category.FEE if fee else Category.INTEREST,
        amount_minor=amount_minor,
        currency_code=account.currency_code,
        value_ms=ends_ms(cycle.start - timedelta(days=1), product.zone),
        number=number,
        related_entry_id=about,
    )
    return (posting,)


def _fee(
    account: BillingAccount, value_ms: int, charge: Charge, amount_minor: int, entry: Booked | None
) -> Posting:
    # Ids of entries are unique: they need no account.
    about = entry.entry_id if entry else f"{account.account_id}:{account.number + 1}"
    return Posting(
        account_id=account.account_id,
        request_id=f"{about}:{charge.lower()}",
        charge=charge,
        change=Change.DEBIT,
        category=Category.FEE,
        amount_minor=amount_minor,
        currency_code=account.currency_code,
        value_ms=value_ms,
        number=account.number + 1,
        related_entry_id=entry.entry_id if entry else "",
    )


def _last_ms(cycle: Cycle, product: Product) -> int:
    return ends_ms(cycle.end, product.zone) - 1


def _since(cycles: int, before: int | None) -> int | None:
    return None if before is None else cycles - before
