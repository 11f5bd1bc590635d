"""What is sent goes to the address that was checked."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from notify.sender import Answer, Sender
from tests.notify_mesh import LOOPBACK
from tests.webhook_receiver import Receiver, receiver


class Names(AbstractResolver):
    """Answers with the next addresses each time it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family
        self.asked += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=one,
                port=port,
                family=socket.AF_INET6 if ":" in one else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for one in addresses
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
async def inbox() -> AsyncIterator[Receiver]:
    async with receiver() as running:
        yield running


async def sent(url: str, **options: Any) -> Answer:
    sender = Sender(timeout_s=1, at_once=4, **options)
    try:
        return await sender.send(url, b"{}", {})
    finally:
        await sender.close()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
)
async def test_names_that_lead_into_private_networks(address: str) -> None:
    answer = await sent("https://innocent.example/", resolver=Names([address]))
    assert (answer.status, answer.error) == (0, "ADDRESS_REFUSED")


async def test_only_checked_addresses_are_connected_to(inbox: Receiver) -> None:
    """Goal: of several addresses only those that are allowed are tried, and the name is asked for
    once: a second answer, which leads elsewhere, is never used (DNS rebinding).
    """
    port = inbox.base.rpartition(":")[2]
    names = Names(["10.0.0.1", "127.0.0.1"], ["169.254.169.254"])
    answer = await sent(f"https://hook.example:{port}/ok", resolver=names, allowed=LOOPBACK)
    # The inbox has no TLS: it was reached, and that failed.
    assert answer.error == "TLS_FAILED"
    assert names.asked == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "https://10.0.0.1/", "http://[::1]/"])
async def test_addresses_in_urls_are_checked_when_sent(url: str) -> None:
    assert (await sent(url)).error == "ADDRESS_REFUSED"


async def test_nothing_of_the_environment_leads_elsewhere(
    inbox: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert (await sent(inbox.url("/ok"), allowed=LOOPBACK)).status == 204
