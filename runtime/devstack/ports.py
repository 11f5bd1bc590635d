"""Chooses the TCP ports that Envoy listens on, all on loopback."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from runtime.devstack.errors import DevstackError, PortTakenError
from runtime.devstack.settings import LISTENERS, StackSettings

_HOST = "127.0.0.1"
_PORT_MAX = 65535


def choose(settings: StackSettings, *, first: int | None = None) -> dict[str, int]:
    """Ports by listener: those of the settings, or counted up from `first`; 0 takes free ones.

    PortTakenError names the first port that somebody else listens on.
    """
    if first is not None and first > _PORT_MAX - len(LISTENERS) + 1:
        raise DevstackError(f"--port {first} leaves no room for {len(LISTENERS)} ports")
    wanted = {
        listener: _wanted(settings, listener, number=number, first=first)
        for number, listener in enumerate(LISTENERS)
    }
    chosen = {}
    # All are held until the last one is found: no free port is handed out twice.
    with ExitStack() as stack:
        for listener, port in wanted.items():
            chosen[listener] = _bind(stack, port, listener=listener)
    return chosen


def _wanted(settings: StackSettings, listener: str, *, number: int, first: int | None) -> int:
    if first is None:
        return settings.port_of(listener)
    return first + number if first else 0


def _bind(stack: ExitStack, port: int, *, listener: str) -> int:
    # Envoy shares ports (SO_REUSEPORT): without this look, two would share one in silence.
    probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((_HOST, port))
        probe.listen(1)
    except PermissionError:
        raise PortTakenError(
            f"port {port} ({listener}) is reserved for root",
            hint="use `--port 0` for free ports, or `--port N` for five ports from N",
        ) from None
    except OSError:
        raise PortTakenError(
            f"port {port} ({listener}) is taken by another process",
            hint="use `--port 0` for free ports, `--port N` for five ports from N, or set"
            f" HOLDFAST_{listener.upper()}_PORT",
        ) from None
    bound: int = probe.getsockname()[1]
    return bound
