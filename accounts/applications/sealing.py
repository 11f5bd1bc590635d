"""Seals what applicants say: a key for each application, which is itself sealed with the
installation's. Destroying an application's key makes everything of it unreadable.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runtime.clock import Clock
from runtime.key_ring import KeyRing, key_ring
from runtime.secrets import SecretsProvider

#: Names of the rings: one opens the keys of applications, one finds persons again. The oldest key
#: of the latter is used, so that it must not be pruned while duplicates are to be found.
SEALING, SEARCH = "application-sealing", "application-search"
_KEY_BYTES, _NONCE_BYTES = 32, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationKeys:
    """All that opens applications."""

    sealing: KeyRing
    search: KeyRing

    def new(self, application_id: str) -> bytes:
        """A new key for an application, sealed."""
        return self.sealing.seal(os.urandom(_KEY_BYTES), context=application_id.encode())

    def seal(self, content: bytes, *, data_key: bytes, application_id: str, what: str) -> bytes:
        """Seals something of an application; it opens as `what` of this application only."""
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._cipher(data_key, application_id)
        return nonce + cipher.encrypt(nonce, content, _context(application_id, what))

    def open(self, sealed: bytes, *, data_key: bytes, application_id: str, what: str) -> bytes:
        """The content again; ValueError if it was sealed for something else, or changed."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            cipher = self._cipher(data_key, application_id)
            return cipher.decrypt(nonce, rest, _context(application_id, what))
        except InvalidTag:
            raise ValueError("sealed for another place, or changed") from None

    def hash(self, content: bytes) -> bytes:
        """A keyed hash that stays the same: what has few possible values cannot be guessed."""
        return digest(self.search.keys[0].secret, sha256(content).digest(), "sha256")

    def _cipher(self, data_key: bytes, application_id: str) -> AESGCM:
        return AESGCM(self.sealing.open(data_key, context=application_id.encode()))


def application_keys(secrets: SecretsProvider, clock: Clock) -> ApplicationKeys:
    """The rings; made if there are none."""
    return ApplicationKeys(
        sealing=key_ring(secrets, SEALING, clock), search=key_ring(secrets, SEARCH, clock)
    )


def _context(application_id: str, what: str) -> bytes:
    return f"{application_id}\x00{what}".encode()
