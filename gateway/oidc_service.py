"""OidcService: convert, do, convert."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, TypeAlias

import grpc

from gateway import convert_session
from gateway.credential import Credential
from gateway.identity_store import Linked
from gateway.oidc_sign_in import OidcSignIn, Shown
from gateway.session import Session
from gateway.session_message import session_message
from gateway.session_store import SessionStore
from gateway.sign_in import SignIn
from holdfast.gateway.v1 import oidc_service_pb2 as pb
from holdfast.gateway.v1 import oidc_service_pb2_grpc as pb_grpc
from runtime.identity import current_identity
from runtime.paging import Position, page_of
from runtime.request_id import request_id_of
from runtime.validate import Violations, timestamp

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"
_TOKEN_LENGTH_MAX = 128
_CODE_LENGTH_MAX = 32
#: Some issuers pack a lot into it.
_AUTHORIZATION_CODE_LENGTH_MAX = 4096
_URI_LENGTH_MAX = 2048
#: A name, or the URL of an issuer that is not configured any more.
_ISSUER_LENGTH_MAX = 256
_PLACE_DIGITS = 16


class OidcService(pb_grpc.OidcServiceServicer):
    """Signs users in by what other issuers say of them."""

    def __init__(self, oidc: OidcSignIn, sign_in: SignIn, sessions: SessionStore) -> None:
        self._oidc = oidc
        self._sign_in = sign_in
        self._sessions = sessions

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
            session=session_message(begun.session, current=begun.session.id),
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
        password = convert_session.given_password(request, violations)
        shown = _shown(request, violations)
        proved, _ = await self._proved(password, context)
        issuer = await self._oidc.link(shown, proved)
        return pb.LinkOidcIdentityResponse(user_id=proved.user_id, issuer=issuer.name)

    async def ListOidcIdentities(
        self, request: pb.ListOidcIdentitiesRequest, context: Context
    ) -> pb.ListOidcIdentitiesResponse:
        """Lists the caller's identities."""
        violations = Violations()
        page = page_of(
            request.page_size,
            request.page_token,
            scope="ListOidcIdentities",
            violations=violations,
        )
        violations.raise_if_any()
        found = {_place(one): one for one in await self._oidc.of_user(current_identity().principal)}
        places = [one for one in sorted(found, reverse=True) if not page.after or one < page.after]
        kept, more = page.cut(places)
        return pb.ListOidcIdentitiesResponse(
            identities=[
                pb.OidcIdentity(
                    issuer=self._oidc.name_of(found[one].issuer),
                    create_time=timestamp(found[one].create_ms),
                )
                for one in kept
            ],
            next_page_token=page.token_after(kept[-1]) if more else "",
        )

    async def UnlinkOidcIdentity(
        self, request: pb.UnlinkOidcIdentityRequest, context: Context
    ) -> pb.UnlinkOidcIdentityResponse:
        """Unlinks an identity of the caller."""
        violations = Violations()
        _request_id(request, context, violations)
        violations.text("issuer", request.issuer, limit=_ISSUER_LENGTH_MAX, required=True)
        password = convert_session.given_password(request, violations)
        violations.raise_if_any()
        proved, session = await self._proved(password, context)
        answer = pb.UnlinkOidcIdentityResponse(user_id=proved.user_id, issuer=request.issuer)
        await self._oidc.unlink(proved, request.issuer, but=session.id, after=answer)
        # Nothing says which of them began by this identity.
        await self._sessions.end_all(proved.user_id, but=session.id)
        return answer

    async def _proved(self, password: str, context: Context) -> tuple[Credential, Session]:
        session = await self._sessions.of_caller(convert_session.current_session(context))
        client = convert_session.client(context)
        return await self._sign_in.prove(session, password=password, client=client), session


def _place(one: Linked) -> Position:
    """Where an identity stands in the list."""
    return Position(one.create_ms, sha256(one.issuer.encode()).hexdigest()[:_PLACE_DIGITS])


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
