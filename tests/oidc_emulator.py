"""An issuer that others wrote (oidc-provider-mock), on loopback, and a user's browser."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx

from gateway.oidc import Issuer
from gateway.oidc_provider import Provider
from runtime.clock import SystemClock

START_TIMEOUT_S = 30
REDIRECT_URI = "https://app.example/back"


class Emulator:
    """The issuer, and who sits in front of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._clients: list[httpx.AsyncClient] = []

    def issuer(self, name: str = "example", *, registers: bool = True) -> Issuer:
        """It, as it is configured."""
        return Issuer(
            name=name,
            url=self.url,
            client_id="holdfast",
            redirect_uris=(REDIRECT_URI,),
            registers=registers,
        )

    def provider(self, issuer: Issuer | None = None) -> Provider:
        """It, as gateway talks to it."""
        client = httpx.AsyncClient(trust_env=False)
        self._clients.append(client)
        return Provider(issuer or self.issuer(), client, SystemClock(), secret=lambda: "password")

    async def close_clients(self) -> None:
        """Closes the connections of all its `provider`s."""
        while self._clients:
            await self._clients.pop().aclose()

    def knows(self, subject: str, **claims: Any) -> None:
        """Has a user with these claims."""
        answer = httpx.put(f"{self.url}/users/{quote(subject)}", json=claims)
        answer.raise_for_status()

    def agree(self, authorization_url: str, subject: str) -> tuple[str, str]:
        """A user signs in there and is sent back: state and code."""
        answer = httpx.post(authorization_url, data={"sub": subject})
        assert answer.status_code == httpx.codes.FOUND, answer.text
        location = answer.headers["location"]
        assert location.startswith(REDIRECT_URI)
        query = parse_qs(urlsplit(location).query)
        return query["state"][0], query["code"][0]


@contextmanager
def emulator(port: int = 0) -> Iterator[Emulator]:
    """Runs in a process of its own while the block does; on a free port unless one is given."""
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
    program = Path(sys.executable).with_name("oidc-provider-mock")
    process = subprocess.Popen(
        [program, "--port", str(port), "--require-nonce", "true"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://localhost:{port}"
    try:
        began_s = time.monotonic()
        while not _answers(url):
            assert process.poll() is None, "the emulator ended"
            assert time.monotonic() - began_s < START_TIMEOUT_S, "the emulator does not start"
            time.sleep(0.1)
        yield Emulator(url)
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/jwks").is_success
    except httpx.TransportError:
        return False
