"""Clients of the two Valkeys. Never an automatic retry: a script must not run twice by itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from runtime.secrets import secret_text, secrets_of
from runtime.settings import Settings

#: No command of ours takes longer, unless the server is gone.
SOCKET_TIMEOUT_S = 5.0


def connection_arguments(settings: Settings, url: str, *, server: str, user: str) -> dict[str, Any]:
    """Arguments of one connection. Credentials come from the URL, else from the secret file."""
    arguments: dict[str, Any] = dict(parse_url(url))
    if urlsplit(url).username is None and "username" not in arguments:
        name = f"{server}-{user}"
        if secrets_of(settings).stamp(name) is not None:
            arguments |= {"username": user, "password": secret_text(settings, name)}
    return arguments | {
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": SOCKET_TIMEOUT_S,
    }


def client(settings: Settings, url: str, *, server: str, user: str) -> Redis:
    """A client for tools and the settler; `server` is `valkey-money` or `valkey-cache`."""
    arguments = connection_arguments(settings, url, server=server, user=user)
    arguments.pop("connection_class", None)
    if url.startswith("unix:"):
        arguments["unix_socket_path"] = arguments.pop("path")
    elif url.startswith("rediss:"):
        arguments["ssl"] = True
    return Redis(**arguments)
