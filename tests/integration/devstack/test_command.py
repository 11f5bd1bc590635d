"""`holdfast up`, `down`, `status`, `doctor`: started, refused, stopped, killed; nothing stays."""

from __future__ import annotations

import json
import signal
import time
from subprocess import Popen
from typing import Any

import psutil

from runtime.devstack import state
from tests.integration.devstack.conftest import Command

_END_S = 15.0


def _wait_ready(command: Command, up: Popen[str]) -> dict[str, Any]:
    """Polls `status` in this process until the start is complete."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        assert up.poll() is None, up.communicate()
        document = state.read(command.settings.home)
        if document is not None and document["ready"]:
            return document
        time.sleep(0.05)
    raise AssertionError("not ready in time")


def _kill_and_wait(command: Command, *, instance: str) -> None:
    """Kills one process and waits until another one has taken its place."""

    def look() -> dict[str, Any]:
        document = state.read(command.settings.home)
        assert document is not None
        return next(p for p in document["processes"] if p["instance"] == instance)

    before = look()
    psutil.Process(before["pid"]).kill()
    deadline = time.monotonic() + _END_S
    while (now := look())["pid"] in {before["pid"], None} or now["state"] != "ready":
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    assert now["restarts"] == before["restarts"] + 1


def _assert_nothing_left(command: Command) -> None:
    deadline = time.monotonic() + _END_S
    while (left := command.processes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [process.cmdline() for process in left if process.is_running()] == []


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_up_status_doctor_down(command: Command) -> None:
    """Goal: the whole life of an installation; every command's JSON and exit code.

    Method: first start, then a start on the existing home.
    """
    up = command.start("up", "--port", "0", "--json")
    document = _wait_ready(command, up)
    instances = [process["instance"] for process in document["processes"]]
    assert instances == [
        *("postgres", "valkey-money", "valkey-cache"),
        *("gateway", "settler", "authz-0", "accounts", "payments", "notify", "stats", "envoy"),
    ]
    code, stdout, _ = command.run("status", "--json")
    assert code == 0
    assert json.loads(stdout)["pid"] == up.pid
    code, _, stderr = command.run("up", "--port", "0")
    assert code == 3
    assert f"in use by process {up.pid}" in stderr
    assert "holdfast down" in stderr
    code, stdout, _ = command.run("doctor", "--json")
    assert code == 0, stdout
    by_name = {check["name"]: check for check in json.loads(stdout)["checks"]}
    assert by_name["money Valkey"]["verdict"] == "ok"
    assert by_name["PostgreSQL"]["found"].startswith("18.")
    _kill_and_wait(command, instance="envoy")
    code, stdout, _ = command.run("down", "--json")
    assert code == 0
    assert json.loads(stdout)["pid"] == up.pid
    assert up.wait(5) == 0
    assert json.loads(up.communicate()[0])["ready"] is True
    _assert_nothing_left(command)
    assert command.run("status")[0] == 3
    assert command.run("down")[0] == 3

    again = command.start("up", "--port", "0")
    _wait_ready(command, again)
    again.send_signal(signal.SIGINT)
    assert again.wait(30) == 0
    table, _ = again.communicate()
    assert "valkey-money" in table
    _assert_nothing_left(command)


def test_killed_supervisor_leaves_nothing_and_starts_again(command: Command) -> None:
    """Goal: kill -9 of the supervisor ends PostgreSQL with its children, Valkey, services, Envoy.

    Method: what runs is collected from outside, by descent and by folders. The first kill is
    followed by a start at once, which has to wait for what still ends; the second by a look.
    """
    up = command.start("up", "--port", "0")
    document = _wait_ready(command, up)
    children = psutil.Process(up.pid).children(recursive=True)
    assert len(children) > len(document["processes"]), "PostgreSQL has children of its own"
    up.kill()
    again = command.start("up", "--port", "0")
    up.communicate()
    document = _wait_ready(command, again)
    assert all(process["state"] == "ready" for process in document["processes"])
    assert [child for child in children if _alive(child)] == []

    again.kill()
    again.communicate()
    _assert_nothing_left(command)
    _, stdout, _ = command.run("doctor", "--json")
    by_name = {check["name"]: check for check in json.loads(stdout)["checks"]}
    assert "killed" in by_name["supervisor"]["found"]


def test_interrupted_start(command: Command) -> None:
    """Goal: Ctrl-C in the middle of the first start ends everything; the next start works."""
    up = command.start("up", "--port", "0")
    deadline = time.monotonic() + _END_S
    while not command.settings.home.joinpath("state.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 130
    up.communicate()
    _assert_nothing_left(command)
    again = command.start("up", "--port", "0")
    _wait_ready(command, again)
    again.send_signal(signal.SIGTERM)
    assert again.wait(30) == 0
    again.communicate()
    _assert_nothing_left(command)


def test_taken_port_is_named(command: Command, tcp_port: int) -> None:
    """Goal: a port of somebody else is an error that says which, and what to do."""
    code, stdout, _ = command.run("up", "--port", str(tcp_port), "--json")
    assert code == 4
    error = json.loads(stdout)["error"]
    assert f"port {tcp_port} (edge_https) is taken" in error["message"]
    assert "--port 0" in error["hint"]
    assert not command.settings.home.exists()
