"""To whom webhook endpoints belong: a company, as long as it has not dismissed who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc

from notify import convert_webhook
from notify.webhook_store import WebhookStore
from runtime import ids
from runtime.errors import NotFound, Unavailable
from runtime.ownership import Belongs, Lookup, Lookups

#: Whether a company (an id) has removed a user (another) from its managers.
Dismissed = Callable[[str, str], Awaitable[bool]]


def lookups(store: WebhookStore, dismissed: Dismissed) -> Lookups:
    """For the interceptor, which asks about managers only."""

    async def company(company_id: str, user_id: str) -> Belongs:
        try:
            gone = await dismissed(company_id, user_id)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(
                "nobody can say now who manages the company; try again",
                reason="CHECK_UNAVAILABLE",
            ) from error
        return Belongs(owner_id=company_id, dismissed=gone)

    async def endpoint(endpoint_id: str, user_id: str) -> Belongs | None:
        found = await store.endpoint(endpoint_id)
        if found is None or not found.owner_id:
            return None
        return await company(found.owner_id, user_id)

    return {
        ids.COMPANY: Lookup(find=company, not_found=_no_company),
        ids.WEBHOOK_ENDPOINT: Lookup(find=endpoint, not_found=convert_webhook.not_found),
    }


def _no_company(name: str) -> NotFound:
    return NotFound("no such company", reason="COMPANY_NOT_FOUND", metadata={"company_id": name})
