"""Whoever waits for an answer does not keep others from sending."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from notify.lookup import Lookup
from notify.slots import LATE_FACTOR, Slots


async def test_a_late_answer_gives_its_place_away() -> None:
    """Goal: with one place, the next one waits for `late_s` and not for the answer; and no more
    are late at the same time than allowed.
    """
    slots, answered, sending = Slots(1, late_s=0.05), asyncio.Event(), 0

    async def send() -> None:
        nonlocal sending
        async with slots.one():
            sending += 1
            await answered.wait()

    tasks = [asyncio.create_task(send()) for _ in range(LATE_FACTOR + 3)]
    async with asyncio.timeout(5):
        while sending < LATE_FACTOR + 1:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert sending == LATE_FACTOR + 1
    answered.set()
    await asyncio.gather(*tasks)
    async with slots.one():
        pass


async def test_a_name_that_nobody_answers_for_holds_up_nobody_else() -> None:
    """Goal: others are found at once; the name itself is asked for once, whoever waits."""
    never, asked = threading.Event(), []

    def ask(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        if host == "slow.example":
            never.wait(30)
        if host == "none.example":
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    lookup = Lookup(ask)
    waiting = [asyncio.create_task(lookup.resolve("slow.example", 443)) for _ in range(200)]
    async with asyncio.timeout(5):
        for number in range(20):
            (found,) = await lookup.resolve(f"{number}.example", 443)
            assert (found["host"], found["port"]) == ("93.184.216.34", 443)
        with pytest.raises(socket.gaierror):
            await lookup.resolve("none.example", 443)
        # One of them gives up; the others have their answer.
        waiting[0].cancel()
        never.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(one, list) for one in answers) == 199
    assert asked.count("slow.example") == 1
    await lookup.close()
