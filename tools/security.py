"""Looks for weaknesses in our code (bandit) and in what we install (pip-audit).

Usage: .venv/bin/python tools/security.py [install | --require-advisories]     (`make security`)

The tools have an environment of their own, .venv/security, which is made here; `install` does only
that. pip-audit asks PyPI for advisories. Where that cannot be asked, nothing is known of the
packages: it is said so, and with --require-advisories it is a failure.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv" / "security"
BIN = FOLDER / "bin"
PYTHON = ROOT / ".venv" / "bin" / "python"
PINNED = ROOT / "requirements" / "security.txt"
STAMP = FOLDER / ".installed"
#: What people write and run.
CODE = (
    *("runtime", "authz", "accounts", "payments", "gateway", "notify", "stats"),
    *("loadtest", "tools"),
)
#: What is installed, where it runs and where it is developed.
INSTALLED = ("runtime", "dev", "security")
AUDIT_TIMEOUT_S = 300


def say(text: str) -> None:
    """One line, at once."""
    print(text, flush=True)  # noqa: T201  it talks to whoever ran make


def run(*command: str | Path, timeout_s: int | None = None) -> subprocess.CompletedProcess[str]:
    """Runs one step; its output is returned."""
    return subprocess.run(  # noqa: S603  fixed argument lists, no shell
        [str(part) for part in command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def install() -> str:
    """Makes the environment unless it is there; returns why it could not."""
    digest = hashlib.sha256(PINNED.read_bytes()).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == digest:
        return ""
    pinned = ("--require-hashes", "-r", PINNED)
    steps: tuple[tuple[str | Path, ...], ...] = (
        (PYTHON, "-m", "uv", "venv", "-q", "--clear", "--seed", "--python", PYTHON, FOLDER),
        (PYTHON, "-m", "uv", "pip", "install", "-q", "--python", BIN / "python", *pinned),
    )
    for step in steps:
        done = run(*step)
        if done.returncode != 0:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            return f"requirements/security.txt cannot be installed: {' '.join(last)}"
    STAMP.write_text(digest)
    return ""


def code() -> bool:
    """Bandit: true if it has nothing to say."""
    say(f"security: bandit in {' '.join(CODE)}")
    done = run(BIN / "bandit", "-q", "-c", "pyproject.toml", "-r", *CODE)
    if done.returncode != 0:
        say(done.stdout + done.stderr)
    return done.returncode == 0


def packages(name: str, *, required: bool) -> bool:
    """pip-audit of one lock file: true if no package has a known weakness."""
    command = (BIN / "pip-audit", "--require-hashes", "--disable-pip", "--progress-spinner=off")
    try:
        done = run(
            *command, "-f", "json", "-r", f"requirements/{name}.txt", timeout_s=AUDIT_TIMEOUT_S
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return _unknown(name, "the advisory service cannot be reached", required=required)
    vulnerable = [one for one in found if one.get("vulns")]
    for one in vulnerable:
        known = ", ".join(vuln["id"] for vuln in one["vulns"])
        fixed = ", ".join(version for vuln in one["vulns"] for version in vuln["fix_versions"])
        say(f"security: {one['name']} {one['version']}: {known}; mended in: {fixed or 'nothing'}")
    unknown = [one["name"] for one in found if "skip_reason" in one]
    audited = len(found) - len(unknown)
    if unknown:
        told = f"it knows nothing of {len(unknown)} of {len(found)} packages"
        return _unknown(name, told, required=required) and not vulnerable
    say(f"security: requirements/{name}.txt: {audited} packages, {len(vulnerable)} weak")
    return not vulnerable


def _unknown(name: str, because: str, *, required: bool) -> bool:
    """Says it so that nobody takes it for a clean bill."""
    say(f"security: NOT CHECKED: requirements/{name}.txt: pip-audit's service: {because}")
    return not required


def main() -> None:
    """Ends with 1 if there is something to mend."""
    if because := install():
        sys.exit(f"security: {because}")
    if "install" in sys.argv[1:]:
        return
    required = "--require-advisories" in sys.argv[1:]
    clean = [code(), *(packages(name, required=required) for name in INSTALLED)]
    if not all(clean):
        sys.exit(1)


if __name__ == "__main__":
    main()
