"""The address that people sign in with is that of their profile: the gateway is told of changes.

A row of the outbox says whose address has changed and no more: it is read when the row is
delivered, so nothing personal waits there, and of who is erased meanwhile nothing is told.
"""

from __future__ import annotations

from typing import Any

import grpc

from accounts.caller import is_staff
from accounts.user_store import UserStore
from accounts.vault.access import require_second_factor
from holdfast.gateway.v1.session_service_pb2_grpc import SessionServiceStub
from holdfast.gateway.v1.sign_in_email_pb2 import SetSignInEmailRequest
from runtime.clock import Clock
from runtime.errors import AlreadyExists, Unavailable
from runtime.identity import current_identity
from runtime.log import get_logger
from runtime.outbox import DELIVERY_TIMEOUT_S, DeliveryFailed, Row

#: How long the gateway may take to say whether an address is free: a person is locked meanwhile.
ASK_TIMEOUT_S = 1.0

logger = get_logger()


class SignInAddress:
    """Keeps profile and sign-in together. `mfa_age_s`: how old the second factor of somebody who
    changes their own address may be. `clock`: the machine's, as that of second factors.
    """

    def __init__(
        self, channel: grpc.aio.Channel, people: UserStore, clock: Clock, *, mfa_age_s: int
    ) -> None:
        stub: Any = SessionServiceStub(channel)
        self._set = stub.SetSignInEmail
        self._people = people
        self._clock = clock
        self._mfa_age_s = mfa_age_s

    def require_proof(self) -> None:
        """Refuses a person without a fresh second factor: whoever has the address has the account.
        Staff may change what they have been shown proof of.
        """
        if not is_staff():
            require_second_factor(
                current_identity(), now_ms=self._clock.now_ms(), mfa_age_s=self._mfa_age_s
            )

    async def reserve(self, user_id: str, email: str) -> None:
        """Refuses an address that somebody else signs in with, or is about to; a free one is the
        person's from now on, for longer than it takes to tell of the change.
        """
        request = SetSignInEmailRequest(
            user_id=user_id, version=1, email=email, validate_only=True, reserve=True
        )
        try:
            answer = await self._set(request, timeout=ASK_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(
                "the gateway does not say whether the address is free: repeat the same request",
                reason="GATEWAY_UNAVAILABLE",
            ) from error
        if answer.taken:
            raise AlreadyExists(
                "somebody else signs in with this address",
                reason="EMAIL_TAKEN",
                metadata={"user_id": user_id},
            )

    async def deliver(self, row: Row) -> None:
        """Tells the address as it is now; raises DeliveryFailed unless that is known there."""
        user = await self._people.user(row.key)
        if user is None or not user.personal.email:
            return
        request = SetSignInEmailRequest(
            user_id=user.id, version=user.version, email=user.personal.email
        )
        try:
            answer = await self._set(request, timeout=DELIVERY_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise DeliveryFailed(f"{error.code().name}: {error.details()}") from None
        if answer.taken:
            # It was reserved, but too long ago: the login keeps the address before.
            logger.error("sign_in_address_taken", user_id=user.id)
