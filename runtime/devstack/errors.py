"""What can go wrong when servers are started; each error says what to do next."""

from __future__ import annotations


class DevstackError(Exception):
    """An installation cannot be started or kept. `hint` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class AlreadyRunningError(DevstackError):
    """Another supervisor holds this home. `pid` is its process, 0 when it could not be read."""

    def __init__(self, message: str, *, pid: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.pid = pid


class PortTakenError(DevstackError):
    """A TCP port that Envoy should listen on belongs to another process."""


class StartFailedError(DevstackError):
    """A process ended, or did not become ready in time, while the installation was starting."""


class NotRunningError(DevstackError):
    """A command needs a running installation, and there is none."""
