"""An account through months, looked at daily or rarely: statements add up, each entry once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.billing.account import BillingAccount, Booked, Phase, Posting
from accounts.billing.advance import Made, Step, advance, issued
from accounts.billing.balances import Change
from accounts.billing.product import Product
from accounts.billing.recompute import Past
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
_KINDS = {
    "purchase": ("CAPTURE", Change.DEBIT, Category.PURCHASE),
    "foreign": ("CAPTURE", Change.DEBIT, Category.PURCHASE),
    "cash": ("FINANCIAL", Change.DEBIT, Category.CASH),
    "refund": ("REFUND", Change.CREDIT, Category.PURCHASE),
    "payment": ("PAYMENT_CREDIT", Change.PAYMENT, Category.PURCHASE),
    "return": ("PAYMENT_RETURN", Change.RETURN, Category.PURCHASE),
}
HAPPENS = st.lists(
    st.tuples(
        st.integers(0, DAYS - 1),
        st.sampled_from(sorted(_KINDS)),
        st.integers(1, 300_000),
        # Payments come in some days after their receipt.
        st.sampled_from([0, 0, 0, 3, 40]),
    ),
    max_size=25,
)


def at_ms(day: date, hour: int = 12) -> int:
    """An hour (UTC) of a day."""
    moment = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    return int(moment.timestamp() * 1000)


class Life:
    """One account: its entries, and what billing makes of them."""

    def __init__(self, product: Product = PRODUCT) -> None:
        self.product = product
        self.account = BillingAccount(
            account_id=ACCOUNT,
            programme_id="prog_credit",
            currency_code="USD",
            opened_ms=at_ms(OPENED),
        )
        self.entries = dict[str, Booked]()
        self.made = list[Made]()
        self.requests = set[str]()

    def happens(self, day: date, kind: str, amount_minor: int, delay_days: int) -> None:
        """Something is posted on a day."""
        name, change, category = _KINDS[kind]
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
                self._issue()
                continue
            waiting = tuple(one for one in self.entries.values() if one.number is None)
            step = advance(
                self.account,
                waiting,
                self.product,
                now_ms=now_ms,
                delay_ms=DELAY_MS,
                past=self._past(),
            )
            assert step.account != self.account, "who is woken has something to do"
            self._taken(step, now_ms)

    def lines(self, number: int) -> list[Booked]:
        """A statement's lines."""
        return [one for one in self.entries.values() if one.number == number]

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

    def _issue(self) -> None:
        made = self.made[-1]
        change = sum(one.signed_minor for one in self.lines(made.number))
        assert made.closed.closing_minor - made.closed.opening_minor == change
        self.account = issued(self.account, ended=False)

    def _post(self, posting: Posting, now_ms: int) -> None:
        kind = "INTEREST" if posting.of else "FEE"
        self._book(
            Booked(
                entry_id=f"ent_{len(self.entries)}",
                account_id=ACCOUNT,
                seq=len(self.entries),
                type=kind if posting.change is Change.DEBIT else "ADJUSTMENT_CREDIT",
                change=posting.change,
                category=posting.category,
                amount_minor=posting.amount_minor,
                value_ms=posting.value_ms if posting.number else now_ms,
                post_ms=now_ms,
                number=posting.number,
            )
        )

    def _book(self, entry: Booked) -> None:
        self.entries[entry.entry_id] = entry


def lived(
    happens: list[tuple[int, str, int, int]], *, every: int, product: Product = PRODUCT
) -> Life:
    """A life that is looked at every so many days, and thoroughly at its end."""
    life = Life(product)
    for number in range(DAYS):
        day = OPENED + timedelta(days=number)
        for _, kind, amount, delay in (one for one in happens if one[0] == number):
            life.happens(day, kind, amount, delay)
        if number % every == 0:
            life.looked_at(at_ms(day, 11))
    life.looked_at(at_ms(OPENED + timedelta(days=DAYS + 40)))
    return life


@given(happens=HAPPENS, every=st.sampled_from([1, 9, 60]))
@settings(deadline=None, max_examples=30)
def test_statements_follow_one_another_and_hold_every_entry_once(
    happens: list[tuple[int, str, int, int]], every: int
) -> None:
    life = lived(happens, every=every)
    owed = 0
    for number, made in enumerate(life.made, start=1):
        closed = made.closed
        assert made.number == number
        assert closed.opening_minor == owed
        owed = closed.closing_minor
        assert 0 <= closed.minimum_minor <= max(owed, 0)
        assert closed.past_due_minor <= closed.minimum_minor
        assert min(closed.interest.values()) >= 0
    left = [one for one in life.entries.values() if one.number is None]
    assert owed + sum(one.signed_minor for one in left) == sum(
        one.signed_minor for one in life.entries.values()
    )
    cycle = life.account.cycle
    assert cycle is not None
    assert all(PRODUCT.day(one.post_ms) >= cycle.start for one in left)


@given(happens=HAPPENS, every=st.sampled_from([9, 60]))
@settings(deadline=None, max_examples=20)
def test_who_looks_late_makes_the_same_statements(
    happens: list[tuple[int, str, int, int]], every: int
) -> None:
    """But for late fees, which take effect when they are posted."""
    product = replace(PRODUCT, terms=replace(PRODUCT.terms, fees=Fees(), penalty=None))
    daily = lived(happens, every=1, product=product)
    rarely = lived(happens, every=every, product=product)
    assert [one.closed for one in rarely.made] == [one.closed for one in daily.made]
