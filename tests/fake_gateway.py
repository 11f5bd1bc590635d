"""The gateway as accounts sees it: one method."""

from __future__ import annotations

from typing import Any

import grpc

from holdfast.gateway.v1 import session_service_pb2


def gateway_handler(set_sign_in: Any) -> grpc.GenericRpcHandler:
    """Answers SetSignIn, which is all that accounts calls."""
    handler = grpc.unary_unary_rpc_method_handler(
        set_sign_in,
        request_deserializer=session_service_pb2.SetSignInRequest.FromString,
        response_serializer=session_service_pb2.SetSignInResponse.SerializeToString,
    )
    service = session_service_pb2.DESCRIPTOR.services_by_name["SessionService"].full_name
    return grpc.method_handlers_generic_handler(service, {"SetSignIn": handler})
