"""What an issuer of third-party sign-in may do to us: refuse: OWASP API10:2023."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.oidc import Issuer
from gateway.oidc_provider import Provider
from runtime.clock import SystemClock
from runtime.errors import Unavailable
from tests.hostile_issuer import (
    CONFIGURATION,
    HostileIssuer,
    answer,
    configuration,
    hostile,
    hostile_issuer,
)
from tests.oidc_emulator import REDIRECT_URI


@pytest.fixture
async def issuer() -> AsyncIterator[HostileIssuer]:
    async with hostile_issuer() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as one:
        yield one


@pytest.mark.parametrize("kind", sorted(hostile("")))
async def test_what_it_says_is_not_believed(
    kind: str, issuer: HostileIssuer, client: httpx.AsyncClient
) -> None:
    """Soon UNAVAILABLE; nothing else is asked, least of all where a redirection points."""
    issuer.says = hostile(issuer.url)[kind]
    began_s = time.monotonic()
    with pytest.raises(Unavailable, match="cannot be asked"):
        await issuer.provider(client).authorization_endpoint()
    assert time.monotonic() - began_s < 3
    assert issuer.asked == [CONFIGURATION]


async def test_its_keys_are_read_as_carefully(
    issuer: HostileIssuer, client: httpx.AsyncClient
) -> None:
    """What is no set of keys, or none that can be used."""
    issuer.says = answer(configuration(issuer.url))
    with pytest.raises(Unavailable):
        await issuer.provider(client).authorization_endpoint()
    assert issuer.asked == [CONFIGURATION, "/jwks"]


async def test_an_answer_that_drips_ends(issuer: HostileIssuer, client: httpx.AsyncClient) -> None:
    """A byte now and then keeps no call: the time is that of the whole answer."""
    issuer.says, issuer.drip_s = answer(b" " * 1_000), 0.05
    began_s = time.monotonic()
    with pytest.raises(Unavailable):
        await issuer.provider(client, timeout_s=0.5).authorization_endpoint()
    assert time.monotonic() - began_s < 2


async def test_nobody_listens(client: httpx.AsyncClient) -> None:
    async with hostile_issuer() as gone:
        provider = gone.provider(client)
    with pytest.raises(Unavailable):
        await provider.authorization_endpoint()


async def test_it_does_not_send_us_to_this_machine() -> None:
    """An issuer elsewhere names an endpoint on loopback: it is not asked."""
    asked: list[str] = []
    url = "https://id.example"

    def elsewhere(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        said = configuration(url, jwks_uri="http://127.0.0.1:9901/quitquitquit")
        return httpx.Response(200, stream=httpx.ByteStream(said))

    issuer = Issuer(
        name="elsewhere",
        url=url,
        client_id="holdfast",
        redirect_uris=(REDIRECT_URI,),
        registers=True,
    )
    async with httpx.AsyncClient(transport=httpx.MockTransport(elsewhere)) as client:
        provider = Provider(issuer, client, SystemClock(), secret=lambda: "")
        with pytest.raises(Unavailable):
            await provider.authorization_endpoint()
    assert asked == [url + CONFIGURATION]
