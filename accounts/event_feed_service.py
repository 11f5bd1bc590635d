"""EventFeedService: hands notify what it needs: events, and how people are reached."""

from __future__ import annotations

from typing import Any

from accounts import convert_user
from accounts.ownership_store import OwnershipStore
from accounts.user_store import UserStore
from holdfast.accounts.v1 import event_feed_service_pb2 as pb
from holdfast.accounts.v1.event_feed_service_pb2_grpc import EventFeedServiceServicer
from runtime import ids
from runtime.events.feed import follow
from runtime.events.outbox import EventOutbox
from runtime.validate import Violations

#: Accounts of one call.
ACCOUNTS_MAX = 1_000
#: Companies of one call, and managers of each.
COMPANIES_MAX = 500
MANAGERS_MAX = 20
_PRINCIPAL_LENGTH_MAX = 256


class EventFeedService(EventFeedServiceServicer):
    """Reads the events that were written beside changes."""

    def __init__(self, events: EventOutbox, owners: OwnershipStore, people: UserStore) -> None:
        self._events = events
        self._owners = owners
        self._people = people

    async def FollowEvents(
        self, request: pb.FollowEventsRequest, context: Any
    ) -> pb.FollowEventsResponse:
        """Returns what happened after a place."""
        del context
        return await follow(self._events, request, pb.FollowEventsResponse)

    async def ResolveOwners(
        self, request: pb.ResolveOwnersRequest, context: Any
    ) -> pb.ResolveOwnersResponse:
        """Says who owns accounts."""
        del context
        violations = Violations()
        if not 0 < len(request.account_ids) <= ACCOUNTS_MAX:
            violations.add("account_ids", f"must be 1 to {ACCOUNTS_MAX}")
        for number, one in enumerate(request.account_ids):
            violations.id(f"account_ids[{number}]", one, ids.ACCOUNT)
        violations.raise_if_any()
        owners = await self._owners.owners_of(request.account_ids)
        return pb.ResolveOwnersResponse(
            owners=[
                pb.AccountOwner(account_id=account_id, owner_id=owner_id)
                for account_id, owner_id in owners.items()
            ]
        )

    async def ResolveManagers(
        self, request: pb.ResolveManagersRequest, context: Any
    ) -> pb.ResolveManagersResponse:
        """Says who manages companies."""
        del context
        violations = Violations()
        if not 0 < len(request.company_ids) <= COMPANIES_MAX:
            violations.add("company_ids", f"must be 1 to {COMPANIES_MAX}")
        for number, one in enumerate(request.company_ids):
            violations.id(f"company_ids[{number}]", one, ids.COMPANY)
        violations.raise_if_any()
        found = await self._owners.managers_of(request.company_ids, limit=MANAGERS_MAX)
        return pb.ResolveManagersResponse(
            managers=[
                pb.CompanyManager(company_id=company_id, user_id=user_id)
                for company_id, user_id in found
            ]
        )

    async def CheckManager(
        self, request: pb.CheckManagerRequest, context: Any
    ) -> pb.CheckManagerResponse:
        """Says whether a company has dismissed a user."""
        del context
        violations = Violations()
        violations.id("company_id", request.company_id, ids.COMPANY)
        violations.text("user_id", request.user_id, limit=_PRINCIPAL_LENGTH_MAX, required=True)
        violations.raise_if_any()
        belongs = await self._owners.company_belongs(request.company_id, request.user_id)
        return pb.CheckManagerResponse(dismissed=belongs is not None and belongs.dismissed)

    async def GetContact(
        self, request: pb.GetContactRequest, context: Any
    ) -> pb.GetContactResponse:
        """Says how a user is reached."""
        del context
        violations = Violations()
        violations.id("user_id", request.user_id, ids.USER)
        violations.raise_if_any()
        found = await self._people.user(request.user_id)
        if found is None or found.erase_time_ms is not None:
            raise convert_user.user_not_found(request.user_id)
        personal = found.personal
        return pb.GetContactResponse(name=personal.name, email=personal.email, phone=personal.phone)
