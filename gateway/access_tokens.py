"""Signs the access tokens of sessions."""

from __future__ import annotations

import uuid

from gateway.session import Session
from gateway.token_keys import TokenKeys
from gateway.tokens import Claims, sign_token
from runtime.clock import Clock
from runtime.settings import Settings
from runtime.tokens import TOKEN_AUDIENCE, TOKEN_LIFETIME_S, token_issuer


class AccessTokens:
    """Tokens of one installation."""

    def __init__(self, keys: TokenKeys, clock: Clock, settings: Settings) -> None:
        self._keys = keys
        self._clock = clock
        self._issuer = token_issuer(settings)

    def issue(self, session: Session) -> str:
        """A token for a session, good for `TOKEN_LIFETIME_S`."""
        claims = Claims(
            issuer=self._issuer,
            audience=TOKEN_AUDIENCE,
            subject=session.user_id,
            roles=session.roles,
            token_id=uuid.uuid4().hex,
            session_id=session.id,
            company_id=session.company_id,
            mfa_time_s=session.mfa_ms // 1000,
        )
        now_ms = self._clock.now_ms()
        return sign_token(self._keys.signing(), claims, now_ms=now_ms, lifetime_s=TOKEN_LIFETIME_S)
