"""The README tells the truth: its snippets run as they stand, and print what it says they print."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.cli.main import COMMANDS
from runtime.devstack.supervisor import Devstack

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: The ports that the README names, by listener.
PORTS = {"8443": "edge_https", "9443": "network"}
#: Languages of blocks that a reader runs or compares.
KNOWN = {"console", "sh", "python", "text"}
MARK = "--- next snippet ---"


def snippets(language: str) -> list[str]:
    """The README's blocks in one language, in order."""
    return [body for found, body in FENCE.findall(README) if found == language]


def with_ports(snippet: str, stack: Devstack) -> str:
    """The snippet with this mesh's ports in place of the default ones."""
    for default, listener in PORTS.items():
        snippet = re.sub(rf"\b{default}\b", str(stack.ports[listener]), snippet)
    return snippet


@pytest.fixture
def checkout(full_mesh: Devstack, tmp_path: Path) -> Path:
    """A folder that looks like a checkout where `make up` runs: its .venv and its .holdfast."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".holdfast").symlink_to(full_mesh.settings.home)
    (script,) = snippets("python")
    (tmp_path / "first.py").write_text(with_ports(script, full_mesh))
    return tmp_path


def test_every_block_is_run_or_compared() -> None:
    """No snippet escapes: a block in another language would be shown but never run."""
    assert {language for language, _ in FENCE.findall(README)} == KNOWN


def test_the_commands_that_it_begins_with_exist() -> None:
    """`make demo` and `make up` are targets (what they do is tested by itself)."""
    commands = [
        line.removeprefix("$ ") for block in snippets("console") for line in block.split("\n")
    ]
    for command in filter(None, commands):
        make, target = command.split()
        assert make == "make"
        asked = subprocess.run(
            ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert f"holdfast {target}" in asked.stdout


def test_the_table_names_every_command() -> None:
    """Each command of `holdfast` has its row, and no row names another."""
    rows = re.findall(r"^\| `([^|]+)\|", README, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"(?:^|`)([a-z]+)", row)} == set(COMMANDS)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's snippets need curl")
async def test_the_snippets_run_as_they_stand(full_mesh: Devstack, checkout: Path) -> None:
    """One shell runs all of them in order, in a folder like a checkout, and stops at a failure."""
    blocks = [with_ports(block, full_mesh) for block in snippets("sh")]
    script = "set -euo pipefail\n" + f"echo\necho '{MARK}'\n".join(blocks)
    inherited = {name: value for name, value in os.environ.items() if "HOLDFAST" not in name}
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        cwd=checkout,
        env=inherited,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await shell.communicate()
    assert shell.returncode == 0, errors.decode()
    first, second, third = (part.strip() for part in output.decode().split(MARK))
    decision = json.loads(first)
    assert decision["decision"] == "DECISION_APPROVED"
    assert decision["approved_amount"]["amount_minor"] == "4200"
    (promised,) = snippets("text")
    assert second == promised.strip()
    assert json.loads(third)["rows"], "the ledger has rows"
