"""An account through months, looked at daily or rarely, without a ledger: what is posted comes back
at once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from accounts.billing.account import BillingAccount, Booked, Charge, Phase, Posting
from accounts.billing.advance import Made, Step, advance, issued
from accounts.billing.balances import Change
from accounts.billing.chargeoff import TYPES as OFF
from accounts.billing.disputed import Disputed
from accounts.billing.product import Product
from accounts.billing.recompute import Past, Recalled, ended_now
from accounts.billing.stored import dumped, loaded
from accounts.billing.terms import Category, Fees, MinimumRule, Penalty, Terms

ACCOUNT = "acct_0a" + "1" * 32
ZONE = ZoneInfo("America/New_York")
OPENED = date(2027, 1, 20)
DAYS = 160
DELAY_MS = 3_600_000
FEES = Fees(
    late_minor=2_500,
    late_again_minor=3_500,
    returned_minor=2_500,
    cash_floor_minor=1_000,
    cash_share_bp=500,
    foreign_share_bp=300,
    annual_minor=9_500,
)
PRODUCT = Product(
    version=1,
    terms=Terms(
        effective_from=date(2027, 1, 1),
        apr_bp={Category.PURCHASE: 1825, Category.CASH: 3650},
        minimum=MinimumRule(floor_minor=3_500, share_bp=100),
        fees=FEES,
        penalty=Penalty(apr_bp=2920),
    ),
    zone=ZONE,
    closing_day=15,
    due_days=25,
)
#: Kinds of what may happen to an account from outside.
KINDS = {
    "purchase": ("CAPTURE", Change.DEBIT, Category.PURCHASE),
    "foreign": ("CAPTURE", Change.DEBIT, Category.PURCHASE),
    "cash": ("FINANCIAL", Change.DEBIT, Category.CASH),
    "refund": ("REFUND", Change.CREDIT, Category.PURCHASE),
    "payment": ("PAYMENT_CREDIT", Change.PAYMENT, Category.PURCHASE),
    "return": ("PAYMENT_RETURN", Change.RETURN, Category.PURCHASE),
    "paid back": ("PAYMENT_REFUND", Change.DEBIT, Category.PURCHASE),
    "not paid back": ("PAYMENT_REFUND_REVERSAL", Change.CREDIT, Category.PURCHASE),
}


def at_ms(day: date, hour: int = 12) -> int:
    """An hour (UTC) of a day."""
    moment = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    return int(moment.timestamp() * 1000)


class Life:
    """One account: its entries, and what billing makes of them."""

    def __init__(self, product: Product = PRODUCT, *, in_time: bool = False) -> None:
        self.product = product
        #: Whether statements count as issued on the day after their cycle, whenever they are made.
        self.in_time = in_time
        self.account = BillingAccount(
            account_id=ACCOUNT,
            programme_id="prog_credit",
            currency_code="USD",
            opened_ms=at_ms(OPENED),
        )
        self.entries = dict[str, Booked]()
        self.made = list[Made]()
        self.requests = set[str]()
        self.postings = list[Posting]()
        #: Disputes that have ended.
        self.ended = list[Disputed]()

    def happens(self, day: date, kind: str, amount_minor: int, delay_days: int) -> None:
        """Something is posted on a day."""
        name, change, category = KINDS[kind]
        received = day - timedelta(days=delay_days if kind == "payment" else 0)
        self._book(
            Booked(
                entry_id=f"ent_{len(self.entries)}",
                account_id=ACCOUNT,
                seq=len(self.entries),
                type=name,
                change=change,
                category=category,
                amount_minor=amount_minor,
                value_ms=at_ms(max(received, OPENED)),
                post_ms=at_ms(day),
                is_foreign=kind == "foreign",
            )
        )

    def looked_at(self, now_ms: int) -> None:
        """Everything that is due by now; what is posted comes back at once."""
        while self.account.work_ms is not None and self.account.work_ms <= now_ms:
            if self.account.phase is Phase.POSTING:
                self._issue(now_ms)
                continue
            waiting = tuple(one for one in self.entries.values() if one.number is None)
            step = advance(
                self.account,
                waiting,
                self.product,
                now_ms=now_ms,
                delay_ms=DELAY_MS,
                recalled=self._recalled(),
            )
            assert step.account != self.account, "who is woken has something to do"
            self._taken(step, now_ms)

    @property
    def charged_minor(self) -> int:
        """Fees and interest, less what was given back of them."""
        own = (Category.FEE, Category.INTEREST)
        return sum(one.signed_minor for one in self.entries.values() if one.category in own)

    def lines(self, number: int) -> list[Booked]:
        """A statement's lines."""
        return [one for one in self.entries.values() if one.number == number]

    def _recalled(self) -> Recalled:
        now = {one.dispute_id for one in ended_now(self.account)}
        ended = {one.dispute_id: one for one in self.ended}
        return Recalled(
            past=self._past(),
            made_good=tuple(one for name, one in ended.items() if name not in now),
            uncredited_minor=sum(
                one.amount_minor if one.change is Change.DEBIT else -one.amount_minor
                for one in self.postings
                if one.category is Category.INTEREST and one.charge is not Charge.CHARGE_OFF
            ),
            fees_left=self._fees_left(),
        )

    def _fees_left(self) -> dict[str, int]:
        caused = (Charge.CASH_ADVANCE_FEE, Charge.FOREIGN_FEE, Charge.FEE_CORRECTION)
        found = dict[str, int]()
        for one in self.postings:
            if one.charge in caused:
                signed = one.amount_minor if one.change is Change.DEBIT else -one.amount_minor
                found[one.related_entry_id] = found.get(one.related_entry_id, 0) + signed
        return found

    def _past(self) -> tuple[Past, ...]:
        return tuple(
            Past(
                account=one.before,
                entries=tuple(self.lines(one.number)),
                product=self.product,
            )
            for one in self.made
        )

    def _taken(self, step: Step, now_ms: int) -> None:
        for posting in step.postings:
            assert posting.request_id not in self.requests, "nothing is charged twice"
            self.requests.add(posting.request_id)
            self.postings.append(posting)
            self._post(posting, now_ms)
        if step.made is not None:
            for one in step.made.entries:
                assert self.entries[one.entry_id].number is None, "no line is on two statements"
                self.entries[one.entry_id] = replace(one, number=step.made.number)
            self.made.append(step.made)
        self.account = self._kept(step.account)

    def _kept(self, account: BillingAccount) -> BillingAccount:
        """As PostgreSQL gives it back."""
        row = {
            "account_id": account.account_id,
            "programme_id": account.programme_id,
            "currency_code": account.currency_code,
            "account_state": account.account_state,
        }
        found = loaded(row, opened_ms=account.opened_ms, state=dumped(account), phase=account.phase)
        return replace(found, work_ms=account.work_ms)

    def _issue(self, now_ms: int) -> None:
        made = self.made[-1]
        change = sum(one.signed_minor for one in self.lines(made.number))
        assert made.closed.closing_minor - made.closed.opening_minor == change
        self.account = issued(self.account, ended=False, on=self._issue_day(now_ms))

    def _issue_day(self, now_ms: int) -> date:
        if self.in_time:
            return self.made[-1].closed.cycle.end + timedelta(days=1)
        return self.product.day(now_ms)

    def _post(self, posting: Posting, now_ms: int) -> None:
        kind = "INTEREST" if posting.of else "FEE"
        name = kind if posting.change is Change.DEBIT else "ADJUSTMENT_CREDIT"
        self._book(
            Booked(
                entry_id=f"ent_{len(self.entries)}",
                account_id=ACCOUNT,
                seq=len(self.entries),
                type=posting.charge if posting.charge in OFF else name,
                change=posting.change,
                category=posting.category,
                amount_minor=posting.amount_minor,
                value_ms=posting.value_ms if posting.number else now_ms,
                post_ms=now_ms,
                number=posting.number,
                related_entry_id=posting.related_entry_id,
            )
        )

    def _book(self, entry: Booked) -> None:
        self.entries[entry.entry_id] = entry


def lived(
    happens: list[tuple[int, str, int, int]],
    *,
    every: int,
    product: Product = PRODUCT,
    in_time: bool = False,
) -> Life:
    """A life that is looked at every so many days, and thoroughly at its end."""
    life = Life(product, in_time=in_time)
    for number in range(DAYS):
        day = OPENED + timedelta(days=number)
        for _, kind, amount, delay in (one for one in happens if one[0] == number):
            life.happens(day, kind, amount, delay)
        if number % every == 0:
            life.looked_at(at_ms(day, 11))
    life.looked_at(at_ms(OPENED + timedelta(days=DAYS + 40)))
    return life
