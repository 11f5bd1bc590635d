"""HolderService: tells other services whose an account is."""

from __future__ import annotations

from typing import Any

from accounts import convert
from accounts.billing.service import summary_at
from accounts.billing.store import Statements
from accounts.ownership_store import OwnershipStore
from accounts.programme_store import Programmes
from accounts.store import Store
from holdfast.accounts.v1 import account_pb2, terms_pb2
from holdfast.accounts.v1 import holder_service_pb2 as pb
from holdfast.accounts.v1.holder_service_pb2_grpc import HolderServiceServicer
from runtime import ids
from runtime.clock import Clock
from runtime.validate import Violations

#: Of accounts whose programme has no terms.
TIME_ZONE_DEFAULT = "UTC"


class HolderService(HolderServiceServicer):
    """Reads what accounts knows."""

    def __init__(
        self,
        store: Store,
        owners: OwnershipStore,
        programmes: Programmes,
        kept: Statements,
        clock: Clock,
    ) -> None:
        self._store = store
        self._owners = owners
        self._programmes = programmes
        self._kept = kept
        self._clock = clock

    async def GetHolder(self, request: pb.GetHolderRequest, context: Any) -> pb.GetHolderResponse:
        """Returns to whom an account belongs."""
        del context
        violations = Violations()
        violations.id("account_id", request.account_id, ids.ACCOUNT)
        violations.id("user_id", request.user_id, ids.USER, required=False)
        violations.raise_if_any()
        account = await self._store.account(request.account_id)
        belongs = await self._owners.account_belongs(request.account_id, request.user_id)
        if account is None or belongs is None:
            raise convert.account_not_found(request.account_id)
        terms = await self._programmes.last_terms(account.programme_id)
        zone = terms_pb2.Terms.FromString(terms.terms).cycle.time_zone if terms else ""
        return pb.GetHolderResponse(
            owner_id=belongs.owner_id,
            shared=belongs.is_user,
            dismissed=belongs.dismissed,
            state=account_pb2.Account.State.Value(f"STATE_{account.state}"),
            currency_code=account.currency_code,
            time_zone=zone or TIME_ZONE_DEFAULT,
        )

    async def GetBill(self, request: pb.GetBillRequest, context: Any) -> pb.GetBillResponse:
        """Returns what is due."""
        del context
        violations = Violations()
        violations.id("account_id", request.account_id, ids.ACCOUNT)
        violations.raise_if_any()
        if await self._store.account(request.account_id) is None:
            raise convert.account_not_found(request.account_id)
        summary = await summary_at(self._kept, request.account_id, now_ms=self._clock.now_ms())
        return pb.GetBillResponse(summary=summary)
