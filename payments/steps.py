"""The steps of a payment: asks whoever is concerned, and says what the payment is then.

Nothing is written here. Whoever dies between an answer and the write does the step again: the
processor and the ledger know the payment by its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from payments import owed as rules
from payments import payment as life
from payments.books import Books
from payments.calendar import release_ms
from payments.funding import FundingState
from payments.holders import Asked, Holders
from payments.owed import Owed
from payments.payment import Basis, Cause, Payment, Source
from payments.processor import Outcome, Processor, Result
from payments.store import Store
from payments.transaction import Transaction
from runtime.clock import Clock

#: Statements know of a payment within this time after the ledger does.
STATEMENT_LAG_MS = 60_000
#: How long to wait before a processor that said nothing yet is asked again: a quarter of how long
#: it has had, within these bounds.
POLL_MS_MIN = 2_000
POLL_MS_MAX = 3_600_000
_OF_STATEMENTS = (Basis.STATEMENT_BALANCE, Basis.MINIMUM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found out about what an account owes."""

    posted_minor: int
    under_way: Mapping[str, int]
    #: Payments that had lowered the balance before all this was asked.
    credited: int
    asked: Asked | None

    async def owed_now(self, transaction: Transaction, account_id: str) -> Owed:
        """What is owed, with what is under way by now; the account is locked. Raises BalanceMoved
        if a payment has begun and was credited since: none of what was asked knows it.
        """
        if await transaction.count_credited(account_id, but=self.under_way) != self.credited:
            raise BalanceMoved(account_id)
        under_way = {**self.under_way, **await transaction.under_way(account_id)}
        asked = self.asked
        return Owed(
            posted_minor=self.posted_minor,
            under_way_minor=sum(under_way.values()),
            statement_minor=asked.statement_minor if asked else None,
            minimum_minor=asked.minimum_minor if asked else None,
        )


class NotNow(Exception):
    """The step has to wait for something that is known to pass."""

    def __init__(self, until_ms: int) -> None:
        super().__init__(until_ms)
        self.until_ms = until_ms


class BalanceMoved(Exception):
    """What is owed has to be asked for again."""


class Steps:
    """Does what is due; each method returns the next version of a payment."""

    def __init__(
        self,
        store: Store,
        books: Books,
        holders: Holders,
        processors: Mapping[Source, Processor],
        clock: Clock,
        *,
        hold_days: Mapping[Source, int],
        credit_minor: int,
    ) -> None:
        self._store = store
        self._books = books
        self._holders = holders
        self._processors = processors
        self._clock = clock
        self._hold_days = hold_days
        self._credit_minor = credit_minor

    async def found(self, account_id: str, basis: Basis) -> Found:
        """What an account owes. Payments under way are asked for before the balance: one that is
        credited in between counts twice, which asks for less, never for more.
        """
        credited = await self._store.count_credited(account_id)
        under_way = await self._store.under_way(account_id)
        asked = await self._holders.asked(account_id) if basis in _OF_STATEMENTS else None
        posted_minor = await self._books.posted_minor(account_id)
        return Found(posted_minor=posted_minor, under_way=under_way, credited=credited, asked=asked)

    async def begin(self, payment: Payment) -> Payment | Found:
        """What is found out about a payment whose time has come; or how it ends here."""
        now_ms = self._clock.now_ms()
        holder = await self._holders.holder(payment.account_id)
        if holder is None or holder.closed:
            return life.dropped(payment, reason=life.ACCOUNT_CLOSED, failed=False, now_ms=now_ms)
        source = await self._store.source(payment.funding_source_id)
        if source is None or source.state is not FundingState.VERIFIED:
            return life.dropped(payment, reason=life.SOURCE_REMOVED, failed=True, now_ms=now_ms)
        if payment.source not in self._processors:
            return life.dropped(payment, reason=life.SOURCE_UNAVAILABLE, failed=True, now_ms=now_ms)
        if payment.basis in _OF_STATEMENTS:
            changed_ms = await self._store.last_change_ms(payment.account_id)
            if changed_ms is not None and now_ms < changed_ms + STATEMENT_LAG_MS:
                raise NotNow(changed_ms + STATEMENT_LAG_MS)
        return await self.found(payment.account_id, payment.basis)

    def begun(self, payment: Payment, owed: Owed) -> Payment:
        """A payment whose time has come, given what is owed."""
        now_ms = self._clock.now_ms()
        amount_minor = rules.amount_of(payment.basis, owed, fixed_minor=payment.amount_minor) or 0
        # What is paid by itself makes nobody a creditor of the issuer.
        more_minor = 0 if payment.cause is Cause.AUTOPAY else self._credit_minor
        amount_minor = min(amount_minor, rules.most_minor(owed, credit_minor=more_minor))
        if amount_minor <= 0:
            return life.dropped(payment, reason=life.NOTHING_OWED, failed=False, now_ms=now_ms)
        return life.begun(payment, amount_minor=amount_minor, now_ms=now_ms)

    async def charge(self, payment: Payment, *, known: bool) -> Payment:
        """Asks for the money. If the processor may have heard of it (`known`), asks what has become
        of it first.
        """
        processor = self._processors.get(payment.source)
        source = await self._store.source(payment.funding_source_id)
        assert source is not None, "funding sources are never deleted"
        if processor is None:
            # It was there when the payment was made: whoever configures it again gets an answer.
            raise NotNow(self._clock.now_ms() + POLL_MS_MAX)
        found = await processor.find(payment, source) if known else None
        if found is None:
            now_ms = self._clock.now_ms()
            if not life.may_charge_again(payment, now_ms=now_ms):
                return life.failed(payment, reference="", reason=life.NO_ANSWER, now_ms=now_ms)
            found = await processor.charge(payment, source)
        return self.after(payment, found)

    def after(self, payment: Payment, outcome: Outcome) -> Payment:
        """What a processor's answer makes of a payment that it was asked for."""
        now_ms = self._clock.now_ms()
        reference = outcome.reference
        if outcome.result is Result.REFUSED:
            return life.failed(payment, reference=reference, reason=outcome.reason, now_ms=now_ms)
        if outcome.result is Result.PREPARED:
            return life.waiting(payment, reference=reference, again_ms=now_ms, now_ms=now_ms)
        if outcome.result is Result.WAITING:
            assert payment.charge_ms is not None, "it was asked"
            had_ms = now_ms - payment.charge_ms
            again_ms = now_ms + min(max(had_ms // 4, POLL_MS_MIN), POLL_MS_MAX)
            if payment.processor_reference == reference:
                raise NotNow(again_ms)
            return life.waiting(payment, reference=reference, again_ms=again_ms, now_ms=now_ms)
        receive_ms = now_ms if outcome.receive_ms is None else outcome.receive_ms
        return life.charged(payment, reference=reference, receive_ms=receive_ms, now_ms=now_ms)

    async def credit(self, payment: Payment) -> Payment:
        """Lowers the balance."""
        days = await self._store.hold_days(payment.account_id, payment.source)
        if days is None:
            days = self._hold_days.get(payment.source, 0)
        await self._books.credit(payment)
        assert payment.receive_ms is not None, "its money has come"
        return life.credited(
            payment,
            hold_days=days,
            release_ms=release_ms(payment.receive_ms, days, payment.time_zone),
            now_ms=self._clock.now_ms(),
        )

    async def release(self, payment: Payment) -> Payment:
        """Lets it be spent again."""
        await self._books.release(payment)
        return life.released(payment, now_ms=self._clock.now_ms())

    async def take_back(self, payment: Payment) -> Payment:
        """Takes it back from the balance."""
        await self._books.take_back(payment)
        return life.taken_back(payment, now_ms=self._clock.now_ms())
