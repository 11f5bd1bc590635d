"""Who owns accounts: accounts is asked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from holdfast.accounts.v1 import event_feed_service_pb2 as pb
from runtime.batches import batches

CALL_TIMEOUT_S = 5.0
#: Accounts of one call.
PAGE = 1_000


async def owners_of(feed: Any, account_ids: Collection[str]) -> dict[str, str]:
    """The owners of those accounts that are known. `feed` is the stub of EventFeedService."""
    found: dict[str, str] = {}
    for some in batches(sorted(account_ids), PAGE):
        request = pb.ResolveOwnersRequest(account_ids=some)
        answer = await feed.ResolveOwners(request, timeout=CALL_TIMEOUT_S)
        found |= {one.account_id: one.owner_id for one in answer.owners}
    return found
