"""FundingSourceService: convert, ask, decide, commit, convert."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from holdfast.payments.v1 import funding_source_service_pb2 as pb
from holdfast.payments.v1.funding_source_service_pb2_grpc import FundingSourceServiceServicer
from payments import checks, convert, funding, happenings
from payments.erasure_store import ErasureStore, is_forgotten
from payments.funding import ATTEMPTS_MAX, SOURCES_MAX, FundingSource, FundingState, Verdict
from payments.holders import Holders
from payments.mutation import Mutations, nothing
from payments.payment import Source
from payments.processor import Connected, Connector, OutcomeUnknown, SourceRefused
from payments.store import Store
from payments.transaction import Transaction
from runtime import ids
from runtime.clock import Clock
from runtime.errors import FailedPrecondition, ResourceExhausted, Unavailable
from runtime.ids import IdSource
from runtime.pages import cut

_IN_HOUSE_NAME = "Deposit"


class FundingSourceService(FundingSourceServiceServicer):
    """Adds and removes what accounts are paid from."""

    def __init__(
        self,
        store: Store,
        mutations: Mutations,
        holders: Holders,
        clock: Clock,
        *,
        available: Container[Source],
        connectors: Mapping[Source, Connector],
    ) -> None:
        self._store = store
        self._erasures = ErasureStore(store)
        self._mutations = mutations
        self._holders = holders
        self._clock = clock
        self._ids = IdSource(clock)
        self._available = available
        self._connectors = connectors

    async def AddFundingSource(
        self, request: pb.AddFundingSourceRequest, context: Any
    ) -> pb.AddFundingSourceResponse:
        """Adds a funding source; the first that may be used becomes the default."""
        key, source = convert.add_funding_source(request, context)
        account_id = request.account_id

        async def ask() -> Connected:
            checks.check_not_closed(await checks.holder_of(self._holders, account_id))
            checks.check_available(source, self._available)
            checks.check_remembered(account_id, await self._erasures.is_forgotten(account_id))
            return await self._connected(account_id, source, request.processor_token)

        async def change(
            transaction: Transaction, connected: Connected
        ) -> pb.AddFundingSourceResponse:
            await transaction.lock_account(account_id)
            checks.check_remembered(account_id, await is_forgotten(transaction, account_id))
            if await transaction.count_sources(account_id) >= SOURCES_MAX:
                raise ResourceExhausted(
                    f"an account has at most {SOURCES_MAX} funding sources; remove one",
                    reason="TOO_MANY_FUNDING_SOURCES",
                )
            now_ms, asked = self._clock.now_ms(), bool(connected.verification)
            made = FundingSource(
                id=self._ids.new(ids.FUNDING_SOURCE, ids.partition_of(account_id)),
                account_id=account_id,
                source=source,
                state=FundingState.UNVERIFIED if asked else FundingState.VERIFIED,
                is_default=not asked and await transaction.default_source(account_id) is None,
                display_name=connected.display_name,
                token=request.processor_token,
                customer=connected.customer,
                verification=connected.verification,
                create_ms=now_ms,
                update_ms=now_ms,
            )
            await transaction.insert_source(made)
            answer = pb.AddFundingSourceResponse(funding_source=convert.funding_source(made))
            await transaction.record(after=answer.funding_source)
            return answer

        return await self._mutations.run(
            key, context, pb.AddFundingSourceResponse, ask=ask, change=change
        )

    async def VerifyFundingSource(
        self, request: pb.VerifyFundingSourceRequest, context: Any
    ) -> pb.VerifyFundingSourceResponse:
        """Verifies a bank account by what was deposited on it."""
        key, source_id, amounts_minor = convert.verify_funding_source(request, context)

        async def ask() -> Verdict:
            found = await self._tried(source_id)
            try:
                return await self._connectors[found.source].verify(found, amounts_minor)
            except OutcomeUnknown as error:
                await self._untried(source_id)
                raise _no_answer() from error

        async def change(
            transaction: Transaction, verdict: Verdict
        ) -> pb.VerifyFundingSourceResponse:
            found = await self._locked(transaction, source_id)
            after = funding.judged(
                found,
                verdict,
                is_default=await transaction.default_source(found.account_id) is None,
                now_ms=self._clock.now_ms(),
            )
            if after is not found:
                await transaction.update_source(after)
            answer = pb.VerifyFundingSourceResponse(
                funding_source=convert.funding_source(after),
                attempts_left=ATTEMPTS_MAX - after.attempts if funding.may_try(after) else 0,
            )
            await transaction.record(
                before=convert.funding_source(found), after=answer.funding_source
            )
            return answer

        return await self._mutations.run(
            key, context, pb.VerifyFundingSourceResponse, ask=ask, change=change
        )

    async def SetDefaultFundingSource(
        self, request: pb.SetDefaultFundingSourceRequest, context: Any
    ) -> pb.SetDefaultFundingSourceResponse:
        """Makes a funding source the default."""
        key, source_id = convert.funding_source_key(request, context)

        async def change(transaction: Transaction, _: None) -> pb.SetDefaultFundingSourceResponse:
            now_ms = self._clock.now_ms()
            found = await self._locked(transaction, source_id)
            checks.check_verified(found)
            before = await transaction.default_source(found.account_id)
            if before is not None and before.id != found.id:
                await transaction.update_source(
                    funding.made_default(before, is_default=False, now_ms=now_ms)
                )
            after = funding.made_default(found, is_default=True, now_ms=now_ms)
            if after is not found:
                await transaction.update_source(after)
            answer = pb.SetDefaultFundingSourceResponse(
                funding_source=convert.funding_source(after)
            )
            await transaction.record(
                before=convert.funding_source(found), after=answer.funding_source
            )
            return answer

        return await self._mutations.run(
            key, context, pb.SetDefaultFundingSourceResponse, ask=nothing, change=change
        )

    async def RemoveFundingSource(
        self, request: pb.RemoveFundingSourceRequest, context: Any
    ) -> pb.RemoveFundingSourceResponse:
        """Removes a funding source; what would be paid from it by itself is no longer."""
        key, source_id = convert.funding_source_key(request, context)

        async def change(transaction: Transaction, _: None) -> pb.RemoveFundingSourceResponse:
            found = await self._locked(transaction, source_id)
            now_ms = self._clock.now_ms()
            after = funding.removed(found, now_ms=now_ms)
            if after is not found:
                await transaction.update_source(after)
            autopay = await transaction.autopay(found.account_id)
            if autopay is not None and autopay.funding_source_id == found.id:
                off = replace(autopay, enabled=False, due_ms=None, version=autopay.version + 1)
                await transaction.set_autopay(off)
                await transaction.tell(happenings.of_autopay(autopay, off, now_ms=now_ms))
            answer = pb.RemoveFundingSourceResponse(funding_source=convert.funding_source(after))
            await transaction.record(
                before=convert.funding_source(found), after=answer.funding_source
            )
            return answer

        return await self._mutations.run(
            key, context, pb.RemoveFundingSourceResponse, ask=nothing, change=change
        )

    async def ListFundingSources(
        self, request: pb.ListFundingSourcesRequest, context: Any
    ) -> pb.ListFundingSourcesResponse:
        """Lists funding sources, newest first."""
        page = convert.page(request, listed="funding_sources")
        await checks.known(self._holders, request.account_id)
        found = await self._store.sources(page, account_id=request.account_id)
        shown, token = cut(page, found, lambda one: one.id)
        return pb.ListFundingSourcesResponse(
            funding_sources=[convert.funding_source(one) for one in shown], next_page_token=token
        )

    async def _connected(self, account_id: str, source: Source, token: str) -> Connected:
        connector = self._connectors.get(source)
        if connector is None:
            return Connected(customer="", display_name=_IN_HOUSE_NAME)
        try:
            return await connector.connect(account_id, source, token)
        except SourceRefused as error:
            raise FailedPrecondition(
                "the processor does not take it",
                reason="FUNDING_SOURCE_REFUSED",
                metadata={"processor_reason": str(error)},
            ) from error
        except OutcomeUnknown as error:
            raise _no_answer() from error

    async def _tried(self, source_id: str) -> FundingSource:
        """Counts an answer before anybody is asked whether it is right."""
        now_ms = self._clock.now_ms()
        async with self._store.transaction(now_ms=now_ms) as transaction:
            found = await self._locked(transaction, source_id)
            if not funding.may_try(found) or found.source not in self._connectors:
                raise checks.wrong_source_state(found)
            after = funding.tried(found, now_ms=now_ms)
            await transaction.update_source(after)
            return after

    async def _untried(self, source_id: str) -> None:
        now_ms = self._clock.now_ms()
        async with self._store.transaction(now_ms=now_ms) as transaction:
            found = await self._locked(transaction, source_id)
            after = funding.untried(found, now_ms=now_ms)
            if after is not found:
                await transaction.update_source(after)

    async def _locked(self, transaction: Transaction, source_id: str) -> FundingSource:
        """A funding source, with its account, so that one default follows another."""
        found = await transaction.source(source_id)
        if found is None:
            raise convert.funding_source_not_found(source_id)
        await transaction.lock_account(found.account_id)
        return found


def _no_answer() -> Unavailable:
    return Unavailable(
        "the processor gives no answer; repeat the same request",
        reason="PROCESSOR_UNAVAILABLE",
    )
