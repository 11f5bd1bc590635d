"""Mails: by SMTP, or for development into a folder."""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime, parseaddr
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiosmtplib

from notify.notices.carrying import Message, NotCarried, Refused
from runtime.clock import datetime_of

TIMEOUT_S = 30.0
#: Folder below home.
FOLDER = "mails"
_SUBMISSION, _SUBMISSIONS = 587, 465
_PERMANENT = 500
_UNSUBSCRIBE = "List-Unsubscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Who takes mails."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    #: From the first byte on.
    tls: bool = False
    #: After a greeting; never without, but on this machine.
    start_tls: bool = True


def smtp_server(url: str) -> SmtpServer:
    """`smtps://user:password@host:465`, or `smtp://host:587` with STARTTLS, which is not asked of
    a server on this machine. Raises ValueError, which does not repeat the URL: it has a password.
    """
    try:
        found = urlsplit(url)
        host, port = found.hostname or "", found.port
    except ValueError:
        raise ValueError("no URL of an SMTP server") from None
    if found.scheme not in ("smtp", "smtps") or not host or found.path.strip("/"):
        raise ValueError("no URL of an SMTP server: smtp://host:587 or smtps://user:password@host")
    tls = found.scheme == "smtps"
    return SmtpServer(
        host=host,
        port=port or (_SUBMISSIONS if tls else _SUBMISSION),
        user=unquote(found.username or ""),
        password=unquote(found.password or ""),
        tls=tls,
        start_tls=not tls and not _is_here(host),
    )


class _Mails(EmailPolicy):
    """Writes the URL of List-Unsubscribe in one line: folded, it would be encoded as if it were
    text (RFC 2047), which no mail program reads there.
    """

    def fold_binary(self, name: str, value: str) -> bytes:
        """One header as it is sent."""
        if name == _UNSUBSCRIBE:
            return f"{name}: {value}{self.linesep}".encode()
        return super().fold_binary(name, value)


_POLICY = _Mails(linesep=SMTP.linesep)
#: Between the two. Python's own are digits, now and then those of a card that could be.
_BOUNDARY = "=_holdfast_part"


def mail_of(message: Message, *, sender: str) -> EmailMessage:
    """The mail: text, and the same in HTML."""
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    mail["To"] = message.to
    mail["Subject"] = message.words.subject
    mail["Date"] = format_datetime(datetime_of(message.time_ms))
    # The same each time: a mail program shows one of two.
    mail["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2].rstrip('>')}>"
    mail["Auto-Submitted"] = "auto-generated"
    if message.unsubscribe:
        mail[_UNSUBSCRIBE] = f"<{message.unsubscribe}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(message.words.text)
    mail.add_alternative(message.words.html, subtype="html")
    mail.set_boundary(_BOUNDARY)
    return mail


class SmtpCarrier:
    """Hands mails to a server."""

    def __init__(
        self, server: SmtpServer, *, sender: str, tls: ssl.SSLContext | None = None
    ) -> None:
        self._server = server
        self._sender = sender
        self._tls = tls

    async def carry(self, message: Message) -> None:
        """Returns once the server has taken the mail."""
        server = self._server
        try:
            # As bytes: of a message, the library writes the headers in its own way.
            await aiosmtplib.send(
                bytes(mail_of(message, sender=self._sender)),
                sender=parseaddr(self._sender)[1],
                recipients=[message.to],
                hostname=server.host,
                port=server.port,
                username=server.user or None,
                password=server.password or None,
                use_tls=server.tls,
                start_tls=server.start_tls,
                tls_context=self._tls,
                timeout=TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            _refuse(min(one.code for one in error.recipients))
        except aiosmtplib.SMTPAuthenticationError as error:
            raise NotCarried(f"SMTP_LOGIN_{error.code}") from None
        except aiosmtplib.SMTPResponseException as error:
            # A server that takes nothing at all says so of every mail: these are tried again.
            raise NotCarried(f"SMTP_{error.code}") from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise NotCarried(type(error).__name__) from None

    async def close(self) -> None:
        """Nothing is kept: each mail has its connection."""


class FileCarrier:
    """For development: puts mails into a folder, where people can open them."""

    def __init__(self, folder: Path, *, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    async def carry(self, message: Message) -> None:
        """Writes one file, readable by its owner only; the same mail again takes its place."""
        content = bytes(mail_of(message, sender=self._sender))
        try:
            await asyncio.to_thread(self._write, f"{message.id}.eml", content)
        except OSError as error:
            raise NotCarried(type(error).__name__) from None

    async def close(self) -> None:
        """Nothing is kept."""

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._folder / f".{name}.{os.getpid()}"
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        part.rename(self._folder / name)


def _refuse(code: int) -> None:
    if code >= _PERMANENT:
        raise Refused(f"SMTP_{code}") from None
    raise NotCarried(f"SMTP_{code}") from None


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
