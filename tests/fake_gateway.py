"""The gateway as accounts sees it: three methods; and payments: one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from holdfast.gateway.v1 import session_service_pb2 as pb
from holdfast.gateway.v1 import sign_in_email_pb2 as email_pb
from holdfast.payments.v1 import erasure_service_pb2 as erasure_pb


def gateway_handler(apply: Callable[[Any, str, Any], Awaitable[int]]) -> grpc.GenericRpcHandler:
    """Answers what accounts calls. `apply` is given the request, what it is about, and the context,
    and says which version counts. Addresses at taken.example are somebody else's.
    """

    async def set_sign_in(request: pb.SetSignInRequest, context: Any) -> pb.SetSignInResponse:
        return pb.SetSignInResponse(version=await apply(request, request.user_id, context))

    async def set_email(
        request: email_pb.SetSignInEmailRequest, context: Any
    ) -> email_pb.SetSignInEmailResponse:
        version = await apply(request, f"email:{request.user_id}", context)
        taken = request.email.endswith("@taken.example")
        return email_pb.SetSignInEmailResponse(version=version, taken=taken)

    async def set_membership(
        request: pb.SetMembershipRequest, context: Any
    ) -> pb.SetMembershipResponse:
        name = f"{request.company_id}:{request.user_id}"
        return pb.SetMembershipResponse(version=await apply(request, name, context))

    service = pb.DESCRIPTOR.services_by_name["SessionService"].full_name
    return grpc.method_handlers_generic_handler(
        service,
        {
            "SetSignIn": grpc.unary_unary_rpc_method_handler(
                set_sign_in,
                request_deserializer=pb.SetSignInRequest.FromString,
                response_serializer=pb.SetSignInResponse.SerializeToString,
            ),
            "SetSignInEmail": grpc.unary_unary_rpc_method_handler(
                set_email,
                request_deserializer=email_pb.SetSignInEmailRequest.FromString,
                response_serializer=email_pb.SetSignInEmailResponse.SerializeToString,
            ),
            "SetMembership": grpc.unary_unary_rpc_method_handler(
                set_membership,
                request_deserializer=pb.SetMembershipRequest.FromString,
                response_serializer=pb.SetMembershipResponse.SerializeToString,
            ),
        },
    )


def payments_handler(apply: Callable[[Any, str, Any], Awaitable[int]]) -> grpc.GenericRpcHandler:
    """The same of payments."""

    async def forget(
        request: erasure_pb.ForgetAccountRequest, context: Any
    ) -> erasure_pb.ForgetAccountResponse:
        await apply(request, f"forgotten:{request.account_id}", context)
        return erasure_pb.ForgetAccountResponse()

    service = erasure_pb.DESCRIPTOR.services_by_name["ErasureService"].full_name
    return grpc.method_handlers_generic_handler(
        service,
        {
            "ForgetAccount": grpc.unary_unary_rpc_method_handler(
                forget,
                request_deserializer=erasure_pb.ForgetAccountRequest.FromString,
                response_serializer=erasure_pb.ForgetAccountResponse.SerializeToString,
            )
        },
    )
