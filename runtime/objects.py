"""Where files lie, sealed by whoever puts them there: a folder of this machine (the default), or
S3 and whatever speaks like it, chosen by a setting.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from runtime.files import make_private_folder, write_atomically
from runtime.secrets import secrets_of
from runtime.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}(/[A-Za-z0-9_-]{1,100}){0,4}")


class ObjectsUnavailable(Exception):
    """The storage gives no answer, or refuses; the message never quotes a file."""


class ObjectStorage(Protocol):
    """Files by name; names are `[A-Za-z0-9_-]` with `/` between. Names are never used again for
    other files.
    """

    async def put(self, name: str, content: bytes) -> None:
        """Stores a file, whole or not at all; once this returns it is there to stay. Raises
        ObjectsUnavailable.
        """
        ...

    async def get(self, name: str) -> bytes | None:
        """A file, or None. Raises ObjectsUnavailable."""
        ...

    async def remove_all(self, folder: str) -> None:
        """Removes all files whose names begin with `folder` and a `/`; none is fine, too. Raises
        ObjectsUnavailable: some of them may be left.
        """
        ...


class LocalFolder:
    """Files (0600) below a private folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, content: bytes) -> None:
        """Writes the file."""
        path = self._path(name)
        with _refusing():
            await asyncio.to_thread(_write, path, content)

    async def get(self, name: str) -> bytes | None:
        """Reads the file."""
        path = self._path(name)
        with _refusing():
            return await asyncio.to_thread(_read, path)

    async def remove_all(self, folder: str) -> None:
        """Removes the folder."""
        path = self._path(folder)
        with _refusing():
            await asyncio.to_thread(_remove, path)

    def _path(self, name: str) -> Path:
        return self._folder / checked(name)


def objects_of(settings: Settings) -> ObjectStorage:
    """The storage that the settings choose."""
    if settings.objects == "folder":
        return LocalFolder(settings.home / "documents")
    from runtime.objects_s3 import S3Bucket  # noqa: PLC0415  needed where it is chosen only

    return S3Bucket.of(settings, secrets_of(settings))


def checked(name: str) -> str:
    """The name, unless it leads elsewhere."""
    if not _NAME.fullmatch(name):
        raise ValueError("names of files are ids with / between")
    return name


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ObjectsUnavailable(f"the folder of files: {type(error).__name__}") from error


def _write(path: Path, content: bytes) -> None:
    make_private_folder(path.parent)
    write_atomically(path, content, mode=0o600)


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
