"""Hands profiles of new users to accounts."""

from __future__ import annotations

from typing import Any

import grpc

from gateway.registration import Profile
from holdfast.accounts.v1 import user_service_pb2 as pb
from holdfast.accounts.v1.user_service_pb2_grpc import UserServiceStub
from runtime.outbox import DELIVERY_TIMEOUT_S, DeliveryFailed


class Profiles:
    """Makes users known to accounts; telling twice makes one of them."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        stub: Any = UserServiceStub(channel)
        self._create_user = stub.CreateUser

    async def create(self, profile: Profile) -> None:
        """Returns once accounts knows the user; raises DeliveryFailed if that is not sure.

        The id is the gateway's own: who exists under it was made by an earlier delivery, whose
        request id accounts may have forgotten since.
        """
        request = pb.CreateUserRequest(
            request_id=profile.request_id,
            user_id=profile.user_id,
            name=profile.name,
            email=profile.email,
        )
        try:
            await self._create_user(request, timeout=DELIVERY_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                return
            raise DeliveryFailed(f"{error.code().name}: {error.details()}") from None
