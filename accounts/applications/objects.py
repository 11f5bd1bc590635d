"""Where files lie: a small interface, and a folder of this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from runtime.files import make_private_folder, write_atomically


class ObjectStorage(Protocol):
    """Files by name; names are ids with `/` between. What is put is never changed."""

    async def put(self, name: str, content: bytes) -> None:
        """Stores a file; the same one again changes nothing."""
        ...

    async def get(self, name: str) -> bytes | None:
        """A file, or None."""
        ...


class LocalFolder:
    """Files (0600) below a private folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, content: bytes) -> None:
        """Writes the file, whole or not at all."""
        await asyncio.to_thread(self._write, self._folder / name, content)

    async def get(self, name: str) -> bytes | None:
        """Reads the file."""
        path = self._folder / name
        return await asyncio.to_thread(path.read_bytes) if path.is_file() else None

    def _write(self, path: Path, content: bytes) -> None:
        make_private_folder(path.parent)
        write_atomically(path, content, mode=0o600)
