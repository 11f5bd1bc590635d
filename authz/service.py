"""AuthorizationService: convert, load, decide, commit, convert."""

from __future__ import annotations

from typing import Any

import grpc

from authz import answers, convert
from authz.decide_flow import AuthorizeFlow
from authz.hold_flow import HoldFlow
from authz.reads import Reads
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import authorization_service_pb2_grpc as rpc_grpc
from runtime.identity import current_identity
from runtime.request_id import REPLAYED

Context = grpc.aio.ServicerContext[Any, Any]


class AuthorizationService(rpc_grpc.AuthorizationServiceServicer):
    """Decides card purchases and carries them through their life."""

    def __init__(
        self,
        *,
        authorizing: AuthorizeFlow,
        holds: HoldFlow,
        reads: Reads,
        fingerprints: convert.Fingerprints,
    ) -> None:
        self._authorizing = authorizing
        self._holds = holds
        self._reads = reads
        self._fingerprints = fingerprints

    async def Authorize(
        self, request: rpc.AuthorizeRequest, context: Context
    ) -> rpc.AuthorizeResponse:
        """Decides one purchase and, if it is approved, places a hold."""
        command = convert.authorize(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        movement = await self._authorizing.run(command)
        if movement.replayed:
            await context.send_initial_metadata(REPLAYED)
        return answers.authorize(command, movement)

    async def CaptureAuthorization(
        self, request: rpc.CaptureAuthorizationRequest, context: Context
    ) -> rpc.CaptureAuthorizationResponse:
        """Posts a clearing and releases that much of the hold."""
        command = convert.capture(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        movement = await self._holds.capture(command)
        if movement.replayed:
            await context.send_initial_metadata(REPLAYED)
        return answers.capture(movement)

    async def ReverseAuthorization(
        self, request: rpc.ReverseAuthorizationRequest, context: Context
    ) -> rpc.ReverseAuthorizationResponse:
        """Gives back all or part of a hold."""
        command = convert.reverse(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        movement = await self._holds.reverse(command)
        if movement.replayed:
            await context.send_initial_metadata(REPLAYED)
        return answers.reverse(movement)

    async def GetAuthorization(
        self, request: rpc.GetAuthorizationRequest, context: Context
    ) -> rpc.GetAuthorizationResponse:
        """Returns one authorization as it is now."""
        found = await self._reads.authorization(request.authorization_id, current_identity())
        return rpc.GetAuthorizationResponse(authorization=found)

    async def ListAuthorizations(
        self, request: rpc.ListAuthorizationsRequest, context: Context
    ) -> rpc.ListAuthorizationsResponse:
        """Lists settled authorizations, newest first."""
        return await self._reads.authorizations(request, current_identity())

    async def GetBalance(
        self, request: rpc.GetBalanceRequest, context: Context
    ) -> rpc.GetBalanceResponse:
        """Returns an account's balance at this moment."""
        return await self._reads.balance(request.account_id)
