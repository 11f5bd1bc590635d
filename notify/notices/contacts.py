"""Asks accounts how users are reached, each time that something is sent."""

from __future__ import annotations

from typing import Any

import grpc

from holdfast.accounts.v1 import event_feed_service_pb2 as pb
from holdfast.accounts.v1.event_feed_service_pb2_grpc import EventFeedServiceStub
from notify.notices.carrying import NotCarried
from notify.notices.worker import Contact

CALL_TIMEOUT_S = 5.0


class AccountsContacts:
    """Nothing of what it is told is kept."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = EventFeedServiceStub(channel)

    async def contact(self, user_id: str) -> Contact | None:
        """How somebody is reached; None: nobody is there."""
        try:
            found = await self._stub.GetContact(
                pb.GetContactRequest(user_id=user_id), timeout=CALL_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise NotCarried(f"CONTACT_{error.code().name}") from None
        return Contact(name=found.name, email=found.email, phone=found.phone)
