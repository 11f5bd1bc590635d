"""Where secrets come from: files (the default), environment or Vault, chosen by a setting.

A provider hands out named secrets, whole, and tells cheaply whether one has changed, so that who
asks before each use sees a rotation without a restart. Keys that rotate are one secret each: see
`runtime.key_ring`. Secrets are never logged, and no setting, argument or error holds one.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

from runtime.files import make_private_folder, write_atomically
from runtime.settings import Settings

#: Variables of `EnvironmentSecrets`: HOLDFAST_SECRET_POSTGRES_AUTHZ holds `postgres-authz`.
ENVIRONMENT_PREFIX = "HOLDFAST_SECRET_"

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class SecretError(Exception):
    """A secret is missing, or cannot be written; the message names it and not its content."""


class SecretsProvider(Protocol):
    """Named secrets. Names are `[a-z0-9-]`, e.g. `token-keys`."""

    def read(self, name: str) -> bytes:
        """The secret; SecretError if there is none."""
        ...

    def stamp(self, name: str) -> Hashable:
        """Something that differs whenever the secret does; None while there is none. Cheap: it may
        be asked before every use.
        """
        ...

    def change(self, name: str, replace: Callable[[bytes | None], bytes]) -> bytes:
        """Replaces a secret by what follows from it (None: there is none yet), one writer at a
        time; returns what is there afterwards. SecretError where secrets cannot be written.
        """
        ...


class FileSecrets:
    """One file (0600) per secret in a private folder (0700)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Stamps are asked for before every use of a key: making a path costs more than looking.
        self._names: dict[str, str] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileSecrets) and other._folder == self._folder

    def __hash__(self) -> int:
        return hash(self._folder)

    def read(self, name: str) -> bytes:
        """The file's content."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            raise SecretError(
                f"secret {self._path(name)} is missing: run `holdfast up` once"
            ) from None

    def stamp(self, name: str) -> Hashable:
        """Files are replaced by rename, so another content is another inode."""
        path = self._names.get(name)
        if path is None:
            path = self._names[name] = str(self._path(name))
        try:
            found = os.stat(path)  # noqa: PTH116 - a path object for each look is dear
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def change(self, name: str, replace: Callable[[bytes | None], bytes]) -> bytes:
        """Replaces the file unless its content stays the same."""
        path = self._path(name)
        make_private_folder(self._folder)
        with self._locked():
            before = path.read_bytes() if path.exists() else None
            after = replace(before)
            if after != before:
                write_atomically(path, after, mode=0o600)
        return after

    def _path(self, name: str) -> Path:
        return self._folder / _checked(name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class EnvironmentSecrets:
    """One variable per secret. What is not there is asked of `fallback`: servers that we start
    ourselves have passwords of their own making, in files.
    """

    def __init__(
        self, fallback: SecretsProvider, environment: Mapping[str, str] | None = None
    ) -> None:
        self._fallback = fallback
        self._values = {
            key: value.encode()
            for key, value in (os.environ if environment is None else environment).items()
            if key.startswith(ENVIRONMENT_PREFIX)
        }

    def read(self, name: str) -> bytes:
        """The variable's content."""
        value = self._values.get(variable_of(name))
        return self._fallback.read(name) if value is None else value

    def stamp(self, name: str) -> Hashable:
        """An environment never changes: a new one needs a new process."""
        variable = variable_of(name)
        return variable if variable in self._values else self._fallback.stamp(name)

    def change(self, name: str, replace: Callable[[bytes | None], bytes]) -> bytes:
        """Leaves a variable as it is; refuses to change one."""
        variable = variable_of(name)
        if variable not in self._values:
            return self._fallback.change(name, replace)
        before = self._values[variable]
        if replace(before) != before:
            raise SecretError(
                f"{variable} is set in the environment: change it there, and restart the services"
            )
        return before


def variable_of(name: str) -> str:
    """The environment variable of a secret."""
    return ENVIRONMENT_PREFIX + _checked(name).upper().replace("-", "_")


def secrets_of(settings: Settings) -> SecretsProvider:
    """The provider that the settings choose (HOLDFAST_SECRETS)."""
    files = FileSecrets(settings.home / "secrets")
    match settings.secrets:
        case "files":
            return files
        case "environment":
            return EnvironmentSecrets(files)
        case "vault":
            return _vault(
                settings.vault_url,
                settings.home / settings.vault_token_file,
                settings.vault_mount,
                settings.vault_folder,
                files,
            )


@cache
def _vault(
    url: str, token_file: Path, mount: str, folder: str, files: FileSecrets
) -> SecretsProvider:
    """One per process and place: it keeps what it has read."""
    from runtime.vault import VaultSecrets  # noqa: PLC0415  needed where it is chosen only

    return VaultSecrets(url, token_file=token_file, mount=mount, folder=folder, fallback=files)


def secret_text(settings: Settings, name: str) -> str:
    """One secret of the chosen provider as text: a password."""
    return secrets_of(settings).read(name).decode().strip()


def is_secret_name(name: str) -> bool:
    """True for names that a secret may have."""
    return _NAME.fullmatch(name) is not None


def _checked(name: str) -> str:
    assert is_secret_name(name), f"{name!r} is no name of a secret"
    return name
