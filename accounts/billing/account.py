"""An account as billing knows it: where its cycle stands and how late it is. No I/O, no clock, no
grpc.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from accounts.billing.balances import Change
from accounts.billing.calendar import Cycle
from accounts.billing.closing import FIRST
from accounts.billing.delinquency import Bucket, Demand, Settled
from accounts.billing.disputed import Disputed
from accounts.billing.interest import Opening
from accounts.billing.terms import Category


class Phase(StrEnum):
    """What billing does with an account next."""

    #: Its first cycle has not begun: its programme may have no terms yet.
    NEW = "NEW"
    #: A cycle runs.
    RUNNING = "RUNNING"
    #: A cycle is closed, and its interest and fees are on their way into the ledger.
    POSTING = "POSTING"
    #: The account is closed, and nothing is owed.
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class YearToDate:
    """What a calendar year has cost so far (12 CFR 1026.7(b)(6)(iii))."""

    year: int = 0
    fees_minor: int = 0
    interest_minor: int = 0

    def plus(self, year: int, *, fees_minor: int, interest_minor: int) -> YearToDate:
        """With one more cycle; another year begins with nothing."""
        before = self if self.year == year else YearToDate(year=year)
        return YearToDate(
            year=year,
            fees_minor=before.fees_minor + fees_minor,
            interest_minor=before.interest_minor + interest_minor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingAccount:
    """One account of a programme that has terms."""

    account_id: str
    programme_id: str
    currency_code: str
    opened_ms: int
    phase: Phase = Phase.NEW
    #: State of the account itself; the names are the contract's.
    account_state: str = "OPEN"
    #: Billing has had purchases declined, and will allow them again.
    blocked: bool = False
    #: Number of the last statement; 0: there is none.
    number: int = 0
    #: Cycles that are over, with a statement or without.
    cycles: int = 0
    #: The cycle that runs; None while NEW.
    cycle: Cycle | None = None
    #: What it started with.
    opening: Opening = FIRST
    #: What statements ask for and has not been paid when the last one was made, its own included.
    demands: tuple[Demand, ...] = ()
    #: What payments of the latest cycles came to, latest first.
    settled: tuple[Settled, ...] = ()
    #: Whether the last statement's due date has been looked at after it had passed.
    late_checked: bool = True
    #: Minimum payments in time in a row.
    in_time: int = 0
    #: The last statement that was not paid in time.
    late_number: int | None = None
    #: Cycles in which a payment was late or came back, for what is dearer the second time.
    late_cycle: int | None = None
    returned_cycle: int | None = None
    #: As they were before the last due date, in case that it turns out to have been met.
    late_cycle_before: int | None = None
    in_time_before: int = 0
    #: Notice was given that the penalty rate begins with the first cycle that starts on this day
    #: or later (12 CFR 1026.9(g)).
    penalty_from: date | None = None
    #: What was charged because the last statement was not paid in time, and for that and for
    #: returned payments together: one event has one penalty fee.
    late_fee_minor: int = 0
    penalty_fee_minor: int = 0
    bucket: Bucket = Bucket.CURRENT
    #: When it was charged off; None: it was not.
    charged_off_on: date | None = None
    #: Charged off less recovered, as far as it stands on statements; and what charge-offs and
    #: recoveries since then do to the book (negative: they lower it), and how many there were.
    charged_off_minor: int = 0
    off_minor: int = 0
    off_number: int = 0
    year: YearToDate = field(default_factory=YearToDate)
    #: Disputes that are open, or of which not everything is on a statement.
    disputes: tuple[Disputed, ...] = ()
    #: When there is something to do.
    work_ms: int | None = 0

    @property
    def charged_off_now_minor(self) -> int:
        """Charged off less recovered, whether that is on a statement or not."""
        return self.charged_off_minor - self.off_minor

    @property
    def closed(self) -> bool:
        """Nothing is bought with it any more."""
        return self.account_state == "CLOSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A ledger entry that changed what an account owes."""

    entry_id: str
    account_id: str
    seq: int
    #: Of the ledger, e.g. CAPTURE.
    type: str
    change: Change
    category: Category
    amount_minor: int
    #: From when it counts: for payments the receipt, for all others the posting.
    value_ms: int
    post_ms: int
    card_id: str = ""
    user_id: str = ""
    authorization_id: str = ""
    payment_id: str = ""
    related_entry_id: str = ""
    descriptor: str = ""
    category_code: str = ""
    #: Bought in another currency than the account's.
    is_foreign: bool = False
    #: The statement that it is on; None: on none yet.
    number: int | None = None

    @property
    def signed_minor(self) -> int:
        """What it adds to what is owed."""
        raises = self.change in (Change.DEBIT, Change.RETURN)
        return self.amount_minor if raises else -self.amount_minor


class Charge(StrEnum):
    """Why billing posts something; the names are the contract's."""

    INTEREST = "INTEREST"
    INTEREST_CORRECTION = "INTEREST_CORRECTION"
    LATE_FEE = "LATE_FEE"
    LATE_FEE_WAIVER = "LATE_FEE_WAIVER"
    RETURNED_PAYMENT_FEE = "RETURNED_PAYMENT_FEE"
    CASH_ADVANCE_FEE = "CASH_ADVANCE_FEE"
    FOREIGN_FEE = "FOREIGN_FEE"
    ANNUAL_FEE = "ANNUAL_FEE"
    FEE_WAIVER = "FEE_WAIVER"
    FEE_CORRECTION = "FEE_CORRECTION"
    INTEREST_WAIVER = "INTEREST_WAIVER"
    CHARGE_OFF = "CHARGE_OFF"
    RECOVERY = "RECOVERY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """What billing has the ledger post, once per request id."""

    account_id: str
    request_id: str
    charge: Charge
    change: Change
    category: Category
    amount_minor: int
    currency_code: str
    #: When it takes effect.
    value_ms: int
    #: The statement that it stands on; None: on that of the cycle in which it is posted.
    number: int | None = None
    related_entry_id: str = ""
    #: The category that interest was charged for.
    of: Category | None = None
