"""One operating-system process that dies with us, and its end as something to await."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.devstack.osuser import OsUser

_SPAWN = Path(__file__).with_name("spawn.py")


class Child:
    """A running process. Its group is its own: a terminal's Ctrl-C reaches only the supervisor."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        user: OsUser | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
        niceness: int = 0,
    ) -> None:
        # The kernel sends the death signal when the spawning *thread* ends.
        assert threading.current_thread() is threading.main_thread(), "spawn from the main thread"
        wrapper = [
            *(sys.executable, "-I", "-S", str(_SPAWN)),
            *(str(os.getpid()), str(int(death_signal))),
            *(str(user.uid if user else -1), str(user.gid if user else -1)),
            str(niceness),
        ]
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._popen = subprocess.Popen(
                [*wrapper, *argv],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        self.pid = self._popen.pid
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pidfd = os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @property
    def running(self) -> bool:
        """Whether the process has not ended, as far as we have been told."""
        return not self._ended.done()

    async def wait(self) -> int:
        """Waits for the end; returns the exit code, or the negative number of a signal."""
        return await asyncio.shield(self._ended)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal; nothing happens when the process has ended."""
        if self.running:
            signal.pidfd_send_signal(self._pidfd, number)

    async def stop(self, number: signal.Signals, *, timeout_s: float) -> bool:
        """Sends `number`, then SIGKILL after `timeout_s`. Whether it ended by itself."""
        self.send(number)
        try:
            async with asyncio.timeout(timeout_s):
                await self.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.wait()
            return False
        return True

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        code = self._popen.wait()
        os.close(self._pidfd)
        if not self._ended.done():
            self._ended.set_result(code)
