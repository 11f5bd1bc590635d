"""The command line without servers: listing, errors, exit codes, JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from runtime.cli import main as cli
from runtime.cli.output import CliError, ExitCode


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["holdfast", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_help_lists_every_command_and_loads_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: `--help` is complete without importing a command's module."""

    def refuse(name: str) -> None:
        pytest.fail(f"{name} was loaded")

    monkeypatch.setattr(importlib, "import_module", refuse)
    assert _run(monkeypatch, "--help") == ExitCode.OK
    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Goal: every listed module exists and explains itself."""
    assert _run(monkeypatch, name, "--help") == ExitCode.OK
    assert "Usage: " in capsys.readouterr().out


def test_an_unknown_command_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: exit code 2."""
    assert _run(monkeypatch, "nothing") == ExitCode.USAGE


@pytest.mark.parametrize("command", ["status", "down"])
def test_nothing_runs(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
) -> None:
    """Goal: exit code 3, one JSON document on stdout, nothing made on the way."""
    home = tmp_path / "home"
    code = _run(monkeypatch, command, "--home", str(home), "--json")
    assert code == ExitCode.RUNNING
    assert "nothing runs on" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not home.exists()


def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: the variable to correct is in the message; no traceback."""
    monkeypatch.setenv("HOLDFAST_AUTHZ_WORKERS", "many")
    assert _run(monkeypatch, "status") == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert "HOLDFAST_AUTHZ_WORKERS" in shown
    assert "Traceback" not in shown


def test_errors_say_what_to_do_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: message and hint on stderr; brackets in them are text, not markup."""

    def fail() -> None:
        raise CliError("no [bold] here", hint="try [this]", exit_code=ExitCode.ENVIRONMENT)

    monkeypatch.setattr(cli, "app", fail)
    assert _run(monkeypatch, "up") == ExitCode.ENVIRONMENT
    shown = capsys.readouterr().err
    assert "no [bold] here" in shown
    assert "try [this]" in shown
