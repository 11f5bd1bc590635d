"""ErasureService: forgets from where erased people paid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.payments.v1 import erasure_service_pb2 as pb
from holdfast.payments.v1.erasure_service_pb2_grpc import ErasureServiceServicer
from payments.erasure_store import ErasureStore
from runtime import ids
from runtime.clock import Clock
from runtime.validate import Violations


class ErasureService(ErasureServiceServicer):
    """Is told by accounts."""

    def __init__(self, store: ErasureStore, clock: Clock, *, wake: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake

    async def ForgetAccount(
        self, request: pb.ForgetAccountRequest, context: Any
    ) -> pb.ForgetAccountResponse:
        """Has an account forgotten, surely."""
        del context
        violations = Violations()
        violations.id("account_id", request.account_id, ids.ACCOUNT)
        violations.raise_if_any()
        await self._store.begin(request.account_id, now_ms=self._clock.now_ms())
        self._wake()
        return pb.ForgetAccountResponse()
