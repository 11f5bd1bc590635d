"""Talks to one issuer: its configuration, its keys, its token endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from gateway.oidc import Flow, Identity, Issuer, identity_in, invalid
from runtime.clock import Clock
from runtime.errors import Unauthenticated, Unavailable
from runtime.log import get_logger

#: How long an issuer's configuration and keys are kept.
CACHE_MS = 600_000
#: Keys are read anew for a token with an unknown key, but not more often than this.
KEYS_AGAIN_MS = 30_000
#: For one whole answer, however slowly it comes.
TIMEOUT_S = 4.0
_BAD_SIGNATURE = jwt.InvalidSignatureError.__name__
_ANSWER_BYTES_MAX = 256 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What an issuer says of itself."""

    authorization_endpoint: str
    token_endpoint: str
    keys: jwt.PyJWKSet
    read_ms: int


class Provider:
    """One issuer. `secret` is our password there; empty of a public client."""

    def __init__(
        self,
        issuer: Issuer,
        client: httpx.AsyncClient,
        clock: Clock,
        *,
        secret: Callable[[], str],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.issuer = issuer
        self._client = client
        self._clock = clock
        self._secret = secret
        self._timeout_s = timeout_s
        self._known: _Known | None = None

    async def authorization_endpoint(self) -> str:
        """Where users are sent. Unavailable if the issuer does not say."""
        return (await self._configuration(CACHE_MS)).authorization_endpoint

    async def identity(self, code: str, flow: Flow) -> Identity:
        """Exchanges a code for what the issuer says of its user."""
        known = await self._configuration(CACHE_MS)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect_uri,
            "client_id": self.issuer.client_id,
            "code_verifier": flow.verifier,
        }
        secret = self._secret()
        auth = httpx.BasicAuth(self.issuer.client_id, secret) if secret else None
        status, answer = await self._ask("POST", known.token_endpoint, data=form, auth=auth)
        id_token = answer.get("id_token")
        if status != httpx.codes.OK or not isinstance(id_token, str):
            logger.warning("oidc_refused", issuer=self.issuer.name, error=str(answer.get("error")))
            raise Unauthenticated("the issuer does not know the code", reason="ISSUER_REFUSED")
        read = partial(
            identity_in,
            id_token,
            issuer=self.issuer,
            nonce=flow.nonce,
            now_s=self._clock.now_ms() // 1000,
        )
        try:
            return read(await self._key(id_token, known))
        except Unauthenticated as error:
            if error.metadata["because"] != _BAD_SIGNATURE:
                raise
            # A key may follow another under the same name, or without any.
            again = await self._configuration(KEYS_AGAIN_MS)
            if again is known:
                raise
            return read(await self._key(id_token, again))

    async def _key(self, id_token: str, known: _Known) -> jwt.PyJWK:
        try:
            key_id = jwt.get_unverified_header(id_token).get("kid")
        except jwt.PyJWTError:
            raise invalid("malformed") from None
        found = _find(known.keys, key_id)
        if found is None:
            # They rotate, too.
            found = _find((await self._configuration(KEYS_AGAIN_MS)).keys, key_id)
        if found is None:
            raise invalid("kid")
        return found

    async def _configuration(self, age_ms_max: int) -> _Known:
        now_ms = self._clock.now_ms()
        known = self._known
        if known is not None and now_ms - known.read_ms < age_ms_max:
            return known
        url = self.issuer.url.rstrip("/")
        found = await self._read(f"{url}/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer.url:
            raise self._unavailable("it names another issuer")
        keys = await self._read(self._endpoint(found, "jwks_uri"))
        try:
            key_set = jwt.PyJWKSet.from_dict(keys)
        except jwt.PyJWTError as error:
            raise self._unavailable(str(error)) from None
        self._known = known = _Known(
            authorization_endpoint=self._endpoint(found, "authorization_endpoint"),
            token_endpoint=self._endpoint(found, "token_endpoint"),
            keys=key_set,
            read_ms=now_ms,
        )
        return known

    async def _read(self, url: str) -> dict[str, Any]:
        status, found = await self._ask("GET", url)
        if status != httpx.codes.OK:
            raise self._unavailable(f"it answers {status}")
        return found

    async def _ask(self, verb: str, url: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        """Status and body. Redirections are not followed, and nothing is unpacked: a packed answer
        may be as small as it likes.
        """
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(
                    verb,
                    url,
                    timeout=self._timeout_s,
                    follow_redirects=False,
                    headers={"accept-encoding": "identity"},
                    **fields,
                ) as response,
            ):
                content = bytearray()
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) > _ANSWER_BYTES_MAX:
                        raise self._unavailable("it says too much")
            if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise self._unavailable(f"it answers {response.status_code}")
            answer = json.loads(content)
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            TimeoutError,
            ValueError,
            RecursionError,
        ) as error:
            raise self._unavailable(type(error).__name__) from None
        return response.status_code, answer if isinstance(answer, dict) else {}

    def _endpoint(self, found: dict[str, Any], name: str) -> str:
        """Where an issuer elsewhere sends us is not on this machine."""
        url = found.get(name)
        plain = self.issuer.url.startswith("http:")
        if not isinstance(url, str) or not is_safe(url) or (url.startswith("http:") and not plain):
            raise self._unavailable(f"no {name} that can be trusted")
        return url

    def _unavailable(self, because: str) -> Unavailable:
        logger.warning("oidc_unavailable", issuer=self.issuer.name, because=because)
        return Unavailable("the issuer cannot be asked now", reason="ISSUER_UNAVAILABLE")


def is_safe(url: str) -> bool:
    """Only over TLS, but for an issuer on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _find(keys: jwt.PyJWKSet, key_id: object) -> jwt.PyJWK | None:
    """The key of a token; one that names none is of the only key there is."""
    usable = [
        one
        for one in keys.keys
        if one.public_key_use in {None, "sig"} and one.key_type in {"RSA", "EC", "OKP"}
    ]
    if key_id is None:
        return usable[0] if len(usable) == 1 else None
    return next((one for one in usable if one.key_id == key_id), None)
