"""Keys that rotate: several versions at once, one of them current. One ring for one purpose.

    ring = key_ring(secrets, "api-keys", clock)     # made on first use
    key_id, digest = ring.mac(token)                # keyed hash, with the current key
    ring.macs(token)                                # the same with every version: to look up
    sealed = ring.seal(text, context=b"user:usr_…") # AES-256-GCM; names its key
    ring.open(sealed, context=b"user:usr_…")        # ValueError unless all of it is right,
                                                    # KeyMissing without the key

A ring is one secret of `runtime.secrets`: files, environment and vaults hold it alike. It is read
anew when the provider says that it has changed. A new version is used for new things once it is
`SETTLE_MS` old, when every process has surely seen it; until then it only verifies and opens.
"""

from __future__ import annotations

import hmac
import itertools
import json
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runtime.clock import Clock
from runtime.errors import FailedPrecondition
from runtime.secrets import SecretsProvider

#: Age at which a version becomes the current one.
SETTLE_MS = 60_000
#: Versions that a ring holds. Rotating further is refused until `holdfast keys prune` has run.
VERSIONS_MAX = 16

_SECRET_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = b"\x01"
_KEY_ID = re.compile(r"[0-9a-f]{12}-[0-9a-f]{16}")
_KEY_ID_LENGTH = 29


class RingError(Exception):
    """A ring cannot be read or changed; the message names it and not its content."""


class KeyMissing(FailedPrecondition, ValueError):
    """Nobody can open what was sealed: the ring is not the one that sealed it, or was pruned."""

    def __init__(self, ring: str) -> None:
        super().__init__(
            f"sealed with a key that the secret {ring} does not have: put that secret back",
            reason="KEY_MISSING",
            metadata={"secret": ring},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One version. Its id is the time it was made and 64 random bits; ids sort by age."""

    id: str
    secret: bytes = field(repr=False)

    @property
    def created_ms(self) -> int:
        """When it was made."""
        return int(self.id[:12], 16)


def random_secret() -> bytes:
    """256 random bits: a key for HMAC-SHA256 or AES-256."""
    return os.urandom(_SECRET_BYTES)


class KeyRing:
    """All versions of one key. `make` makes the secret of a new version."""

    def __init__(
        self,
        secrets: SecretsProvider,
        name: str,
        clock: Clock,
        *,
        make: Callable[[], bytes] = random_secret,
        settle_ms: int = SETTLE_MS,
    ) -> None:
        self._secrets = secrets
        self._name = name
        self._clock = clock
        self._make = make
        self._settle_ms = settle_ms
        self._stamp: Hashable = None
        self._keys: tuple[Key, ...] = ()

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every version, oldest first."""
        stamp = self._secrets.stamp(self._name)
        if stamp is None or stamp != self._stamp:
            # The stamp first: what changes in between is read again, never missed.
            self._keys = self._parse(self._secrets.read(self._name))
            self._stamp = stamp
        return self._keys

    @property
    def current(self) -> Key:
        """The newest version that everybody knows; the oldest while all are new."""
        keys = self.keys
        known_ms = self._clock.now_ms() - self._settle_ms
        return next((key for key in reversed(keys) if key.created_ms <= known_ms), keys[0])

    def find(self, key_id: str) -> Key | None:
        """The version with an id, if there is one (still)."""
        return next((key for key in self.keys if key.id == key_id), None)

    def ensure(self) -> None:
        """Makes the first version, once, however many processes ask."""
        self._change(lambda keys: keys or (self._new(after_ms=0),))

    def rotate(self) -> Key:
        """Adds a version; the others stay until they are pruned."""
        added: list[Key] = []

        def longer(keys: tuple[Key, ...]) -> tuple[Key, ...]:
            # Ids sort by age, whatever the clock does.
            added[:] = [self._new(after_ms=keys[-1].created_ms if keys else 0)]
            return (*keys, *added)

        self._change(longer)
        return added[0]

    def prune(self, *, unused_ms: int, needed: Collection[str] = ()) -> tuple[str, ...]:
        """Removes versions that a newer one replaced as current at least `unused_ms` ago, but for
        those that are `needed`; returns their ids. Whatever they hashed or sealed can no longer be
        read.
        """
        removed: list[str] = []
        before_ms = self._clock.now_ms() - self._settle_ms - unused_ms

        def newest(keys: tuple[Key, ...]) -> tuple[Key, ...]:
            replaced = [
                key
                for key, next_key in itertools.pairwise(keys)
                if next_key.created_ms <= before_ms and key.id not in needed
            ]
            removed[:] = [key.id for key in replaced]
            return tuple(key for key in keys if key not in replaced)

        self._change(newest)
        return tuple(removed)

    def mac(self, content: bytes) -> tuple[str, bytes]:
        """HMAC-SHA256 with the current key, and that key's id."""
        key = self.current
        return key.id, hmac.digest(key.secret, content, "sha256")

    def macs(self, content: bytes) -> dict[str, bytes]:
        """HMAC-SHA256 with every version, by key id: what an older one stored is found, too."""
        return {key.id: hmac.digest(key.secret, content, "sha256") for key in self.keys}

    def seal(self, content: bytes, *, context: bytes) -> bytes:
        """Encrypts with the current key. It opens only with the same context: say where it is kept
        and whose it is, so that nobody can move it elsewhere.
        """
        key = self.current
        nonce = os.urandom(_NONCE_BYTES)
        header = _FORMAT + key.id.encode()
        return header + nonce + AESGCM(key.secret).encrypt(nonce, content, header + context)

    def open(self, sealed: bytes, *, context: bytes) -> bytes:
        """Decrypts what `seal` made with any version that is still here."""
        header, rest = sealed[: 1 + _KEY_ID_LENGTH], sealed[1 + _KEY_ID_LENGTH :]
        key = self.find(key_of(sealed))
        if key is None:
            raise KeyMissing(self._name)
        try:
            return AESGCM(key.secret).decrypt(
                rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], header + context
            )
        except InvalidTag:
            raise ValueError("sealed for another place, or changed") from None

    def _new(self, *, after_ms: int) -> Key:
        now_ms = max(self._clock.now_ms(), after_ms + 1)
        return Key(id=f"{now_ms:012x}-{os.urandom(8).hex()}", secret=self._make())

    def _change(self, change: Callable[[tuple[Key, ...]], tuple[Key, ...]]) -> None:
        def replace(content: bytes | None) -> bytes:
            before = self._parse(content) if content else ()
            after = change(before)
            if len(after) > VERSIONS_MAX:
                raise RingError(
                    f"{self._name} has {len(before)} versions: `holdfast keys prune` it first"
                )
            return content if content and after == before else _document(after)

        self._secrets.change(self._name, replace)

    def _parse(self, content: bytes) -> tuple[Key, ...]:
        try:
            keys = tuple(_keys_of(content))
        except (ValueError, KeyError, TypeError):
            # Never the content, nor an error that quotes it.
            raise RingError(f"secret {self._name} is no key ring") from None
        if not keys:
            raise RingError(f"key ring {self._name} is empty")
        return keys


def key_ring(secrets: SecretsProvider, name: str, clock: Clock) -> KeyRing:
    """A ring of 256-bit keys; made if there is none."""
    ring = KeyRing(secrets, name, clock)
    ring.ensure()
    return ring


def key_of(sealed: bytes) -> str:
    """The id of the key that sealed something; ValueError if nothing of ours did."""
    key_id = sealed[1 : 1 + _KEY_ID_LENGTH].decode("ascii", "replace")
    if sealed[:1] != _FORMAT or not _KEY_ID.fullmatch(key_id):
        raise ValueError("not sealed by a key ring")
    return key_id


def _keys_of(content: bytes) -> Iterator[Key]:
    for entry in sorted(json.loads(content)["keys"], key=lambda entry: entry["id"]):
        if not _KEY_ID.fullmatch(entry["id"]):
            raise ValueError(entry["id"])
        yield Key(id=entry["id"], secret=urlsafe_b64decode(entry["secret"]))


def _document(keys: Sequence[Key]) -> bytes:
    entries = [
        {"id": key.id, "secret": urlsafe_b64encode(key.secret).decode()}
        for key in sorted(keys, key=lambda key: key.id)
    ]
    return json.dumps({"keys": entries}, indent=1).encode() + b"\n"
