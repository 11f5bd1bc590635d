"""JwksService: the public keys of access tokens. Envoy fetches them; so may anyone."""

from __future__ import annotations

from typing import Any

from gateway.token_keys import TokenKeys
from gateway.tokens import ALGORITHM, public_jwk
from holdfast.gateway.v1 import jwks_service_pb2 as pb
from holdfast.gateway.v1 import jwks_service_pb2_grpc as pb_grpc


class JwksService(pb_grpc.JwksServiceServicer):
    """Publishes every key, also those too new to sign with."""

    def __init__(self, keys: TokenKeys) -> None:
        self._keys = keys

    async def GetJwks(self, request: pb.GetJwksRequest, context: Any) -> pb.GetJwksResponse:
        """Returns the key set (RFC 7517)."""
        jwks = [public_jwk(key) for key in self._keys.read()]
        return pb.GetJwksResponse(
            keys=[
                pb.JsonWebKey(
                    kty="EC", kid=jwk.kid, use="sig", alg=ALGORITHM, crv="P-256", x=jwk.x, y=jwk.y
                )
                for jwk in jwks
            ]
        )
