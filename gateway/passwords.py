"""Hashes passwords with Argon2id, off the event loop, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from runtime.errors import ResourceExhausted
from runtime.log import get_logger

#: RFC 9106 §4, second recommended option: 64 MiB, 3 passes.
PARAMETERS = argon2.profiles.RFC_9106_LOW_MEMORY
#: Hashes made at the same time, and those that may wait: each takes a core and 64 MiB for a while.
HASHES_AT_ONCE = 2
WAITING_MAX = 32

logger = get_logger()
Result = TypeVar("Result")


class Passwords:
    """Hashes and verifies."""

    def __init__(self, parameters: argon2.Parameters = PARAMETERS) -> None:
        self._hasher = argon2.PasswordHasher.from_parameters(parameters)
        self._pool = ThreadPoolExecutor(HASHES_AT_ONCE, thread_name_prefix="argon2")
        self._running = 0
        #: Verified in place of a hash that is not there, so that both take as long.
        self._nobodys = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """The hash of a new password, with its salt and parameters."""
        return await self._run(partial(self._hasher.hash, password))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether a password is the one that was hashed; takes as long if there is none."""
        found = await self._run(partial(self._verified, stored or self._nobodys, password))
        return found and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verified(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False
        except (VerificationError, InvalidHashError) as error:
            logger.warning("password_hash_unreadable", error=type(error).__name__)
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._running >= HASHES_AT_ONCE + WAITING_MAX:
            raise ResourceExhausted("too many sign in at once; slow down", reason="OVERLOADED")
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._running -= 1
