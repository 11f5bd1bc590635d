"""Envelope encryption of what is personal: a data key per person, wrapped by a ring's key."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hmac import digest
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from accounts.personal import search_email, search_tax_id
from accounts.user import Address, Personal
from runtime import ids
from runtime.clock import Clock
from runtime.key_ring import KeyRing, key_ring
from runtime.secrets import SecretsProvider

#: Names of the rings. Of the last, the oldest key is used: ids must not change, so it must not be
#: pruned while files may be imported again.
WRAPPING, SEARCH, REFERENCES = "person-wrapping", "person-search", "person-references"
#: Columns that are sealed, and those by which people are found.
SEALED = ("name", "email", "phone", "address", "birth_date", "tax_id")
FOUND_BY = ("email", "phone", "tax_id")

_ADDRESS_FIELDS = tuple(field.name for field in fields(Address))
_DATA_KEY_BYTES = 32
_NONCE_BYTES = 12


class DataKey:
    """The key of one person. It seals each field for that person and that field only."""

    def __init__(self, key: bytes, user_id: str) -> None:
        self._cipher = AESGCM(key)
        self._user_id = user_id

    def seal(self, field: str, content: bytes) -> bytes:
        """Nonce, ciphertext and tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, self._bound_to(field))

    def open(self, field: str, sealed: bytes) -> bytes:
        """The content again; ValueError if it is another's, another field's, or changed."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, self._bound_to(field))
        except InvalidTag:
            raise ValueError(f"{field} was sealed for another place, or changed") from None

    def _bound_to(self, field: str) -> bytes:
        return f"person:{self._user_id}:{field}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonKeys:
    """Wraps data keys, and keys the hashes by which people are found."""

    wrapping: KeyRing
    search: KeyRing
    references: KeyRing

    def id_of(self, reference: str) -> str:
        """The id of somebody who is called so elsewhere, always the same. Nobody else can tell."""
        seed = digest(self.references.keys[0].secret, reference.encode(), "sha256").hex()
        return ids.derived(ids.USER, f"{ids.partition_for_owner(seed):02x}", seed)

    def new_key(self, user_id: str) -> tuple[bytes, DataKey]:
        """A new data key: wrapped, and ready for use."""
        key = os.urandom(_DATA_KEY_BYTES)
        return self.wrap(key, user_id), DataKey(key, user_id)

    def wrap(self, key: bytes, user_id: str) -> bytes:
        """Wraps a data key with the current key."""
        return self.wrapping.seal(key, context=_context(user_id))

    def unwrap(self, wrapped: bytes, user_id: str) -> bytes:
        """The data key again."""
        return self.wrapping.open(wrapped, context=_context(user_id))

    def data_key(self, wrapped: bytes, user_id: str) -> DataKey:
        """What opens and seals the fields of a person."""
        return DataKey(self.unwrap(wrapped, user_id), user_id)

    def hash_of(self, field: str, value: str) -> bytes:
        """Under which a value is found, by the current key."""
        return self.search.mac(_searched(field, value))[1]

    def hashes_of(self, field: str, value: str) -> list[bytes]:
        """Under which a value may be found: one hash for each key that is in use."""
        return list(self.search.macs(_searched(field, value)).values())

    def fingerprints(self, content: bytes) -> tuple[bytes, frozenset[bytes]]:
        """Of a request, keyed: what it says cannot be guessed from it. The current one, and those
        that an earlier key made.
        """
        text = b"request:" + content
        return self.search.mac(text)[1], frozenset(self.search.macs(text).values())


def person_keys(secrets: SecretsProvider, clock: Clock) -> PersonKeys:
    """The rings, each made if it is missing."""
    return PersonKeys(
        wrapping=key_ring(secrets, WRAPPING, clock),
        search=key_ring(secrets, SEARCH, clock),
        references=key_ring(secrets, REFERENCES, clock),
    )


def sealed(personal: Personal, key: DataKey) -> dict[str, bytes | None]:
    """The columns of what is personal."""
    address = json.dumps(_fields(personal.address)) if personal.address else ""
    tax_id = f"{personal.tax_country_code}|{personal.tax_id}" if personal.tax_id else ""
    texts = {
        "name": personal.name,
        "email": personal.email,
        "phone": personal.phone,
        "address": address,
        "birth_date": personal.birth_date,
        "tax_id": tax_id,
    }
    return {name: key.seal(name, text.encode()) if text else None for name, text in texts.items()}


def opened(columns: Mapping[str, Any], key: DataKey) -> Personal:
    """What is personal, from its columns."""
    texts = {
        name: key.open(name, columns[name]).decode() if columns[name] else "" for name in SEALED
    }
    country_code, _, tax_id = texts["tax_id"].partition("|")
    return Personal(
        name=texts["name"],
        email=texts["email"],
        phone=texts["phone"],
        address=Address(**json.loads(texts["address"])) if texts["address"] else None,
        birth_date=texts["birth_date"],
        tax_id=tax_id,
        tax_country_code=country_code,
    )


def _fields(address: Address) -> dict[str, str]:
    return {name: getattr(address, name) for name in _ADDRESS_FIELDS}


def _context(user_id: str) -> bytes:
    return f"person-key:{user_id}".encode()


def _searched(field: str, value: str) -> bytes:
    if field == "email":
        value = search_email(value)
    elif field == "tax_id":
        value = search_tax_id(value)
    return f"{field}:{value}".encode()
