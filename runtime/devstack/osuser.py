"""The unprivileged operating-system user that the database servers run as under root."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from runtime.devstack.errors import DevstackError

#: Whom the servers may run as when the supervisor is root, best first.
CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class OsUser:
    """One operating-system user, with its primary group only."""

    name: str
    uid: int
    gid: int


def server_user(owner_of: Path) -> OsUser | None:
    """The user that the servers run as; None means: as ourselves.

    Under root this is the owner of `owner_of` (existing data keeps its owner), else the first of
    `CANDIDATES`: PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return None
    try:
        return _user(pwd.getpwuid(owner_of.stat().st_uid))
    except FileNotFoundError:
        pass
    except KeyError:
        raise DevstackError(
            f"{owner_of} belongs to a user that no longer exists",
            hint="give the folder to an existing unprivileged user with chown -R",
        ) from None
    for name in CANDIDATES:
        try:
            return _user(pwd.getpwnam(name))
        except KeyError:
            continue
    raise DevstackError(
        "started as root, and there is no unprivileged user to run PostgreSQL as",
        hint=f"start as an ordinary user, or add one of the users {', '.join(CANDIDATES)}",
    )


def _user(entry: pwd.struct_passwd) -> OsUser:
    return OsUser(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def reaches(user: OsUser, path: Path) -> bool:
    """Whether `user` may enter every folder down to `path` and read it (access lists ignored)."""
    resolved = path.resolve()
    if not _allowed(user, resolved, read=True):
        return False
    return all(_allowed(user, parent, read=False) for parent in resolved.parents)


def _allowed(user: OsUser, path: Path, *, read: bool) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    if found.st_uid == user.uid:
        shift = 6
    elif found.st_gid == user.gid:
        shift = 3
    else:
        shift = 0
    needed = stat.S_IXOTH | (stat.S_IROTH if read else 0)
    return (found.st_mode >> shift) & needed == needed
