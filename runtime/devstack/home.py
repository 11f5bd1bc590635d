"""The folders of one installation: its state, its secrets, and the run folder of its sockets.

    home/            0700, ours
      secrets/       one file per secret, 0600
      logs/ pki/ envoy/ refusals/ state.json lock
      postgres/ valkey-money/ valkey-cache/     the servers' data
      run/           sockets of the services, and below db/ those of the servers

Under root the servers run as an unprivileged user, who cannot enter home. Then `home/servers` links
to a folder of their own (`/var/lib/holdfast/<name>`) with their data and the run folder; copies of
their programs lie beside it. When the path of the run folder is too long for a unix socket,
`home/run` links to a short one.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from runtime.devstack import lock, osuser
from runtime.devstack.errors import AlreadyRunningError, DevstackError
from runtime.devstack.osuser import OsUser
from runtime.devstack.settings import StackSettings

#: Bytes of a unix socket's path that the kernel accepts.
SOCKET_PATH_BYTES_MAX = 107
#: Longest run folder: room is left for the longest socket name, those of gRPC's own included.
RUN_DIR_BYTES_MAX = SOCKET_PATH_BYTES_MAX - 44

#: Where root keeps the servers' data.
SERVERS_DIR_DEFAULT = Path("/var/lib/holdfast")
_SHORT_PARENT = Path("/tmp")  # noqa: S108  below it, mkdtemp makes one # nosec B108

#: Secrets of the services' roles; made on the first run. Other parts make theirs beside them.
POSTGRES_SECRETS = (
    "postgres-owner",
    "postgres-authz",
    "postgres-accounts",
    "postgres-payments",
    "postgres-gateway",
    "postgres-notify",
    "postgres-stats",
    "postgres-vault",
    "postgres-audit",
)
#: Secrets of the embedded Valkeys' users. Servers that others run have their login in the URL.
MONEY_SECRETS = (
    "valkey-money-authz",
    "valkey-money-settler",
    "valkey-money-recovery",
    "valkey-money-operator",
)
#: Key of the authorizer's request fingerprints.
AUTHZ_SECRETS = ("authz-fingerprint",)
#: Key of the audit log's chain.
AUDIT_SECRETS = ("audit-seal",)
CACHE_SECRETS = ("valkey-cache-gateway", "valkey-cache-operator")
_SECRET_BYTES = 32
_SERVERS = ("postgres", "valkey-money", "valkey-cache")
_PRIVATE = 0o700
#: Others may pass through to what belongs to them, and see nothing.
_PASSAGE = 0o711


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where everything of one installation is, and whom its servers run as."""

    root: Path
    #: Parent of the servers' data; `root` unless started as root.
    servers: Path
    run: Path
    #: None: as ourselves.
    user: OsUser | None

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.root / "logs"

    @property
    def sockets(self) -> Path:
        """Folder of the servers' sockets (PostgreSQL, Valkey); belongs to their user."""
        return self.run / "db"

    @property
    def state_file(self) -> Path:
        """What the supervisor tells `holdfast status`."""
        return self.root / "state.json"

    def log(self, instance: str) -> Path:
        """Log file of one process."""
        return self.logs / f"{instance}.log"

    def server(self, name: str) -> Path:
        """Data folder of one server: postgres, valkey-money or valkey-cache."""
        return self.servers / name


def lock_file(folder: Path) -> Path:
    """The file that whoever uses `folder` locks; it holds the pid."""
    return folder / "lock"


def owner_record(folder: Path) -> Path:
    """The file in a servers' folder that names the home it was made for."""
    return folder / "home"


def make_root(root: Path) -> None:
    """Makes the home itself, or checks whose it is."""
    _make(root, parents=True)
    _own(root)


def prepare(settings: StackSettings) -> Home:
    """Makes whatever folders and secrets are missing. Leaves what is there as it is.

    The caller holds the lock of the root folder.
    """
    root = settings.home
    make_root(root)
    for name in ("secrets", "logs", "pki", "envoy"):
        _make(root / name)
    for name in _secrets(settings):
        ensure_secret(settings.secret_path(name))
    servers = _servers_folder(settings)
    user = osuser.server_user(servers / _SERVERS[0])
    run = _run_folder(root, servers=servers, user=user)
    home = Home(root=root, servers=servers, run=run, user=user)
    for name in _SERVERS:
        _make(home.server(name), user=user)
    _make(home.sockets, user=user)
    return home


def ensure_secret(path: Path) -> None:
    """Makes a secret of 256 random bits unless it exists. It appears whole or not at all."""
    if path.exists():
        return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.") as file:
        file.write(secrets.token_urlsafe(_SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
        try:
            path.hardlink_to(file.name)
        except FileExistsError:
            return


def clear_run(home: Home) -> None:
    """Removes what a killed supervisor left in the run folder. Only the holder of the lock may."""
    for path in home.run.iterdir():
        if path == home.sockets:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in home.sockets.iterdir():
        path.unlink()


def remove(settings: StackSettings) -> None:
    """Deletes an installation with its data, also what lies outside of home. For good.

    Refused while something runs on it, and when it is not ours.
    """
    root = settings.home
    if not root.exists():
        return
    _own(root)
    pid = lock.holder(lock_file(root))
    if pid is not None:
        raise AlreadyRunningError(
            f"{root} is in use by process {pid}", pid=pid, hint="stop it with `holdfast down`"
        )
    for link in ("servers", "run"):
        path = root / link
        if path.is_symlink():
            shutil.rmtree(path.resolve(), ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)


def servers_of(root: Path) -> Path:
    """The servers' folder of an existing home, without making anything."""
    link = root / "servers"
    return link.resolve() if link.is_symlink() else root


def _secrets(settings: StackSettings) -> tuple[str, ...]:
    return (
        *POSTGRES_SECRETS,
        *AUTHZ_SECRETS,
        *AUDIT_SECRETS,
        *(MONEY_SECRETS if settings.redis_url is None else ()),
        *(CACHE_SECRETS if settings.cache_url is None else ()),
    )


def _servers_folder(settings: StackSettings) -> Path:
    root = settings.home
    if os.geteuid() != 0:
        return root
    link = root / "servers"
    if link.is_symlink():
        folder = link.resolve()
        if not folder.is_dir():
            raise DevstackError(
                f"the data of {root} is gone: {folder} does not exist",
                hint=f"restore {folder}, or remove {root} to begin anew",
            )
        _own(folder)
        return folder
    parent = settings.servers_dir or SERVERS_DIR_DEFAULT
    _make(parent, mode=0o755, parents=True)
    _own(parent)
    folder = parent / secrets.token_hex(4)
    _make(folder, mode=_PASSAGE)
    owner_record(folder).write_text(str(root))
    # The link is the record: without it the folder is nobody's, with it the home has its data.
    link.symlink_to(folder)
    return folder


def _run_folder(root: Path, *, servers: Path, user: OsUser | None) -> Path:
    mode = _PRIVATE if user is None else _PASSAGE
    link = root / "run"
    if link.is_symlink() and link.resolve().is_dir():
        run = link.resolve()
        _own(run)
        return run
    if link.is_symlink():
        # A cleaner of temporary files was there.
        link.unlink()
    run = servers / "run"
    if len(os.fsencode(run)) <= RUN_DIR_BYTES_MAX:
        _make(run, mode=mode)
        _own(run)
        return run
    run = Path(tempfile.mkdtemp(prefix="holdfast-", dir=_SHORT_PARENT))
    run.chmod(mode)
    link.symlink_to(run)
    return run


def _make(
    path: Path, *, mode: int = _PRIVATE, parents: bool = False, user: OsUser | None = None
) -> None:
    """Makes a folder unless it exists; an existing one keeps its permissions."""
    if path.is_dir():
        return
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        path.chmod(mode)
        if user is not None:
            os.chown(path, user.uid, user.gid)
    except FileExistsError:
        raise DevstackError(f"{path} is no folder", hint="move it away") from None
    except PermissionError:
        raise DevstackError(
            f"cannot make the folder {path}",
            hint="choose another home with --home or HOLDFAST_HOME",
        ) from None


def _own(path: Path) -> None:
    """Refuses a folder that belongs to somebody else, or that others may write to."""
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise DevstackError(
            f"{path} belongs to user {found.st_uid}, and this is user {os.geteuid()}",
            hint="run as that user, or choose another home with --home or HOLDFAST_HOME",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DevstackError(f"others may write to {path}", hint=f"close it with chmod go-w {path}")
