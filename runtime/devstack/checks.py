"""What `holdfast doctor` looks at on this machine and in a home, whether anything runs or not."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import psutil
from cryptography import x509

from runtime.devstack import binaries, home, leftovers, lock, ports, state, watches
from runtime.devstack.errors import DevstackError, PortTakenError
from runtime.devstack.settings import StackSettings

_DISK_FREE_WARN_MB = 2048
_DISK_FREE_FAIL_MB = 256
_MIB = 1024 * 1024
_CERTIFICATE_WARN = timedelta(days=7)


class Verdict(StrEnum):
    """Outcome of one check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was looked at, what was found, and what to do about it."""

    name: str
    verdict: Verdict
    found: str
    hint: str = ""


def ok(name: str, found: str) -> Check:
    """Nothing to do."""
    return Check(name=name, verdict=Verdict.OK, found=found)


def warn(name: str, found: str, hint: str) -> Check:
    """It works, and will not always."""
    return Check(name=name, verdict=Verdict.WARN, found=found, hint=hint)


def fail(name: str, found: str, hint: str) -> Check:
    """It does not work."""
    return Check(name=name, verdict=Verdict.FAIL, found=found, hint=hint)


def machine(settings: StackSettings, *, running: bool, now: datetime) -> Iterator[Check]:
    """Checks that need no server."""
    yield from programs()
    yield from folders(settings)
    yield from supervisor(settings)
    if not running:
        yield port_check(settings)
        yield file_watches()
    yield disk(settings)
    yield memory(settings)
    yield from certificates(settings.home / "pki", now=now)


def programs() -> Iterator[Check]:
    """Versions of the servers' programs."""

    def postgres() -> str:
        found = binaries.find()
        binaries.check_postgres_version(found)
        return binaries.version_of(found.postgres_bin / "postgres")

    def valkey() -> str:
        return binaries.version_of(binaries.find().valkey_server)

    def envoy() -> str:
        return binaries.version_of(binaries.envoy())

    def dbmate() -> str:
        return binaries.version_of(Path(sys.executable).with_name("dbmate"))

    lookups: tuple[Callable[[], str], ...] = (postgres, valkey, envoy, dbmate)
    for look in lookups:
        try:
            yield ok(look.__name__, _number(look()))
        except DevstackError as error:
            yield fail(look.__name__, error.message, error.hint)
        except (OSError, subprocess.SubprocessError) as error:
            yield fail(look.__name__, str(error), "run `make setup` again")


def _number(version: str) -> str:
    """The version's number in what a program says about itself."""
    # Envoy names its path first, and that has Python's version in it.
    found = re.search(r"\d+\.\d+\.\d+", version) or re.search(r"\d+\.\d+", version)
    return found.group() if found else version


def folders(settings: StackSettings) -> Iterator[Check]:
    """Whose the folders are, and who else may look into them."""
    root = settings.home
    if not root.is_dir():
        yield ok("home", f"{root} will be made on the first start")
        return
    for path in (root, root / "secrets", *sorted((root / "secrets").glob("[!.]*"))):
        if check := _private(path):
            yield check
            return
    yield ok("home", f"{root} and its secrets are for user {root.stat().st_uid} only")
    run = root / "run"
    folder = run.resolve() if run.is_symlink() else home.servers_of(root) / "run"
    length = len(os.fsencode(folder))
    yield ok("run folder", f"{folder}: {length} bytes, at most {home.RUN_DIR_BYTES_MAX}")
    yield from _orphans(settings)


def _private(path: Path) -> Check | None:
    try:
        found = path.stat()
    except OSError as error:
        return fail("home", f"{path}: {error.strerror}", "run as the user that owns it")
    if found.st_uid != os.geteuid():
        return fail(
            "home", f"{path} belongs to user {found.st_uid}", "run as the user that owns it"
        )
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(found.st_mode)
        return warn("home", f"{path} is open to others ({mode:04o})", f"chmod go-rwx {path}")
    return None


def _orphans(settings: StackSettings) -> Iterator[Check]:
    """Servers' folders whose home is gone: only root makes such folders."""
    parent = settings.servers_dir or home.SERVERS_DIR_DEFAULT
    if os.geteuid() != 0 or not parent.is_dir():
        return
    orphans = []
    for record in parent.glob("*/home"):
        root = Path(record.read_text())
        if not root.is_dir() or home.servers_of(root) != record.parent:
            orphans.append(str(record.parent))
    if orphans:
        yield warn(
            "old data",
            f"the homes of {', '.join(orphans)} are gone",
            f"if nobody misses them: rm -r {' '.join(orphans)}",
        )


def supervisor(settings: StackSettings) -> Iterator[Check]:
    """Whether one runs, and what a killed one left."""
    root = settings.home
    pid = lock.holder(home.lock_file(root))
    if pid is not None:
        document = state.read(root) or {}
        waiting = [p["instance"] for p in document["processes"] if p["state"] != "ready"]
        if waiting:
            hint = f"see {root}/logs"
            yield fail("supervisor", f"process {pid}; not ready: {', '.join(waiting)}", hint)
            return
        restarted = [p["instance"] for p in document["processes"] if p["restarts"]]
        if restarted:
            found = f"process {pid}; restarted since its start: {', '.join(restarted)}"
            yield warn("supervisor", found, f"see why in {root}/logs")
            return
        yield ok("supervisor", f"process {pid}, everything ready")
        return
    stale = (root / "state.json").exists()
    if left := _left(settings):
        hint = "the next `holdfast up` ends them"
        yield warn("supervisor", f"none, but these still run: {left}", hint)
    elif stale:
        yield warn("supervisor", "none; the last one was killed", "`holdfast up` clears up")
    else:
        yield ok("supervisor", "none")


def _left(settings: StackSettings) -> str:
    root = settings.home
    if not root.is_dir():
        return ""
    servers = home.servers_of(root)
    run = root / "run"
    folder = run.resolve() if run.is_symlink() else servers / "run"
    found = leftovers.find(home.Home(root=root, servers=servers, run=folder, user=None))
    return ", ".join(str(process.pid) for process in found)


def port_check(settings: StackSettings) -> Check:
    """Whether Envoy's configured ports are free."""
    try:
        chosen = ports.choose(settings)
    except PortTakenError as error:
        return fail("ports", error.message, error.hint)
    return ok("ports", ", ".join(f"{name} {port}" for name, port in chosen.items()) + " are free")


def file_watches() -> Check:
    """Whether Envoy can follow its files."""
    try:
        watches.require()
    except watches.NoWatchesError as error:
        return fail("file watches", error.message, error.hint)
    return ok("file watches", f"{watches.NEEDED} inotify instances for Envoy")


def disk(settings: StackSettings) -> Check:
    """Room for data; the money Valkey stops when there is none."""
    folder = home.servers_of(settings.home)
    while not folder.exists():
        folder = folder.parent
    free_mb = shutil.disk_usage(folder).free // _MIB
    found = f"{free_mb} MiB free at {folder}"
    if free_mb < _DISK_FREE_FAIL_MB:
        return fail("disk", found, "make room: without it, no authorization can be stored")
    if free_mb < _DISK_FREE_WARN_MB:
        return warn("disk", found, f"make room: {_DISK_FREE_WARN_MB} MiB are a good beginning")
    return ok("disk", found)


def memory(settings: StackSettings) -> Check:
    """Whether the Valkeys can have the memory that they are promised."""
    available_mb = psutil.virtual_memory().available // _MIB
    promised_mb = settings.money_memory_mb + settings.cache_memory_mb
    found = f"{available_mb} MiB available, {promised_mb} MiB promised to the Valkeys"
    if available_mb < promised_mb:
        return warn("memory", found, "lower HOLDFAST_MONEY_MEMORY_MB, or give the machine more")
    return ok("memory", found)


def certificates(folder: Path, *, now: datetime) -> Iterator[Check]:
    """Presence and end of every certificate that Envoy shows or trusts."""
    ends = list(_certificate_ends(sorted(folder.glob("*.pem"))))
    if not ends:
        yield ok("certificates", "will be made on the first start")
        return
    first, path = min(ends)
    found = f"{len(ends)}, the first ends {first:%Y-%m-%d} ({path.name})"
    if first <= now:
        yield fail("certificates", found, "start again with `holdfast up`: it renews them")
    elif first - now < _CERTIFICATE_WARN:
        yield warn("certificates", found, "a running `holdfast up` renews them daily: is one up?")
    else:
        yield ok("certificates", found)


def _certificate_ends(paths: Iterable[Path]) -> Iterator[tuple[datetime, Path]]:
    for path in paths:
        content = path.read_bytes()
        if b"BEGIN CERTIFICATE" in content:
            # The newest of a bundle comes first; older ones only have to be trusted a while.
            yield x509.load_pem_x509_certificates(content)[0].not_valid_after_utc, path
