"""ApiUsageService: how the API was used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc

from holdfast.stats.v1 import api_usage_service_pb2 as pb
from holdfast.stats.v1.api_usage_service_pb2_grpc import ApiUsageServiceServicer
from runtime import ids
from runtime.clock import ms_of
from runtime.errors import NotFound, Unavailable
from runtime.identity import current_identity
from runtime.validate import timestamp
from stats import usage_convert as convert
from stats.usage_store import UsageStore


class ApiUsageService(ApiUsageServiceServicer):
    """Shows what was counted. `merchant_of`: the merchant that a user works for; empty: none."""

    def __init__(self, store: UsageStore, merchant_of: Callable[[str], Awaitable[str]]) -> None:
        self._store = store
        self._merchant_of = merchant_of

    async def GetApiUsage(
        self, request: pb.GetApiUsageRequest, context: Any
    ) -> pb.GetApiUsageResponse:
        """Returns sums."""
        del context
        sees_all = current_identity().sees_everything
        query = convert.query_of(request, of_callers=not sees_all)
        if not sees_all:
            query = replace(query, callers=await self._own(request.caller))
        groups = await self._store.sums(query)
        # All of it is one group without a name.
        whole = await self._store.sums(
            replace(query, by_time="", by_method=False, by_caller=False, by_api_key=False)
        )
        until = await self._store.counted_until()
        return pb.GetApiUsageResponse(
            total=convert.usage(whole[0]) if whole else pb.ApiUsage(),
            groups=[convert.usage(row) for row in groups],
            more_count=groups[0]["number"] - len(groups) if groups else 0,
            counted_until=timestamp(ms_of(until)) if until else None,
        )

    async def _own(self, caller: str) -> tuple[str, ...]:
        """Who a merchant's callers are: that one, if it is asked for."""
        principal = current_identity().principal
        own = [principal]
        if ids.is_id(principal, ids.USER):
            try:
                own.append(await self._merchant_of(principal))
            except grpc.aio.AioRpcError as error:
                raise Unavailable(
                    "nobody can say now for whom you work; try again", reason="CHECK_UNAVAILABLE"
                ) from error
        if not caller:
            return tuple(filter(None, own))
        if caller not in own:
            raise NotFound("no such caller", reason="CALLER_NOT_FOUND", metadata={"caller": caller})
        return (caller,)
