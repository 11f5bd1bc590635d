"""Text messages and apps: two HTTP interfaces."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from notify.notices.carrying import Message, NotCarried, Refused

TIMEOUT_S = 15.0
_SLOW_DOWN, _CLIENT_ERRORS, _SERVER_ERRORS = 429, 400, 500
_UNAUTHORIZED = (401, 403)


class _HttpCarrier:
    """Posts. Nothing of the answer is read but its status."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Closes connections."""
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, **content: Any) -> None:
        """Returns once it was taken."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            )
        try:
            async with self._session.post(url, allow_redirects=False, **content) as answer:
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotCarried(type(error).__name__) from None
        # A login that is wrong is wrong for everybody, until somebody mends it.
        is_permanent = _CLIENT_ERRORS <= status < _SERVER_ERRORS
        if is_permanent and status not in (*_UNAUTHORIZED, _SLOW_DOWN):
            raise Refused(f"HTTP_{status}")
        if not 200 <= status < 300:  # noqa: PLR2004
            raise NotCarried(f"HTTP_{status}")


class SmsCarrier(_HttpCarrier):
    """Text messages by an interface like Twilio's."""

    def __init__(self, base_url: str, *, account: str, token: str, sender: str) -> None:
        super().__init__()
        self._url = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{account}/Messages.json"
        login = b64encode(f"{account}:{token}".encode()).decode()
        self._headers = {"authorization": f"Basic {login}"}
        self._sender = sender

    async def carry(self, message: Message) -> None:
        """Sends one text message."""
        form = {"To": message.to, "From": self._sender, "Body": message.words.short}
        await self.post(self._url, data=form, headers=self._headers)


class PushCarrier(_HttpCarrier):
    """Messages to the issuer's app: its own server knows the devices of a user."""

    def __init__(self, url: str, *, token: str) -> None:
        super().__init__()
        self._url = url
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    async def carry(self, message: Message) -> None:
        """Sends one message."""
        body = {
            "id": message.id,
            "user_id": message.user_id,
            "kind": str(message.kind),
            "title": message.words.subject,
            "text": message.words.short,
        }
        await self.post(self._url, json=body, headers=self._headers)


def is_safe(url: str) -> bool:
    """True for https, and on this machine for http, too."""
    found = urlsplit(url)
    here = found.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(found.hostname) and (found.scheme == "https" or (found.scheme == "http" and here))
