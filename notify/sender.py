"""Sends one webhook: to the address that was checked, and reads little of the answer."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from notify.addresses import Network, fault_of_url, is_allowed
from notify.lookup import Lookup
from notify.slots import LATE_FACTOR, Slots

#: Of an answer, what is kept, and what is read before the connection is given up.
RESPONSE_LENGTH_MAX = 1_024
_READ_BYTES_MAX = 16 * 1_024
_HEADER_BYTES_MAX = 8 * 1_024
_KEEP_ALIVE_S = 15.0
USER_AGENT = "Holdfast-Webhooks/1"

TIMEOUT = "TIMEOUT"
ADDRESS_REFUSED = "ADDRESS_REFUSED"
CONNECTION_FAILED = "CONNECTION_FAILED"
TLS_FAILED = "TLS_FAILED"
#: Something was wrong here.
NOT_SENT = "NOT_SENT"


class AddressRefused(OSError):
    """A name leads to where webhooks may not go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint said; `status` 0: nothing, because of `error`."""

    status: int
    error: str
    response: str
    duration_ms: int

    @property
    def taken(self) -> bool:
        """True if the endpoint has taken the event."""
        return 200 <= self.status < 300  # noqa: PLR2004


class CheckedResolver(AbstractResolver):
    """Looks names up and gives out only addresses that webhooks may go to. The connection is made
    to one of these, so a name that leads elsewhere a moment later changes nothing.
    """

    def __init__(self, allowed: Sequence[Network], inner: AbstractResolver | None = None) -> None:
        self._allowed = allowed
        self._inner = inner or Lookup()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name."""
        found = await self._inner.resolve(host, port, family)
        kept = [one for one in found if is_allowed(one["host"], self._allowed)]
        if not kept:
            raise AddressRefused(f"{host} leads to no address that webhooks may go to")
        return kept

    async def close(self) -> None:
        """Nothing is kept."""
        await self._inner.close()


class Sender:
    """Sends bodies. `allowed`: networks of ours that webhooks may go to all the same."""

    def __init__(
        self,
        *,
        timeout_s: float,
        at_once: int,
        allowed: Sequence[Network] = (),
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._allowed = allowed
        self._slots = Slots(at_once)
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(allowed, resolver),
            limit=(1 + LATE_FACTOR) * at_once,
            use_dns_cache=False,
            keepalive_timeout=_KEEP_ALIVE_S,
            ssl=tls or True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=_HEADER_BYTES_MAX,
            max_field_size=_HEADER_BYTES_MAX,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Sends a body once, as soon as there is a place for it."""
        async with self._slots.one():
            return await self._send(url, body, headers)

    async def _send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        start = time.monotonic()

        def answer(status: int, error: str, response: str = "") -> Answer:
            duration_ms = round((time.monotonic() - start) * 1000)
            return Answer(status=status, error=error, response=response, duration_ms=duration_ms)

        # Numbers in URLs are looked up by nobody, and settings may have changed since.
        if fault_of_url(url, self._allowed):
            return answer(0, ADDRESS_REFUSED)
        try:
            status, response = await self._post(url, body, headers)
        except TimeoutError:
            return answer(0, TIMEOUT)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return answer(0, _word_of(error))
        return answer(status, "", response)

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        given = {"content-type": "application/json", "user-agent": USER_AGENT, **headers}
        async with self._session.post(
            url, data=body, headers=given, allow_redirects=False
        ) as response:
            content = bytearray()
            async for chunk in response.content.iter_chunked(RESPONSE_LENGTH_MAX):
                content += chunk
                if len(content) > _READ_BYTES_MAX:
                    response.close()
                    break
            return response.status, _text(bytes(content))


def _word_of(error: Exception) -> str:
    causes: list[Any] = [error, getattr(error, "os_error", None), error.__cause__]
    if any(isinstance(one, AddressRefused) for one in causes):
        return ADDRESS_REFUSED
    tls = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError)
    return TLS_FAILED if isinstance(error, tls) else CONNECTION_FAILED


def _text(content: bytes) -> str:
    """The beginning as text that can be stored and shown."""
    text = content[: 4 * RESPONSE_LENGTH_MAX].decode(errors="replace")[:RESPONSE_LENGTH_MAX]
    return "".join(one if one.isprintable() or one in "\n\t" else "�" for one in text)
