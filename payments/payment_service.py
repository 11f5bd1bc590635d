"""PaymentService: convert, ask, decide, commit, convert."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from holdfast.payments.v1 import payment_service_pb2 as pb
from holdfast.payments.v1.payment_service_pb2_grpc import PaymentServiceServicer
from payments import checks, convert, happenings, making
from payments import payment as life
from payments.autopay import Autopay
from payments.books import BooksUnavailable
from payments.calendar import day_of
from payments.holders import Holder, Holders
from payments.mutation import Mutations, nothing
from payments.payment import Payment, Source, WrongState
from payments.steps import BalanceMoved, Found, Steps
from payments.store import Store
from payments.transaction import Transaction
from runtime import ids
from runtime.clock import Clock
from runtime.errors import InvalidArgument, ResourceExhausted, Violation
from runtime.ids import IdSource
from runtime.pages import cut

#: Payments of one account that are scheduled or under way.
OPEN_MAX = 100
#: How often the balance is asked for, where payments are credited meanwhile.
ASKED_MAX = 5
#: How far ahead a payment may be scheduled.
AHEAD_DAYS_MAX = 366


class PaymentService(PaymentServiceServicer):
    """Makes payments, which the worker then brings on their way."""

    def __init__(
        self,
        store: Store,
        mutations: Mutations,
        holders: Holders,
        steps: Steps,
        clock: Clock,
        *,
        available: Container[Source],
        credit_minor: int,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._holders = holders
        self._steps = steps
        self._clock = clock
        self._ids = IdSource(clock)
        self._available = available
        self._credit_minor = credit_minor
        self._wake = wake

    async def MakePayment(
        self, request: pb.MakePaymentRequest, context: Any
    ) -> pb.MakePaymentResponse:
        """Begins a payment."""
        key, wanted = convert.make_payment(request, context)

        async def ask() -> tuple[Holder, Found]:
            holder = await checks.payer_of(self._holders, wanted)
            return holder, await self._steps.found(wanted.account_id, wanted.basis)

        async def change(
            transaction: Transaction, facts: tuple[Holder, Found]
        ) -> pb.MakePaymentResponse:
            holder, found = facts
            await transaction.lock_account(wanted.account_id)
            source = await checks.source_of(transaction, wanted, available=self._available)
            owed = await found.owed_now(transaction, wanted.account_id)
            made = making.requested(
                payment_id=self._new_id(wanted.account_id),
                account_id=wanted.account_id,
                source=source.source,
                funding_source_id=source.id,
                basis=wanted.basis,
                amount_minor=checks.amount_of(wanted, owed, credit_minor=self._credit_minor),
                currency_code=holder.currency_code,
                time_zone=holder.time_zone,
                now_ms=self._clock.now_ms(),
            )
            await transaction.insert_payment(made)
            answer = pb.MakePaymentResponse(payment=convert.payment(made))
            await transaction.record(after=answer.payment)
            return answer

        for _ in range(ASKED_MAX):
            try:
                answer = await self._mutations.run(
                    key, context, pb.MakePaymentResponse, ask=ask, change=change
                )
            except BalanceMoved:
                continue
            self._wake()
            return answer
        raise BooksUnavailable("the balance does not come to rest; repeat the same request")

    async def SchedulePayment(
        self, request: pb.SchedulePaymentRequest, context: Any
    ) -> pb.SchedulePaymentResponse:
        """Lets a payment begin on a day."""
        key, wanted, day, interval, end = convert.schedule_payment(request, context)

        async def ask() -> Holder:
            holder = await checks.payer_of(self._holders, wanted)
            _check_day(day, day_of(self._clock.now_ms(), holder.time_zone))
            return holder

        async def change(transaction: Transaction, holder: Holder) -> pb.SchedulePaymentResponse:
            await transaction.lock_account(wanted.account_id)
            if await transaction.count_open(wanted.account_id) >= OPEN_MAX:
                raise ResourceExhausted(
                    f"at most {OPEN_MAX} payments of an account are open; cancel one",
                    reason="TOO_MANY_PAYMENTS",
                )
            source = await checks.source_of(transaction, wanted, available=self._available)
            at_once = making.requested(
                payment_id=self._new_id(wanted.account_id),
                account_id=wanted.account_id,
                source=source.source,
                funding_source_id=source.id,
                basis=wanted.basis,
                amount_minor=wanted.amount_minor,
                currency_code=holder.currency_code,
                time_zone=holder.time_zone,
                now_ms=self._clock.now_ms(),
            )
            made = making.scheduled(at_once, day=day, interval=interval, end=end)
            await transaction.insert_payment(made)
            answer = pb.SchedulePaymentResponse(payment=convert.payment(made))
            await transaction.record(after=answer.payment)
            return answer

        return await self._mutations.run(
            key, context, pb.SchedulePaymentResponse, ask=ask, change=change
        )

    async def CancelPayment(
        self, request: pb.CancelPaymentRequest, context: Any
    ) -> pb.CancelPaymentResponse:
        """Calls off a payment before anybody was asked for money."""
        key, payment_id = convert.payment_key(request, context)

        async def change(transaction: Transaction, _: None) -> pb.CancelPaymentResponse:
            now_ms = self._clock.now_ms()
            found = await transaction.payment(payment_id)
            if found is None:
                raise convert.payment_not_found(payment_id)
            try:
                canceled = life.canceled(found, now_ms=now_ms)
            except WrongState as error:
                raise convert.wrong_state(error) from None
            await transaction.update_payment(canceled)
            await self._go_on(transaction, found, ends=request.end_series, now_ms=now_ms)
            answer = pb.CancelPaymentResponse(payment=convert.payment(canceled))
            await transaction.record(before=convert.payment(found), after=answer.payment)
            return answer

        return await self._mutations.run(
            key, context, pb.CancelPaymentResponse, ask=nothing, change=change
        )

    async def GetPayment(
        self, request: pb.GetPaymentRequest, context: Any
    ) -> pb.GetPaymentResponse:
        """Returns one payment."""
        payment_id = convert.checked_id("payment_id", request.payment_id, ids.PAYMENT)
        found = await self._store.payment(payment_id)
        if found is None:
            raise convert.payment_not_found(payment_id)
        return pb.GetPaymentResponse(payment=convert.payment(found))

    async def ListPayments(
        self, request: pb.ListPaymentsRequest, context: Any
    ) -> pb.ListPaymentsResponse:
        """Lists payments, newest first."""
        page = convert.page(request, listed="payments")
        await checks.known(self._holders, request.account_id)
        found = await self._store.payments(page, account_id=request.account_id)
        shown, token = cut(page, found, lambda one: one.id)
        return pb.ListPaymentsResponse(
            payments=[convert.payment(one) for one in shown], next_page_token=token
        )

    async def SetAutopay(
        self, request: pb.SetAutopayRequest, context: Any
    ) -> pb.SetAutopayResponse:
        """Sets what is paid by itself."""
        key, wanted = convert.set_autopay(request, context)
        account_id = request.account_id

        async def ask() -> Holder:
            if wanted is None:
                return await checks.holder_of(self._holders, account_id)
            return await checks.payer_of(self._holders, wanted)

        async def change(transaction: Transaction, holder: Holder) -> pb.SetAutopayResponse:
            await transaction.lock_account(account_id)
            before = await transaction.autopay(account_id) or _off(account_id)
            after = replace(_off(account_id), last_number=before.last_number)
            if wanted is not None:
                source = await checks.source_of(transaction, wanted, available=self._available)
                after = replace(
                    after,
                    enabled=True,
                    basis=wanted.basis,
                    amount_minor=wanted.amount_minor,
                    days_before_due=request.days_before_due,
                    funding_source_id=source.id,
                    due_ms=self._clock.now_ms(),
                )
            after = replace(after, currency_code=holder.currency_code, version=before.version + 1)
            await transaction.set_autopay(after)
            await transaction.tell(
                happenings.of_autopay(before, after, now_ms=self._clock.now_ms())
            )
            answer = pb.SetAutopayResponse(autopay=convert.autopay(after))
            await transaction.record(
                before=convert.autopay(before), after=answer.autopay, targets=(account_id,)
            )
            return answer

        answer = await self._mutations.run(
            key, context, pb.SetAutopayResponse, ask=ask, change=change
        )
        self._wake()
        return answer

    async def GetAutopay(
        self, request: pb.GetAutopayRequest, context: Any
    ) -> pb.GetAutopayResponse:
        """Returns what is paid by itself."""
        account_id = convert.checked_id("account_id", request.account_id, ids.ACCOUNT)
        await checks.known(self._holders, account_id)
        found = await self._store.autopay(account_id) or _off(account_id)
        return pb.GetAutopayResponse(autopay=convert.autopay(found))

    async def _go_on(
        self, transaction: Transaction, canceled: Payment, *, ends: bool, now_ms: int
    ) -> None:
        """A canceled payment of a series makes room for the next one, or ends the series."""
        if not canceled.repeats:
            return
        if not ends:
            if canceled.state is life.State.SCHEDULED:
                after = making.following(canceled, now_ms=now_ms)
                if after is not None:
                    await transaction.insert_payment(after)
            return
        # One that has begun has left the next one behind.
        waiting = await transaction.scheduled(canceled)
        if waiting is not None:
            await transaction.update_payment(life.canceled(waiting, now_ms=now_ms))

    def _new_id(self, account_id: str) -> str:
        return self._ids.new(ids.PAYMENT, ids.partition_of(account_id))


def _off(account_id: str) -> Autopay:
    """Nothing is paid by itself."""
    return Autopay(account_id=account_id, enabled=False)


def _check_day(day: date, today: date) -> None:
    last = today + timedelta(days=AHEAD_DAYS_MAX)
    if not today < day <= last:
        description = f"must be after today, {today} for the account, and {last} at the latest"
        raise InvalidArgument.of([Violation("date", description)])
