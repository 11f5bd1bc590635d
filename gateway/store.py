"""Token keys on disk: `home/token-keys/<kid>.pem` (0600, folder 0700), read anew on change."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm

from gateway.tokens import TokenKey, is_key_id, new_key, parse_key, private_pem
from runtime.clock import Clock
from runtime.files import make_private_folder, write_atomically
from runtime.log import get_logger
from runtime.settings import Settings

#: Keys that are published at once: rotation keeps two or three.
KEYS_MAX = 16

logger = get_logger()


def keys_path(settings: Settings) -> Path:
    """The folder of token keys."""
    return settings.home / "token-keys"


class KeyFolder:
    """The keys of one installation. Another process may add and remove files at any time."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._random_bytes = random_bytes
        self._names: list[str] = []
        self._keys: tuple[TokenKey, ...] = ()

    def ensure_key(self) -> None:
        """Makes the first key, once, however many processes ask."""
        make_private_folder(self._folder)
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.read():
                key = new_key(now_ms=self._clock.now_ms(), random_bytes=self._random_bytes)
                write_atomically(self._folder / f"{key.kid}.pem", private_pem(key), mode=0o600)
                logger.info("token_key_created", kid=key.kid)

    def read(self) -> tuple[TokenKey, ...]:
        """All keys, oldest first; opens files only when there are others than last time."""
        # A key's file never changes, and its name is its id: the names tell all.
        names = sorted(path.stem for path in self._folder.glob("*.pem") if is_key_id(path.stem))
        if names != self._names:
            self._keys = self._load(names)
            self._names = names
        return self._keys

    def _load(self, names: Sequence[str]) -> tuple[TokenKey, ...]:
        if len(names) > KEYS_MAX:
            logger.warning("token_keys_ignored", count=len(names) - KEYS_MAX)
        keys: list[TokenKey] = []
        for kid in names[-KEYS_MAX:]:
            try:
                keys.append(parse_key(kid, (self._folder / f"{kid}.pem").read_bytes()))
            except (ValueError, TypeError, OSError, UnsupportedAlgorithm) as error:
                # One broken file must not take the other keys' tokens down.
                logger.warning("token_key_unreadable", kid=kid, error=str(error))
        return tuple(keys)
