"""Homes of their own for tests that start and kill supervisors."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen

import psutil
import pytest

from runtime.devstack import home as homes
from runtime.devstack.settings import StackSettings

_PROGRAM = Path(__file__).with_name("holdfast_with_fakes.py")
_CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def own_settings(devstack_folder: Path) -> Iterator[StackSettings]:
    """Settings of a home that does not exist yet; whatever comes of it is deleted."""
    folder = Path(tempfile.mkdtemp(dir=devstack_folder))
    folder.chmod(0o711)
    settings = StackSettings(
        home=folder / "home",
        servers_dir=folder / "servers",
        postgres_dsn=None,
        redis_url=None,
        cache_url=None,
        authz_workers=1,
    )
    yield settings
    homes.remove(settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Runs `holdfast`, with stand-ins for the services, on one home."""

    settings: StackSettings
    started: list[Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> Popen[str]:
        """Starts a command."""
        settings = self.settings
        environment = {
            **{name: value for name, value in os.environ.items() if "HOLDFAST" not in name},
            "HOLDFAST_HOME": str(settings.home),
            "HOLDFAST_SERVERS_DIR": str(settings.servers_dir),
            "PYTHONPATH": os.pathsep.join([str(_CHECKOUT), *sys.path[1:]]),
        }
        process = Popen(
            [sys.executable, str(_PROGRAM), *arguments],
            env=environment,
            stdout=PIPE,
            stderr=PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Runs a command to its end: exit code, stdout, stderr."""
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=60)
        return process.returncode, stdout, stderr

    def processes(self) -> list[psutil.Process]:
        """Every process that works in this home, its supervisor not counted."""
        servers = homes.servers_of(self.settings.home)
        return homes_processes(self.settings.home, servers)


def homes_processes(root: Path, servers: Path) -> list[psutil.Process]:
    """Processes whose environment, arguments or working folder name the home: independent look."""
    marks = (str(root), str(servers))
    found = []
    for process in psutil.process_iter():
        try:
            text = " ".join([process.cwd(), *process.cmdline(), *process.environ().values()])
        except (psutil.Error, OSError):
            continue
        if process.pid != os.getpid() and any(mark in text for mark in marks):
            found.append(process)
    return found


@pytest.fixture
def command(own_settings: StackSettings) -> Iterator[Command]:
    """The `holdfast` command on a home of its own; nothing of it outlives the test."""
    command = Command(settings=own_settings)
    yield command
    for started in command.started:
        started.kill()
        if started.stdout is not None and not started.stdout.closed:
            started.communicate()
    for process in command.processes():
        process.kill()


@pytest.fixture
def tcp_port() -> Iterator[int]:
    """A TCP port on loopback that is taken."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]
