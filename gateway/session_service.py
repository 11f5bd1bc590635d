"""SessionService: convert, do, convert."""

from __future__ import annotations

from typing import TypeAlias

import grpc

from gateway import convert_session as convert
from gateway.registration import Registration
from gateway.rings import Rings
from gateway.session_message import session_message
from gateway.session_store import SessionStore
from gateway.sign_in import SignIn
from holdfast.gateway.v1 import session_service_pb2 as pb
from holdfast.gateway.v1 import session_service_pb2_grpc as pb_grpc
from holdfast.gateway.v1 import sign_in_email_pb2 as email_pb
from runtime.audit.log import record_ahead
from runtime.identity import current_identity
from runtime.request_id import REPLAYED

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


class SessionService(pb_grpc.SessionServiceServicer):
    """Signs users in and out."""

    def __init__(
        self,
        registration: Registration,
        sign_in: SignIn,
        sessions: SessionStore,
        *,
        rings: Rings,
    ) -> None:
        self._registration = registration
        self._sign_in = sign_in
        self._sessions = sessions
        self._rings = rings

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Registers a cardholder."""
        key, user = convert.register(request, context, self._rings)
        client = convert.client(context)
        await self._sign_in.admit(key.principal, client)
        user_id, stored = await self._registration.register(key, user)
        await self._sign_in.forgive(key.principal, client)
        await _replayed(context, stored)
        return pb.RegisterResponse(user_id=user_id)

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.LoginResponse:
        """Begins a session."""
        command = convert.login(request, context)
        begun = await self._sign_in.login(
            request_id=command.request_id,
            email=command.email,
            password=command.password,
            code=command.code,
            client=convert.client(context),
        )
        return pb.LoginResponse(
            session=session_message(begun.session, current=begun.session.id),
            tokens=convert.tokens(begun),
        )

    async def Refresh(self, request: pb.RefreshRequest, context: Context) -> pb.RefreshResponse:
        """Exchanges a refresh token."""
        request_id, refresh_token = convert.refresh(request, context)
        begun = await self._sign_in.refresh(
            request_id=request_id, refresh_token=refresh_token, client=convert.client(context)
        )
        return pb.RefreshResponse(
            session=session_message(begun.session, current=begun.session.id),
            tokens=convert.tokens(begun),
        )

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> pb.LogoutResponse:
        """Ends the caller's session, or all."""
        convert.request_id(request, context)
        session_id, user_id = convert.current_session(context), current_identity().principal
        await record_ahead(targets=(session_id,))
        if request.all:
            await self._sessions.end_all(user_id)
        else:
            await self._sessions.end(user_id, session_id)
        return pb.LogoutResponse()

    async def ChangePassword(
        self, request: pb.ChangePasswordRequest, context: Context
    ) -> pb.ChangePasswordResponse:
        """Replaces the caller's password."""
        key, passwords = convert.change_password(request, context, self._rings)
        session = await self._sessions.of_caller(convert.current_session(context))
        stored = await self._sign_in.change_password(
            key, session=session, passwords=passwords, client=convert.client(context)
        )
        await _replayed(context, stored)
        return pb.ChangePasswordResponse()

    async def GetSession(
        self, request: pb.GetSessionRequest, context: Context
    ) -> pb.GetSessionResponse:
        """Returns one of the caller's sessions."""
        session_id = convert.session_id(request, context)
        found = await self._sessions.of_caller(session_id)
        return pb.GetSessionResponse(
            session=session_message(found, current=convert.session_of(context))
        )

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        """Lists the caller's sessions."""
        page = convert.page(request)
        current = convert.session_of(context)
        found = await self._sessions.of_user(current_identity().principal)
        sessions, next_page_token = convert.cut(found, page)
        return pb.ListSessionsResponse(
            sessions=[session_message(one, current=current) for one in sessions],
            next_page_token=next_page_token,
        )

    async def RevokeSession(
        self, request: pb.RevokeSessionRequest, context: Context
    ) -> pb.RevokeSessionResponse:
        """Ends one of the caller's sessions."""
        convert.request_id(request, context)
        await record_ahead()
        await self._sessions.end(current_identity().principal, request.session_id)
        return pb.RevokeSessionResponse()

    async def SetUserAccess(
        self, request: pb.SetUserAccessRequest, context: Context
    ) -> pb.SetUserAccessResponse:
        """Replaces what a user may do."""
        key, roles = convert.set_access(request, context, self._rings)
        stored = await self._registration.set_access(
            key,
            request.user_id,
            roles=roles,
            company_id=request.company_id,
            merchant_id=request.merchant_id,
            disabled=request.disabled,
        )
        await _replayed(context, stored)
        return pb.SetUserAccessResponse(
            user_id=request.user_id,
            roles=roles,
            company_id=request.company_id,
            merchant_id=request.merchant_id,
            disabled=request.disabled,
        )

    async def SetSignIn(
        self, request: pb.SetSignInRequest, context: Context
    ) -> pb.SetSignInResponse:
        """Takes over what accounts says of a person."""
        del context
        version = await self._registration.set_sign_in(convert.set_sign_in(request))
        return pb.SetSignInResponse(version=version)

    async def SetSignInEmail(
        self, request: email_pb.SetSignInEmailRequest, context: Context
    ) -> email_pb.SetSignInEmailResponse:
        """Takes over the address that accounts has of a person."""
        del context
        found = await self._registration.set_email(convert.set_email(request))
        return email_pb.SetSignInEmailResponse(version=found.version, taken=found.taken)

    async def SetMembership(
        self, request: pb.SetMembershipRequest, context: Context
    ) -> pb.SetMembershipResponse:
        """Takes over what accounts says of a user in a company."""
        del context
        version = await self._registration.set_membership(convert.set_membership(request))
        return pb.SetMembershipResponse(version=version)


async def _replayed(context: Context, stored: bool) -> None:
    if stored:
        await context.send_initial_metadata(REPLAYED)
