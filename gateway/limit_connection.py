"""A blocking connection to the cache Valkey, for the limiter's own thread: one pipeline at a time.

What asks meanwhile waits in front of that thread, and is the next pipeline. Nothing is sent twice
by itself, but for scripts that the server had forgotten: then it ran nothing.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any

import hiredis
from redis.exceptions import NoScriptError, ResponseError

from runtime import redis
from runtime.errors import Unavailable
from runtime.log import get_logger
from runtime.script import Script
from runtime.settings import Settings
from runtime.wire import Command, error_of, packed, tls_context

#: Less than Envoy waits for an answer (`runtime/rate_limits.py`).
TIMEOUT_S = 0.75
#: Wait before a lost connection is tried again; calls are refused meanwhile.
RECONNECT_S = 0.1
_CHUNK_BYTES = 65_536
#: What the reader says while an answer is not complete.
_MORE = object()

logger = get_logger()


class LimitConnection:
    """Connects when it is first used, and again when it was lost. For one thread."""

    def __init__(self, settings: Settings, url: str, scripts: Sequence[Script]) -> None:
        self._settings = settings
        self._url = url
        self._load: tuple[Command, ...] = tuple(("SCRIPT", "LOAD", one.text) for one in scripts)
        self._socket: socket.socket | None = None
        self._reader = _reader()
        self._again_s = 0.0

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Answers of commands, in order. Unavailable if one has none."""
        try:
            answers = self._exchange(self._connected(), commands)
            forgotten = [
                number for number, one in enumerate(answers) if isinstance(one, NoScriptError)
            ]
            if forgotten:
                again = self._exchange(
                    self._connected(), [*self._load, *(commands[number] for number in forgotten)]
                )[len(self._load) :]
                for number, answer in zip(forgotten, again, strict=True):
                    answers[number] = answer
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        except (OSError, ResponseError) as error:
            self._lose(error)
            raise Unavailable("the limiter has no Valkey", reason="CACHE_UNAVAILABLE") from None
        return answers

    def close(self) -> None:
        """Closes; `run` would connect again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, connected: socket.socket, commands: Sequence[Command]) -> list[Any]:
        """Errors that the server answers are among the answers."""
        connected.sendall(b"".join([packed(command) for command in commands]))
        reader, answers = self._reader, list[Any]()
        while len(answers) < len(commands):
            answer = reader.gets()
            if answer is not _MORE:
                answers.append(answer)
                continue
            read = connected.recv(_CHUNK_BYTES)
            if not read:
                raise ConnectionError("Valkey closed the connection")
            reader.feed(read)
        return answers

    def _connected(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        if time.monotonic() < self._again_s:
            raise ConnectionError("Valkey was just lost")
        arguments = redis.connection_arguments(
            self._settings, self._url, server="valkey-cache", user="gateway"
        )
        self._reader = _reader()
        self._socket = opened = _open(arguments, tls=self._url.startswith("rediss:"))
        login: list[Command] = []
        if arguments.get("password"):
            login.append(("AUTH", arguments.get("username") or "default", arguments["password"]))
        if arguments.get("db"):
            login.append(("SELECT", str(arguments["db"])))
        for answer in self._exchange(opened, [*login, *self._load]):
            if isinstance(answer, Exception):
                raise answer
        return opened

    def _lose(self, error: Exception) -> None:
        if self._socket is not None:
            logger.warning("limiter_lost", because=str(error) or type(error).__name__)
        self.close()
        now_s = time.monotonic()
        if now_s >= self._again_s:  # who asks meanwhile does not put it off
            self._again_s = now_s + RECONNECT_S


def _reader() -> hiredis.Reader:
    return hiredis.Reader(replyError=error_of, encoding="utf-8", notEnoughData=_MORE)


def _open(arguments: dict[str, Any], *, tls: bool) -> socket.socket:
    if "path" in arguments:
        local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        local.settimeout(TIMEOUT_S)
        try:
            local.connect(arguments["path"])
        except OSError:
            local.close()
            raise
        return local
    host = arguments.get("host", "localhost")
    remote = socket.create_connection((host, arguments.get("port", 6379)), timeout=TIMEOUT_S)
    try:
        remote.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return tls_context(arguments).wrap_socket(remote, server_hostname=host) if tls else remote
    except OSError:
        remote.close()
        raise
