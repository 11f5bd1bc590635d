"""Keeps reports' files in the object storage, in parts of which one fits into an answer.

Each part is sealed with the report's own key, which stands in its row and nowhere else: a file
whose row is gone is noise, wherever copies of it lie.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runtime.objects import ObjectStorage
from stats.reports.report import Report

#: Bytes of a part: Envoy makes an answer of at most 1 MiB into what web clients read.
PART_BYTES = 768 * 1024
#: Parts that are stored at the same time.
AT_ONCE = 4
KEY_BYTES = 32
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What was stored."""

    size_bytes: int
    part_count: int
    sha256: str


class ReportFiles:
    """Stores and reads files."""

    def __init__(self, objects: ObjectStorage) -> None:
        self._objects = objects

    async def store(self, report: Report, path: Path) -> Stored:
        """Stores a file, part by part; raises ObjectsUnavailable. Whoever begins anew does so in
        another folder.
        """
        digest, number, size_bytes = sha256(), 0, 0
        with path.open("rb") as file:
            while True:
                several = await asyncio.to_thread(_next_parts, file, empty=number == 0)
                if not several:
                    break
                async with asyncio.TaskGroup() as group:
                    for part in several:
                        number += 1
                        size_bytes += len(part)
                        digest.update(part)
                        group.create_task(self._put(report, number, part))
        return Stored(size_bytes=size_bytes, part_count=number, sha256=digest.hexdigest())

    async def part(self, report: Report, number: int) -> bytes | None:
        """One part, from 1; None: it is not there, or not what was stored. Raises
        ObjectsUnavailable.
        """
        sealed = await self._objects.get(_place(report, number))
        if sealed is None:
            return None
        try:
            return AESGCM(report.key).decrypt(_nonce(report, number), sealed, None)
        except InvalidTag:
            return None

    async def remove(self, folder: str) -> None:
        """Removes what lies in a folder; raises ObjectsUnavailable."""
        await self._objects.remove_all(folder)

    async def _put(self, report: Report, number: int, part: bytes) -> None:
        sealed = AESGCM(report.key).encrypt(_nonce(report, number), part, None)
        await self._objects.put(_place(report, number), sealed)


def _next_parts(file: BinaryIO, *, empty: bool) -> list[bytes]:
    """The next ones; a file without anything is one part without anything."""
    found = list[bytes]()
    while len(found) < AT_ONCE and (part := file.read(PART_BYTES)):
        found.append(part)
    return found or ([b""] if empty else [])


def _place(report: Report, number: int) -> str:
    return f"{report.folder}/{number}"


def _nonce(report: Report, number: int) -> bytes:
    """Never twice under one key: it is of this attempt and this part."""
    return report.attempts.to_bytes(4, "big") + number.to_bytes(_NONCE_BYTES - 4, "big")
