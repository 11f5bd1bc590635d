"""AuthorizationService: convert, load, decide, commit, convert."""

from __future__ import annotations

from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from authz import answers, convert, convert_later
from authz.decide_flow import AuthorizeFlow
from authz.hold_flow import HoldFlow
from authz.movement import Movement
from authz.reads import Reads
from authz.usage import Usage
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import authorization_service_pb2_grpc as rpc_grpc
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1 import spend_usage_pb2 as usage_pb
from runtime.identity import current_identity
from runtime.ids import IdSource
from runtime.request_id import REPLAYED

Context = grpc.aio.ServicerContext[Any, Any]
_Answer = TypeVar("_Answer", bound=Message)


async def tell_replay(movement: Movement, context: Context) -> None:
    """Says in the answer's metadata that it is an earlier one."""
    if movement.replayed:
        await context.send_initial_metadata(REPLAYED)


def _told(answer: _Answer) -> _Answer:
    """The answer as the caller is told it."""
    if current_identity().only_sells:
        answers.hide_left(answer)
    return answer


class AuthorizationService(rpc_grpc.AuthorizationServiceServicer):
    """Decides card purchases and carries them through their life."""

    def __init__(
        self,
        *,
        authorizing: AuthorizeFlow,
        holds: HoldFlow,
        reads: Reads,
        usage: Usage,
        fingerprints: convert.Fingerprints,
        id_source: IdSource,
    ) -> None:
        self._authorizing = authorizing
        self._holds = holds
        self._reads = reads
        self._usage = usage
        self._fingerprints = fingerprints
        self._ids = id_source

    async def Authorize(
        self, request: rpc.AuthorizeRequest, context: Context
    ) -> rpc.AuthorizeResponse:
        """Decides one purchase and, if it is approved, places a hold."""
        identity = current_identity()
        command = convert.authorize(
            request, identity, identity.idempotency_keys, self._fingerprints
        )
        movement = await self._authorizing.run(command)
        await tell_replay(movement, context)
        return _told(answers.authorize(command, movement))

    async def CaptureAuthorization(
        self, request: rpc.CaptureAuthorizationRequest, context: Context
    ) -> rpc.CaptureAuthorizationResponse:
        """Posts a clearing and releases that much of the hold."""
        command = convert_later.capture(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        movement = await self._holds.capture(command)
        await tell_replay(movement, context)
        return _told(answers.capture(movement))

    async def ReverseAuthorization(
        self, request: rpc.ReverseAuthorizationRequest, context: Context
    ) -> rpc.ReverseAuthorizationResponse:
        """Gives back all or part of a hold."""
        command = convert_later.reverse(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        movement = await self._holds.release(command)
        await tell_replay(movement, context)
        return _told(answers.reverse(movement))

    async def IncrementAuthorization(
        self, request: movements.IncrementAuthorizationRequest, context: Context
    ) -> movements.IncrementAuthorizationResponse:
        """Decides on more for an approved authorization."""
        command = convert_later.increment(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        movement = await self._holds.increment(command)
        await tell_replay(movement, context)
        return _told(answers.increment(movement))

    async def ExpireAuthorization(
        self, request: movements.ExpireAuthorizationRequest, context: Context
    ) -> movements.ExpireAuthorizationResponse:
        """Releases everything that is still held."""
        command = convert_later.expire(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        movement = await self._holds.release(command)
        await tell_replay(movement, context)
        return answers.expire(movement)

    async def ForcePost(
        self, request: movements.ForcePostRequest, context: Context
    ) -> movements.ForcePostResponse:
        """Posts a debit that was never authorized."""
        command = convert_later.force_post(
            request,
            current_identity(),
            context.invocation_metadata(),
            self._fingerprints,
            self._ids,
        )
        movement = await self._holds.capture(command)
        await tell_replay(movement, context)
        return answers.force_post(movement)

    async def Refund(
        self, request: movements.RefundRequest, context: Context
    ) -> movements.RefundResponse:
        """Posts a credit, or takes one back."""
        command = convert_later.refund(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        movement = await self._holds.refund(command)
        await tell_replay(movement, context)
        return _told(answers.refund(movement))

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

    async def GetSpendUsage(
        self, request: usage_pb.GetSpendUsageRequest, context: Context
    ) -> usage_pb.GetSpendUsageResponse:
        """Returns what is left of a card's spend limits at this moment."""
        return await self._usage.of_card(request.card_id)
