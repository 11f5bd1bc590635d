"""The two embedded Valkeys: one for money, one for sessions, limits and caches.

Each user may do what its service does and nothing that could lose data: no FLUSHALL, CONFIG SET,
DEBUG or SHUTDOWN. The default user is off. A server's ACL file holds digests, not passwords.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from runtime.devstack import environment, probes
from runtime.devstack.binaries import Binaries
from runtime.devstack.home import Home
from runtime.devstack.process import ProcessSpec
from runtime.devstack.settings import StackSettings

MONEY = "valkey-money"
CACHE = "valkey-cache"

#: Of the dangerous commands, those that only tell.
_INSPECT = "+info +config|get +role +time +dbsize +client|setinfo +client|setname +client|id"
_SERVICE = (
    "+@read +@write +@connection +@transaction"
    " +eval +evalsha +eval_ro +evalsha_ro +script|load +script|exists"
    f" -@admin -@dangerous +wait +waitaof {_INSPECT}"
)
#: Rebuilds what services read: keys, no scripts.
_RECOVERY = f"+@read +@write +@connection +@transaction -@admin -@dangerous {_INSPECT}"
#: Reads, also several keys as of one moment (MULTI without a write).
_OPERATOR = (
    f"+@read +@connection +multi +exec -@admin -@dangerous {_INSPECT} +memory|stats +latency|latest"
)
_TEST = "+@all"
#: A script makes and frees thousands of small pieces: glibc is told to keep them at hand and not to
#: give memory back in between. A seventh less CPU per authorization; other libraries ignore it.
_TUNABLES = (
    "glibc.malloc.tcache_count=4000"
    ":glibc.malloc.trim_threshold=268435456"
    ":glibc.malloc.mmap_threshold=1073741824"
)
#: Money is written in append-only mode, every turn of the event loop to disk before the answers.
_MONEY_CONFIG = (
    "appendonly yes",
    "appendfsync always",
    # The file is written anew when it has doubled, but not while it is small: each time costs a
    # fork and as much writing as there is data, in the middle of work.
    "auto-aof-rewrite-min-size 256mb",
    # A torn last record was never acknowledged.
    "aof-load-truncated yes",
    "no-appendfsync-on-rewrite no",
    "maxmemory-policy noeviction",
    # A hold that counts in limits has a longer field: it stays as compact as the others.
    "hash-max-listpack-value 512",
)
_CACHE_CONFIG = ("appendonly no", "maxmemory-policy volatile-ttl")


@dataclass(frozen=True, slots=True, kw_only=True)
class _User:
    name: str
    rules: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    instance: str
    users: tuple[_User, ...]
    config: tuple[str, ...]
    memory_mb: int


def socket_of(home: Home, instance: str) -> Path:
    """Unix socket of one of the two servers."""
    return home.sockets / f"{instance}.sock"


def url(home: Home, instance: str) -> str:
    """URL without login; a service adds its user and its secret `<instance>-<user>`."""
    return f"unix://{socket_of(home, instance)}"


def specs(
    home: Home, settings: StackSettings, binaries: Binaries, *, test_user: bool
) -> dict[str, ProcessSpec]:
    """Both servers' processes by instance. The `test` user may do everything, FLUSHALL too."""
    extra = (_User(name="test", rules=_TEST),) if test_user else ()
    operator = _User(name="operator", rules=_OPERATOR)
    money = _Server(
        instance=MONEY,
        users=(
            _User(name="authz", rules=_SERVICE),
            _User(name="settler", rules=_SERVICE),
            _User(name="recovery", rules=_RECOVERY),
            operator,
            *extra,
        ),
        config=_MONEY_CONFIG,
        memory_mb=settings.money_memory_mb,
    )
    cache = _Server(
        instance=CACHE,
        users=(_User(name="gateway", rules=f"{_SERVICE} +@pubsub &*"), operator, *extra),
        config=_CACHE_CONFIG,
        memory_mb=settings.cache_memory_mb,
    )
    return {
        server.instance: _spec(home, settings, binaries, server=server) for server in (money, cache)
    }


def secrets_of(*, test_user: bool) -> tuple[str, ...]:
    """Secrets that exist for tests only."""
    return (f"{MONEY}-test", f"{CACHE}-test") if test_user else ()


def _spec(
    home: Home, settings: StackSettings, binaries: Binaries, *, server: _Server
) -> ProcessSpec:
    folder = home.server(server.instance)
    socket = socket_of(home, server.instance)
    config = folder / "valkey.conf"
    acl = folder / "users.acl"
    _write(config, _config(server, folder=folder, socket=socket, acl=acl), home=home)
    _write(acl, _acl(server, settings), home=home)
    password = settings.secret(f"{server.instance}-operator")
    return ProcessSpec(
        instance=server.instance,
        argv=(str(binaries.valkey_server), str(config)),
        env={**environment.of_server(settings), "GLIBC_TUNABLES": _TUNABLES},
        cwd=folder,
        log=home.log(server.instance),
        listens=str(socket),
        ready=lambda: probes.valkey(socket, user="operator", password=password),
        user=home.user,
        # A second server on one path would replace the first one's socket without a word.
        obstacles=(socket,),
    )


def _config(server: _Server, *, folder: Path, socket: Path, acl: Path) -> str:
    lines = (
        "port 0",
        f'unixsocket "{socket}"',
        "unixsocketperm 700",
        "daemonize no",
        f'dir "{folder}"',
        f'aclfile "{acl}"',
        'save ""',
        f"maxmemory {server.memory_mb}mb",
        "enable-debug-command no",
        "enable-module-command no",
        "set-proc-title no",
        *server.config,
    )
    return "\n".join(lines) + "\n"


def _acl(server: _Server, settings: StackSettings) -> str:
    lines = ["user default off resetkeys resetchannels -@all"]
    for user in server.users:
        secret = settings.secret(f"{server.instance}-{user.name}")
        digest = hashlib.sha256(secret.encode()).hexdigest()
        lines.append(f"user {user.name} on #{digest} ~* resetchannels -@all {user.rules}")
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str, *, home: Home) -> None:
    """Replaces a file of the servers' user."""
    partial = path.with_name(f"{path.name}.new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(descriptor, text.encode())
    if home.user is not None:
        os.fchown(descriptor, home.user.uid, home.user.gid)
    os.close(descriptor)
    partial.replace(path)
