"""What processes do not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: The gateway has it from its HTTP client.
SERVICES = ("accounts.__main__", "authz.__main__", "authz.settler", "notify.__main__")


@pytest.mark.parametrize("module", [*SERVICES, "payments.__main__", "stats.__main__"])
def test_what_writes_json_does_not_load_what_draws_on_terminals(module: str) -> None:
    assert _said(f"import {module}, sys; print('rich' in sys.modules)") == "False"


def test_commands_draw_as_ever() -> None:
    code = "import runtime.cli.main, runtime.cli.up, structlog; print(structlog.dev.rich.__name__)"
    assert _said(code) == "rich"


def test_who_logs_first_may_draw_later() -> None:
    code = "import runtime.log; from rich.text import Text; print(Text('drawn'))"
    assert _said(code) == "drawn"


def _said(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
