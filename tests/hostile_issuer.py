"""An issuer on loopback that answers whatever a test says."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from gateway.oidc import Issuer
from gateway.oidc_provider import Provider
from runtime.clock import SystemClock
from tests.oidc_emulator import REDIRECT_URI

CONFIGURATION = "/.well-known/openid-configuration"


def answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """An HTTP answer."""
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}connection: close\r\n\r\n"
    return head.encode() + body


def configuration(issuer: str, **changes: object) -> bytes:
    """What an issuer says of itself."""
    said = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
    }
    return json.dumps(said | changes).encode()


def hostile(issuer: str) -> dict[str, bytes]:
    """Each a way not to say what an issuer is, as the answer to who asks for it."""
    return {
        "nothing": b"",
        "no http": b"\x00\xff" * 1_000,
        "no json": answer(b"<html>"),
        "a list": answer(b"[]"),
        "nested": answer(b"[" * 200_000),
        "too much": answer(b" " * 300_000),
        "packed": answer(gzip.compress(bytes(200_000_000)), headers="content-encoding: gzip\r\n"),
        "headers": answer(b"{}", headers=f"x: {'x' * 1_000_000}\r\n"),
        "another issuer": answer(configuration("https://id.example")),
        "redirection": answer(b"", status="302 Found", headers=f"location: {issuer}/elsewhere\r\n"),
        "refusal": answer(configuration(issuer), status="404 Not Found"),
        "plain http": answer(configuration(issuer, jwks_uri="http://id.example/jwks")),
        "a file": answer(configuration(issuer, jwks_uri="file:///etc/passwd")),
        "no address": answer(configuration(issuer, jwks_uri=["https://id.example"])),
    }


@dataclass
class HostileIssuer:
    """`says` is what it answers to any call; `drip_s` the pause after each byte. `asked` has the
    paths it was asked for.
    """

    port: int = 0
    says: bytes = b""
    drip_s: float = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """What it is called."""
        return f"http://127.0.0.1:{self.port}"

    def provider(self, client: httpx.AsyncClient, *, timeout_s: float = 2) -> Provider:
        """It, as gateway talks to it."""
        issuer = Issuer(
            name="hostile",
            url=self.url,
            client_id="holdfast",
            redirect_uris=(REDIRECT_URI,),
            registers=True,
        )
        return Provider(issuer, client, SystemClock(), secret=lambda: "", timeout_s=timeout_s)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one call."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.split(b" ")[1].decode())
            said = self.says
            if not self.drip_s:
                writer.write(said)
            else:
                for byte in said:
                    writer.write(bytes((byte,)))
                    await asyncio.sleep(self.drip_s)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def hostile_issuer() -> AsyncIterator[HostileIssuer]:
    """It runs while the block does."""
    running = HostileIssuer()
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
