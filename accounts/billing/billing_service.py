"""BillingService: convert, load, decide, commit, convert."""

from __future__ import annotations

from collections.abc import Callable

from accounts.billing import convert, convert_waiver
from accounts.billing.waivers import Refused, Waivers, delinquency_changes
from accounts.convert import account_not_found
from accounts.mutation import Context, Mutations
from accounts.requests import Answer
from accounts.store import Store
from accounts.transaction import Transaction
from holdfast.accounts.v1 import billing_service_pb2 as pb
from holdfast.accounts.v1.billing_service_pb2_grpc import BillingServiceServicer
from runtime.clock import Clock
from runtime.identity import current_identity
from runtime.paging import Position

#: After every change of an account.
_LATEST_MS, _LATEST_BUCKET = 253_402_300_799_000, "~"


class BillingService(BillingServiceServicer):
    """What staff does about billing. `committed` is called when something is to be posted."""

    def __init__(
        self,
        store: Store,
        mutations: Mutations,
        clock: Clock,
        *,
        pool: object,
        committed: Callable[[], None],
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._clock = clock
        self._pool = pool
        self._committed = committed

    async def WaiveFee(self, request: pb.WaiveFeeRequest, context: Context) -> pb.WaiveFeeResponse:
        """Gives a fee back."""
        return pb.WaiveFeeResponse(waiver=await self._waive(request, context))

    async def WaiveInterest(
        self, request: pb.WaiveInterestRequest, context: Context
    ) -> pb.WaiveInterestResponse:
        """Gives interest back."""
        return pb.WaiveInterestResponse(waiver=await self._waive(request, context))

    async def ListDelinquencyChanges(
        self, request: pb.ListDelinquencyChangesRequest, context: Context
    ) -> pb.ListDelinquencyChangesResponse:
        """Lists changes of how late an account is, latest first."""
        del context
        page = convert_waiver.delinquency_page(request)
        account = await self._store.account(request.account_id)
        if account is None:
            raise account_not_found(request.account_id)
        before = page.after or Position(_LATEST_MS, _LATEST_BUCKET)
        rows, more = page.cut(
            await delinquency_changes(
                self._pool,
                account.id,
                before_ms=before.key,
                before_bucket=before.id,
                limit=page.fetch,
            )
        )
        token = page.token_after(Position(rows[-1].change_ms, rows[-1].bucket)) if more else ""
        return pb.ListDelinquencyChangesResponse(
            changes=[convert_waiver.delinquency_change(one, account.currency_code) for one in rows],
            next_page_token=token,
        )

    async def _waive(
        self, request: pb.WaiveFeeRequest | pb.WaiveInterestRequest, context: Context
    ) -> pb.Waiver:
        key, command = convert_waiver.waive(request, context)
        now_ms, principal = self._clock.now_ms(), current_identity().principal

        async def effect(transaction: Transaction) -> Answer:
            waivers = Waivers(transaction.connection)
            found = await waivers.found(command)
            if found is None:
                if await self._store.account(command.account_id) is None:
                    raise account_not_found(command.account_id)
                raise convert.not_billed(command.account_id, None)
            if found.entry is None:
                raise convert_waiver.entry_not_found(command.entry_id)
            done = await waivers.waive(
                command, found.account, found.entry, principal=principal, now_ms=now_ms
            )
            if isinstance(done, Refused):
                raise convert_waiver.refusal(done, found.account.currency_code)
            message = convert_waiver.waiver(command, done, principal=principal)
            return Answer(response=message.SerializeToString(), outbox_key=command.account_id)

        answer = await self._mutations.run(key, effect, context)
        self._committed()
        return pb.Waiver.FromString(answer)
