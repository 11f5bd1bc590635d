"""The embedded PostgreSQL: its data folder, its settings, its process."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from runtime import dsn
from runtime.devstack import environment, probes
from runtime.devstack.binaries import POSTGRES_MAJOR, Binaries
from runtime.devstack.child import Child
from runtime.devstack.errors import DevstackError, StartFailedError
from runtime.devstack.home import Home
from runtime.devstack.process import ProcessSpec, log_tail
from runtime.settings import Settings

INSTANCE = "postgres"
#: The embedded server's superuser; its password is the secret `postgres-owner`.
OWNER = "holdfast_owner"
DATABASE = "holdfast"
CONNECTIONS_MAX = 100


def service_dsn(home: Home) -> str:
    """URL of the embedded server's database, without login: what services are given."""
    return dsn.of_socket(str(home.sockets), database=DATABASE)


def owner_dsn(home: Home, settings: Settings) -> str:
    """URL of the embedded server's database with its owner's login. Never leaves the supervisor."""
    return dsn.with_login(service_dsn(home), user=OWNER, password=settings.secret("postgres-owner"))


def spec(home: Home, settings: Settings, binaries: Binaries, *, fsync: bool) -> ProcessSpec:
    """The server's process. Without `fsync` a crash of the machine may lose data: tests only."""
    maintenance = dsn.with_database(owner_dsn(home, settings), "postgres")
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(home.sockets),
        "unix_socket_permissions": "0700",
        "max_connections": str(CONNECTIONS_MAX),
        "synchronous_commit": "on",
        "fsync": "on" if fsync else "off",
        "full_page_writes": "on" if fsync else "off",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %u@%d ",
        # Parameters may be personal data.
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "idle_in_transaction_session_timeout": "60s",
        "cluster_name": "holdfast",
    }
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return ProcessSpec(
        instance=INSTANCE,
        argv=(
            str(binaries.postgres_bin / "postgres"),
            *("-D", str(_cluster(home))),
            *arguments,
        ),
        env=environment.of_server(settings),
        cwd=_cluster(home),
        log=home.log(INSTANCE),
        listens=str(home.sockets / ".s.PGSQL.5432"),
        ready=lambda: probes.postgres(maintenance),
        user=home.user,
        # We hold the home's lock and nobody else works in the folder: whoever owns the pid in
        # these files now is not PostgreSQL, and PostgreSQL would refuse to start because of it.
        obstacles=(
            _cluster(home) / "postmaster.pid",
            home.sockets / ".s.PGSQL.5432.lock",
            home.sockets / ".s.PGSQL.5432",
        ),
        # Fast shutdown: open transactions are rolled back, nobody is waited for.
        stop_signal=signal.SIGINT,
        stop_timeout_s=15.0,
        # Immediate shutdown: the postmaster ends its children, and what was committed is on disk.
        death_signal=signal.SIGQUIT,
    )


async def initialise(home: Home, settings: Settings, binaries: Binaries) -> bool:
    """Makes the data folder unless it exists; whether it did."""
    cluster = _cluster(home)
    if cluster.exists():
        _check_major(cluster)
        return False
    # initdb works in a folder of another name: an interrupted one is never taken for a whole one.
    partial = cluster.with_name(f"{cluster.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    password = home.sockets / "initdb.password"
    password.unlink(missing_ok=True)
    descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(descriptor, settings.secret("postgres-owner").encode())
    if home.user is not None:
        os.fchown(descriptor, home.user.uid, home.user.gid)
    os.close(descriptor)
    log = home.log("initdb")
    child = Child(
        (
            *(str(binaries.postgres_bin / "initdb"), "-D", str(partial), "-U", OWNER),
            *("--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--locale=C"),
        ),
        env=environment.of_server(settings),
        cwd=cluster.parent,
        log=log,
        user=home.user,
    )
    try:
        code = await child.wait()
    finally:
        child.send(signal.SIGKILL)
        password.unlink(missing_ok=True)
    if code != 0:
        raise StartFailedError(f"initdb ended with code {code}", hint=f"{log}:\n{log_tail(log)}")
    partial.rename(cluster)
    return True


def _cluster(home: Home) -> Path:
    return home.server(INSTANCE) / str(POSTGRES_MAJOR)


def _check_major(cluster: Path) -> None:
    found = (cluster / "PG_VERSION").read_text().strip()
    if found != str(POSTGRES_MAJOR):
        raise DevstackError(
            f"{cluster} was made by PostgreSQL {found}, this is {POSTGRES_MAJOR}",
            hint="dump it with the old version and load it into a new home",
        )
