"""RefundService: convert, ask, decide, commit, convert."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from holdfast.payments.v1 import refund_service_pb2 as pb
from holdfast.payments.v1.refund_service_pb2_grpc import RefundServiceServicer
from payments import checks, convert, refund_checks
from payments import convert_refund as wire
from payments import refund as life
from payments.books import Books
from payments.calendar import day_of
from payments.holders import Holders
from payments.mutation import Mutations, nothing
from payments.payment import TRANSFERS, Source
from payments.refund import Refund, WrongRefundState
from payments.refund_checks import Found
from payments.refund_store import ReferenceTaken, Refunds, RefundStore
from payments.transaction import Transaction
from runtime import ids
from runtime.clock import Clock
from runtime.errors import AlreadyExists
from runtime.ids import IdSource
from runtime.pages import cut


class RefundService(RefundServiceServicer):
    """Makes refunds, which the worker then brings on their way."""

    def __init__(
        self,
        store: RefundStore,
        mutations: Mutations,
        holders: Holders,
        books: Books,
        clock: Clock,
        *,
        available: Container[Source],
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._holders = holders
        self._books = books
        self._clock = clock
        self._ids = IdSource(clock)
        self._available = available
        self._wake = wake

    async def RefundCreditBalance(
        self, request: pb.RefundCreditBalanceRequest, context: Any
    ) -> pb.RefundCreditBalanceResponse:
        """Pays back credit that the account has."""
        key, wanted = wire.refund_credit_balance(request, context)
        account_id = wanted.account_id

        async def ask() -> Found:
            holder = await checks.holder_of(
                self._holders, account_id, currency_code=wanted.currency_code
            )
            refund_checks.check_not_charged_off(account_id, await self._holders.asked(account_id))
            waiting = await self._store.waiting(account_id)
            credit = await self._books.refundable(account_id)
            return Found(holder=holder, waiting=waiting, credit=credit)

        async def change(transaction: Transaction, found: Found) -> pb.RefundCreditBalanceResponse:
            await transaction.lock_account(account_id)
            parts = await refund_checks.parts_of(
                transaction, wanted, found, available=self._available
            )
            now_ms = self._clock.now_ms()
            answer = pb.RefundCreditBalanceResponse()
            for payment, part_minor in parts:
                made = life.requested(
                    payment,
                    part_minor,
                    refund_id=self._ids.new(ids.REFUND, ids.partition_of(account_id)),
                    day=day_of(now_ms, found.holder.time_zone),
                    now_ms=now_ms,
                )
                await Refunds(transaction).insert(made)
                answer.refunds.append(wire.refund(made))
            await transaction.record(after=answer, targets=tuple(one.id for one in answer.refunds))
            return answer

        answer = await self._mutations.run(
            key, context, pb.RefundCreditBalanceResponse, ask=ask, change=change
        )
        self._wake()
        return answer

    async def GetRefund(self, request: pb.GetRefundRequest, context: Any) -> pb.GetRefundResponse:
        """Returns one refund."""
        name = convert.checked_id("refund_id", request.refund_id, ids.REFUND)
        found = await self._store.refund(name)
        if found is None:
            raise wire.refund_not_found(name)
        return pb.GetRefundResponse(refund=wire.refund(found))

    async def ListRefunds(
        self, request: pb.ListRefundsRequest, context: Any
    ) -> pb.ListRefundsResponse:
        """Lists an account's refunds."""
        page = convert.page(request, listed="refunds")
        await checks.known(self._holders, request.account_id)
        found = await self._store.refunds(page, account_id=request.account_id)
        shown, token = cut(page, found, lambda one: one.id)
        return pb.ListRefundsResponse(
            refunds=[wire.refund(one) for one in shown], next_page_token=token
        )

    async def ListOutgoingRefunds(
        self, request: pb.ListOutgoingRefundsRequest, context: Any
    ) -> pb.ListOutgoingRefundsResponse:
        """Lists refunds that wait for staff."""
        page = wire.outgoing_page(request)
        found = await self._store.outgoing(page)
        shown, token = cut(page, found, lambda one: one.id)
        refunds = [wire.refund(one, await self._store.payment(one.payment_id)) for one in shown]
        return pb.ListOutgoingRefundsResponse(refunds=refunds, next_page_token=token)

    async def ConcludeRefund(
        self, request: pb.ConcludeRefundRequest, context: Any
    ) -> pb.ConcludeRefundResponse:
        """Says what became of a refund that staff sends."""
        key, concluded = wire.conclude_refund(request, context)

        async def change(transaction: Transaction, _: None) -> pb.ConcludeRefundResponse:
            refunds = Refunds(transaction)
            before = await refunds.refund(concluded.refund_id)
            if before is None:
                raise wire.refund_not_found(concluded.refund_id)
            try:
                after = self._after(before, concluded)
            except WrongRefundState as error:
                raise wire.wrong_refund_state(error) from None
            try:
                await refunds.update(after)
            except ReferenceTaken as error:
                raise AlreadyExists(
                    "another refund has this reference",
                    reason="TRANSFER_EXISTS",
                    metadata={"bank_reference": concluded.bank_reference},
                ) from error
            answer = pb.ConcludeRefundResponse(refund=wire.refund(after))
            await transaction.record(before=wire.refund(before), after=answer.refund)
            return answer

        answer = await self._mutations.run(
            key, context, pb.ConcludeRefundResponse, ask=nothing, change=change
        )
        self._wake()
        return answer

    def _after(self, before: Refund, concluded: wire.Conclusion) -> Refund:
        if before.source not in TRANSFERS:
            raise WrongRefundState(before)
        now_ms = self._clock.now_ms()
        if concluded.bank_reference:
            return life.sent(before, reference=concluded.bank_reference, now_ms=now_ms)
        return life.turned_down(before, reason=concluded.failure_reason, now_ms=now_ms)
