"""Finds the one credential among a call's headers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

#: What Envoy hands on of a call: nothing else is looked at.
API_KEY_HEADER = "x-api-key"
AUTHORIZATION_HEADER = "authorization"
ADDRESS_HEADER = "x-auth-address"

_BEARER = "bearer "


class NoCredential(Enum):
    """Why there is not exactly one credential."""

    AMBIGUOUS = auto()
    MISSING = auto()


def credential_of(headers: Mapping[str, str]) -> str | NoCredential:
    """The text of the API key that was sent; whether it is one is another question."""
    key = headers.get(API_KEY_HEADER)
    authorization = headers.get(AUTHORIZATION_HEADER)
    if key is not None and authorization is not None:
        return NoCredential.AMBIGUOUS
    if key is not None:
        return key.strip() or NoCredential.MISSING
    if authorization is None or not authorization.lower().startswith(_BEARER):
        return NoCredential.MISSING
    return authorization[len(_BEARER) :].strip() or NoCredential.MISSING
