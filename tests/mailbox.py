"""Mails that a mesh without a mail server puts into its home."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

_TOKEN = re.compile(r"/reset-password\?token=(\S+)")
TIMEOUT_S = 20


def mails(home: Path, to: str) -> list[EmailMessage]:
    """All mails to somebody, in no order."""
    found = []
    for path in (home / "mails").glob("*.eml"):
        mail = message_from_bytes(path.read_bytes(), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        if mail["To"] == to:
            found.append(mail)
    return found


async def mail(home: Path, to: str, fits: Callable[[EmailMessage], bool]) -> EmailMessage:
    """The first mail to somebody that fits, as soon as it is there."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            for one in mails(home, to):
                if fits(one):
                    return one
            await asyncio.sleep(0.1)


def text_of(one: EmailMessage) -> str:
    """What it says."""
    body = one.get_body(("plain",))
    assert body is not None
    text: str = body.get_content().replace("\r\n", "\n")
    return text


async def reset_token(home: Path, to: str) -> str:
    """What resets somebody's password."""
    found = await mail(home, to, lambda one: "Reset your password" in one["Subject"])
    match = _TOKEN.search(text_of(found))
    assert match is not None
    return match[1]
