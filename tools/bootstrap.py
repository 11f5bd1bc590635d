"""Makes .venv from plain Python and installs exactly what requirements/dev.txt pins, by hash.

Usage: python3 tools/bootstrap.py [--fastest]     (`make setup`; other targets run it when needed)

Needs nothing but Python and its venv module: pip installs a pinned uv into .venv, uv installs the
rest. With --fastest another Python of the same version on this machine is taken if it is much
faster: one compiled without profile-guided optimisation needs up to twice the time for everything.
What is done is recorded in .venv/.installed: digests of the files it was made from, and the folder,
because an environment cannot be moved.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".installed"
PYTHON = VENV / "bin" / "python"
SOURCES = ("requirements/bootstrap.txt", "requirements/dev.txt", "pyproject.toml")
VERSION_MIN = (3, 11)
#: How much faster another Python has to be: below this it is noise.
WORTH_IT = 1.15
#: Calls, attributes, dictionaries and text: what a service does most. Prints nanoseconds.
SAMPLE = """
import time
class Point:
    __slots__ = ("x",)
    def __init__(self, x): self.x = x
    def moved(self, by): return self.x + by
def work(point, number):
    found = {"number": number, "text": str(number)}
    if point.moved(number): found["both"] = f"{number}:{found['text']}"
    return found
def once():
    point = Point(1); began = time.perf_counter_ns()
    for number in range(40000): work(point, number)
    return time.perf_counter_ns() - began
import venv
print(min(once() for _ in range(5)))
"""


def say(text: str) -> None:
    """One line of what happens, at once, also into a pipe."""
    print(text, flush=True)  # noqa: T201  it talks to whoever ran make


def state() -> str:
    """What a finished environment was made from."""
    digests = (
        f"{name} {hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}" for name in SOURCES
    )
    return "\n".join((str(ROOT), *digests)) + "\n"


def run(*command: str | Path, quiet: bool = False) -> bool:
    """Runs one step; its output is shown. Nothing of the caller's environment leaks into .venv."""
    hidden = {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    output = subprocess.DEVNULL if quiet else None
    done = subprocess.run(  # noqa: S603  fixed argument lists, no shell
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        stdout=output,
        stderr=output,
        check=False,
    )
    return done.returncode == 0


def nanoseconds(python: Path) -> int:
    """How long a Python takes for the sample; for ever if it does not run or has no venv."""
    done = subprocess.run(  # noqa: S603  an interpreter found in PATH
        [str(python), "-I", "-c", SAMPLE], capture_output=True, text=True, check=False
    )
    return int(done.stdout) if done.returncode == 0 else sys.maxsize


def fastest() -> Path:
    """The Python that runs, or one of the same version in PATH that is much faster."""
    this = Path(sys.executable)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folders = (Path(folder) for folder in os.get_exec_path())
    others = {
        found.resolve()
        for folder in folders
        if (found := folder / name).is_file() and os.access(found, os.X_OK)
    } - {this.resolve()}
    times = {python: nanoseconds(python) for python in (this, *sorted(others))}
    best = min(times, key=lambda python: times[python])
    if times[best] * WORTH_IT > times[this]:
        return this
    say(f"bootstrap: {best} is {times[this] / times[best]:.1f} times as fast as {this}; taking it")
    return best


def make_environment() -> None:
    """Makes .venv anew unless it is one of this folder that works."""
    known = STAMP.read_text() if STAMP.is_file() else ""
    same_folder = not known or known.startswith(f"{ROOT}\n")
    works = PYTHON.exists() and run(PYTHON, "-m", "pip", "--version", quiet=True)
    if works and same_folder:
        return
    version = ".".join(str(number) for number in sys.version_info[:3])
    say(f"bootstrap: making .venv with Python {version}")
    shutil.rmtree(VENV, ignore_errors=True)
    chosen = fastest() if "--fastest" in sys.argv[1:] else Path(sys.executable)
    if chosen != Path(sys.executable) and not run(chosen, "-m", "venv", VENV):
        chosen = Path(sys.executable)
        shutil.rmtree(VENV, ignore_errors=True)
    if not PYTHON.exists() and not run(chosen, "-m", "venv", VENV):
        shutil.rmtree(VENV, ignore_errors=True)
        major, minor = sys.version_info[:2]
        sys.exit(
            "bootstrap: this Python cannot make virtual environments (message above)."
            f" On Debian and Ubuntu install python{major}.{minor}-venv, then run make again."
        )


def install() -> None:
    """Installs the pinned requirements, then the project itself from this folder."""
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input")
    say("bootstrap: installing uv")
    if not run(*pip, "install", "-q", "--require-hashes", "-r", "requirements/bootstrap.txt"):
        sys.exit("bootstrap: pip could not install uv (message above); is the network there?")
    uv = (PYTHON, "-m", "uv", "pip", "install", "-q", "--python", PYTHON)
    pinned = ("--require-hashes", "-r", "requirements/dev.txt")
    say("bootstrap: installing requirements/dev.txt")
    if not run(*uv, *pinned):
        say("bootstrap: uv could not; trying pip, which knows this machine's package settings")
        if not run(*pip, "install", "-q", *pinned):
            sys.exit("bootstrap: the requirements could not be installed (message above)")
    project = ("--no-deps", "--no-build-isolation", "-e", ".")
    if not run(*uv, *project) and not run(*pip, "install", "-q", *project):
        sys.exit("bootstrap: the project could not be installed (message above)")


def main() -> None:
    """Brings .venv up to date; one run at a time."""
    if sys.version_info < VERSION_MIN:
        found = ".".join(str(number) for number in sys.version_info[:3])
        sys.exit(f"bootstrap: Python 3.11 or newer is needed, this is {found}")
    began = time.monotonic()
    # The folder itself is the lock: two makes at once install once.
    folder = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    if STAMP.is_file() and STAMP.read_text() == state() and PYTHON.exists():
        STAMP.touch()
        return
    make_environment()
    STAMP.unlink(missing_ok=True)
    install()
    STAMP.write_text(state())
    say(f"bootstrap: .venv is ready after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
