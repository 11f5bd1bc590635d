"""PasswordService: convert, do, convert."""

from __future__ import annotations

from typing import TypeAlias

import grpc

from gateway import convert_password as convert
from gateway.convert_session import client
from gateway.password_reset import PasswordResets
from gateway.rings import Rings
from holdfast.gateway.v1 import password_service_pb2 as pb
from holdfast.gateway.v1 import password_service_pb2_grpc as pb_grpc
from runtime.request_id import REPLAYED

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


class PasswordService(pb_grpc.PasswordServiceServicer):
    """Resets passwords."""

    def __init__(self, resets: PasswordResets, *, rings: Rings) -> None:
        self._resets = resets
        self._rings = rings

    async def RequestPasswordReset(
        self, request: pb.RequestPasswordResetRequest, context: Context
    ) -> pb.RequestPasswordResetResponse:
        """Has a mail sent, if there is somebody to send it to."""
        key, email = convert.request_reset(request, context, self._rings)
        stored = await self._resets.request(key, email=email, client=client(context))
        if stored:
            await context.send_initial_metadata(REPLAYED)
        return pb.RequestPasswordResetResponse()

    async def ResetPassword(
        self, request: pb.ResetPasswordRequest, context: Context
    ) -> pb.ResetPasswordResponse:
        """Replaces a password."""
        key, wanted = convert.reset(request, context, self._rings)
        if await self._resets.reset(key, wanted):
            await context.send_initial_metadata(REPLAYED)
        return pb.ResetPasswordResponse()
