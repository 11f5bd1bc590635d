"""Seals what applicants say and hand in, and who disputes a charge: with a key for each application
or dispute, which is sealed with the person's own (`accounts.person_keys`). Once the person is
erased nothing of it can be read, wherever copies lie.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from accounts.person_keys import PersonKeys

_KEY_BYTES, _NONCE_BYTES = 32, 12


class Sealable(Protocol):
    """Something with a key of its own."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def user_id(self) -> str:
        """Whose words it has."""
        ...

    @property
    def data_key(self) -> bytes:
        """Its key, sealed with the person's."""
        ...

    @property
    def person_key(self) -> bytes:
        """The person's key, wrapped."""
        ...

    @property
    def readable(self) -> bool:
        """Whether the person was not erased."""
        ...


class ErasedError(Exception):
    """Who applied was erased: nothing opens what was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationKeys:
    """All that opens applications."""

    people: PersonKeys

    def new(self, application_id: str, *, user_id: str, person_key: bytes) -> bytes:
        """A new key for an application of a person, sealed."""
        key = self.people.data_key(person_key, user_id)
        return key.seal(_field(application_id), os.urandom(_KEY_BYTES))

    def seal(self, content: bytes, application: Sealable, *, what: str) -> bytes:
        """Seals something of an application; it opens as `what` of this application only."""
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._cipher(application)
        return nonce + cipher.encrypt(nonce, content, _context(application.id, what))

    def open(self, sealed: bytes, application: Sealable, *, what: str) -> bytes:
        """The content again; ValueError if it was sealed for something else, or changed. Raises
        ErasedError.
        """
        cipher = self._cipher(application)
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, rest, _context(application.id, what))
        except InvalidTag:
            raise ValueError("sealed for another place, or changed") from None

    def person_hash(self, tax_id: str) -> tuple[bytes, str]:
        """Under which a person's applications are found, and the key that made it."""
        return self.people.hash_of("tax_id", tax_id), self.people.search.current.id

    def person_hashes(self, tax_id: str) -> list[bytes]:
        """Under which they may be found: one for each key that is in use."""
        return self.people.hashes_of("tax_id", tax_id)

    def _cipher(self, application: Sealable) -> AESGCM:
        if not application.readable:
            raise ErasedError(application.id)
        key = self.people.data_key(application.person_key, application.user_id)
        return AESGCM(key.open(_field(application.id), application.data_key))


def _field(application_id: str) -> str:
    return f"application:{application_id}"


def _context(application_id: str, what: str) -> bytes:
    return f"{application_id}\x00{what}".encode()
