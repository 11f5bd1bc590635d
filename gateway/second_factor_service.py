"""SecondFactorService: convert, do, convert."""

from __future__ import annotations

from typing import TypeAlias

import grpc

from gateway import convert_session as convert
from gateway.access_tokens import AccessTokens
from gateway.rings import Rings
from gateway.second_factor import SecondFactors
from gateway.session import Session
from gateway.session_message import session_message
from gateway.session_store import SessionStore
from gateway.sign_in import SignIn
from holdfast.gateway.v1 import second_factor_service_pb2 as pb
from holdfast.gateway.v1 import second_factor_service_pb2_grpc as pb_grpc
from runtime.clock import Clock
from runtime.request_id import REPLAYED
from runtime.tokens import TOKEN_LIFETIME_S

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


class SecondFactorService(pb_grpc.SecondFactorServiceServicer):
    """Second factors of those who have signed in."""

    def __init__(
        self,
        factors: SecondFactors,
        sign_in: SignIn,
        sessions: SessionStore,
        *,
        rings: Rings,
        tokens: AccessTokens,
        clock: Clock,
    ) -> None:
        self._factors = factors
        self._sign_in = sign_in
        self._sessions = sessions
        self._rings = rings
        self._tokens = tokens
        self._clock = clock

    async def EnrollSecondFactor(
        self, request: pb.EnrollSecondFactorRequest, context: Context
    ) -> pb.EnrollSecondFactorResponse:
        """Begins a second factor."""
        password = convert.enroll(request, context)
        session = await self._session(context)
        proved = await self._sign_in.prove(
            session, password=password, client=convert.client(context)
        )
        secret, uri = await self._factors.enroll(proved)
        return pb.EnrollSecondFactorResponse(secret=secret, uri=uri)

    async def ConfirmSecondFactor(
        self, request: pb.ConfirmSecondFactorRequest, context: Context
    ) -> pb.ConfirmSecondFactorResponse:
        """Confirms it with a code."""
        key = convert.code(request, context, self._rings)
        session = await self._attempt(context)
        codes, stored = await self._factors.confirm(key, session.user_id, request.code)
        await self._shown(session, context, stored=stored)
        return pb.ConfirmSecondFactorResponse(recovery_codes=codes)

    async def VerifySecondFactor(
        self, request: pb.VerifySecondFactorRequest, context: Context
    ) -> pb.VerifySecondFactorResponse:
        """Shows it again."""
        key = convert.code(request, context, self._rings)
        session = await self._attempt(context)
        stored = await self._factors.verify_once(key, session.user_id, request.code)
        await self._shown(session, context, stored=stored)
        session = await self._session(context)
        return pb.VerifySecondFactorResponse(
            session=session_message(session, current=session.id),
            access_token=self._tokens.issue(session),
            expires_in_s=TOKEN_LIFETIME_S,
        )

    async def RemoveSecondFactor(
        self, request: pb.RemoveSecondFactorRequest, context: Context
    ) -> pb.RemoveSecondFactorResponse:
        """Removes it."""
        key = convert.code(request, context, self._rings)
        session = await self._attempt(context)
        stored = await self._factors.remove(key, session.user_id, request.code)
        await self._shown(session, context, stored=stored)
        return pb.RemoveSecondFactorResponse()

    async def ResetSecondFactor(
        self, request: pb.ResetSecondFactorRequest, context: Context
    ) -> pb.ResetSecondFactorResponse:
        """Removes somebody else's."""
        key = convert.reset_factor(request, context, self._rings)
        stored = await self._factors.reset(key, request.user_id)
        await self._sessions.end_all(request.user_id)
        if stored:
            await context.send_initial_metadata(REPLAYED)
        return pb.ResetSecondFactorResponse(user_id=request.user_id)

    async def _session(self, context: Context) -> Session:
        return await self._sessions.of_caller(convert.current_session(context))

    async def _attempt(self, context: Context) -> Session:
        """Six digits are guessed soon: attempts are limited."""
        session = await self._session(context)
        await self._sign_in.admit_code(session.user_id)
        return session

    async def _shown(self, session: Session, context: Context, *, stored: bool) -> None:
        """The code was right: the session says when, unless this is a repetition."""
        await self._sign_in.forgive_codes(session.user_id)
        if stored:
            await context.send_initial_metadata(REPLAYED)
        else:
            await self._sessions.set_mfa(session.id, now_ms=self._clock.now_ms())
