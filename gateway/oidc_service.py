"""OidcService: convert, do, convert."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc

from gateway import convert_session
from gateway.oidc_sign_in import OidcSignIn, Shown
from holdfast.gateway.v1 import oidc_service_pb2 as pb
from holdfast.gateway.v1 import oidc_service_pb2_grpc as pb_grpc
from runtime.identity import current_identity
from runtime.request_id import request_id_of
from runtime.validate import Violations

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"
_TOKEN_LENGTH_MAX = 128
_CODE_LENGTH_MAX = 32
#: Some issuers pack a lot into it.
_AUTHORIZATION_CODE_LENGTH_MAX = 4096
_URI_LENGTH_MAX = 2048


class OidcService(pb_grpc.OidcServiceServicer):
    """Signs users in by what other issuers say of them."""

    def __init__(self, oidc: OidcSignIn) -> None:
        self._oidc = oidc

    async def BeginOidcSignIn(
        self, request: pb.BeginOidcSignInRequest, context: Context
    ) -> pb.BeginOidcSignInResponse:
        """Says where to send the user."""
        violations = Violations()
        _request_id(request, context, violations)
        violations.text("redirect_uri", request.redirect_uri, limit=_URI_LENGTH_MAX, required=True)
        violations.text("issuer", request.issuer, limit=_CODE_LENGTH_MAX, required=True)
        violations.raise_if_any()
        if request.redirect_uri not in self._oidc.issuer(request.issuer).redirect_uris:
            violations.add("redirect_uri", "is none of this issuer's in the settings")
        violations.raise_if_any()
        url, token = await self._oidc.begin(request.issuer, request.redirect_uri)
        return pb.BeginOidcSignInResponse(authorization_url=url, flow_token=token)

    async def CompleteOidcSignIn(
        self, request: pb.CompleteOidcSignInRequest, context: Context
    ) -> pb.CompleteOidcSignInResponse:
        """Begins a session."""
        violations = Violations()
        request_id = _request_id(request, context, violations)
        violations.text("code", request.code, limit=_CODE_LENGTH_MAX)
        shown = _shown(request, violations)
        begun, issuer, registered = await self._oidc.complete(
            shown,
            request_id=request_id,
            code=request.code,
            client=convert_session.client(context),
        )
        return pb.CompleteOidcSignInResponse(
            session=convert_session.session(begun.session, current=begun.session.id),
            tokens=convert_session.tokens(begun),
            issuer=issuer.name,
            registered=registered,
        )

    async def LinkOidcIdentity(
        self, request: pb.LinkOidcIdentityRequest, context: Context
    ) -> pb.LinkOidcIdentityResponse:
        """Links an identity to the caller."""
        violations = Violations()
        _request_id(request, context, violations)
        shown = _shown(request, violations)
        convert_session.current_session(context)
        user_id = current_identity().principal
        issuer = await self._oidc.link(shown, user_id)
        return pb.LinkOidcIdentityResponse(user_id=user_id, issuer=issuer.name)


def _request_id(request: Any, context: Context, violations: Violations) -> str:
    return request_id_of(request.request_id, context.invocation_metadata() or (), violations)


def _shown(
    request: pb.CompleteOidcSignInRequest | pb.LinkOidcIdentityRequest, violations: Violations
) -> Shown:
    for name, limit in (
        ("flow_token", _TOKEN_LENGTH_MAX),
        ("state", _TOKEN_LENGTH_MAX),
        ("authorization_code", _AUTHORIZATION_CODE_LENGTH_MAX),
    ):
        violations.text(name, getattr(request, name), limit=limit, required=True)
    violations.raise_if_any()
    return Shown(
        flow_token=request.flow_token,
        state=request.state,
        authorization_code=request.authorization_code,
    )
