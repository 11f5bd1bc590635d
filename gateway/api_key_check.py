"""Whose API key is this, and may it make this call? Keys are remembered for a moment."""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from gateway.api_key import ApiKey, Refusal, Token, parse_token, refuse, works
from gateway.api_key_store import ApiKeyStore
from gateway.junk_keys import JunkKeys
from runtime.clock import Clock
from runtime.errors import HoldfastError, PermissionDenied, ResourceExhausted, Unauthenticated
from runtime.key_ring import KeyRing
from runtime.metrics import LIMITED_CALLS

#: How long a key is believed without asking PostgreSQL: a revoked one is refused after this, also
#: by another process than the one that revoked it.
CACHE_MS = 2_000
#: Keys remembered, unknown ones too.
CACHE_KEYS = 10_000

#: What a caller is told: error, message, reason.
_REFUSALS: dict[Refusal, tuple[type[HoldfastError], str, str]] = {
    Refusal.INVALID: (
        Unauthenticated,
        "the API key is not known",
        "API_KEY_INVALID",
    ),
    Refusal.REVOKED: (
        Unauthenticated,
        "the API key was revoked",
        "API_KEY_REVOKED",
    ),
    Refusal.EXPIRED: (
        Unauthenticated,
        "the API key has expired",
        "API_KEY_EXPIRED",
    ),
    Refusal.ADDRESS: (
        PermissionDenied,
        "the API key may not be used from this address",
        "ADDRESS_NOT_ALLOWED",
    ),
    Refusal.SCOPE: (
        PermissionDenied,
        "the API key lacks a scope for this method, or no key may call it",
        "SCOPE_MISSING",
    ),
}


class _Remembered(NamedTuple):
    key: ApiKey | None
    until_ms: int


class ApiKeyCheck:
    """Checks keys. `needs`: the scopes that a method asks for, by path; others take no keys."""

    def __init__(
        self, store: ApiKeyStore, ring: KeyRing, clock: Clock, *, needs: Mapping[str, Sequence[str]]
    ) -> None:
        self._store = store
        self._ring = ring
        self._clock = clock
        self._needs = needs
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        #: Keys that are read just now: whoever comes meanwhile waits for the same answer.
        self._reading: dict[str, asyncio.Task[ApiKey | None]] = {}
        self._junk = JunkKeys()

    async def check(self, text: str, *, method: str, address: str) -> ApiKey:
        """The key that a text is, if a call of a method may be made with it. Raises what the caller
        is told; Unavailable if that cannot be found out; ResourceExhausted after too much junk.
        """
        token = parse_token(text)
        if token is None:
            self._count_junk(address)
            raise refusal(Refusal.INVALID)
        found = self._remembered.get(token.api_key_id)
        # Whoever has a key that was seen lately goes on; PostgreSQL is asked about no others for an
        # address that has shown too much junk. Who asks nobody is counted once it is known.
        seen = found is not None and found.key is not None
        counted = not seen and token.api_key_id not in self._reading
        if counted:
            self._count_junk(address)
        try:
            key = await self._key(token.api_key_id)
        except BaseException:
            if counted:
                self._junk.give_back(address)
            raise
        now_ms = self._clock.now_ms()
        if key is None or not self._is_secret(token, key, now_ms=now_ms):
            if not counted:
                self._count_junk(address)
            raise refusal(Refusal.INVALID)
        if counted:
            self._junk.give_back(address)
        needs = self._needs.get(method)
        refused = refuse(key, address=address, needs=needs, now_ms=now_ms)
        if refused is not None:
            raise refusal(refused, needs=needs or ())
        return key

    def forget(self, api_key_id: str) -> None:
        """Reads a key anew: it was changed."""
        self._remembered.pop(api_key_id, None)
        self._reading.pop(api_key_id, None)

    def _count_junk(self, address: str) -> None:
        wait_ms = self._junk.take(address, now_ms=self._clock.now_ms())
        if wait_ms:
            LIMITED_CALLS.labels("junk-key").inc()
            raise ResourceExhausted(
                "too many unknown API keys from this address",
                reason="RATE_LIMITED",
                metadata={"counted": "junk-key"},
                retry_after_ms=wait_ms,
            )

    async def _key(self, api_key_id: str) -> ApiKey | None:
        now_ms = self._clock.now_ms()
        found = self._remembered.get(api_key_id)
        if found is not None and now_ms < found.until_ms <= now_ms + CACHE_MS:
            return found.key
        reading = self._reading.get(api_key_id)
        if reading is None:
            reading = self._reading[api_key_id] = asyncio.create_task(
                self._read(api_key_id, now_ms=now_ms)
            )
            reading.add_done_callback(partial(self._was_read, api_key_id))
        # Whoever gives up takes nobody along.
        return await asyncio.shield(reading)

    async def _read(self, api_key_id: str, *, now_ms: int) -> ApiKey | None:
        key = await self._store.key(api_key_id)
        # From before it was read: what was revoked meanwhile is not believed for longer.
        self._remembered[api_key_id] = _Remembered(key, now_ms + CACHE_MS)
        self._remembered.move_to_end(api_key_id)
        if len(self._remembered) > CACHE_KEYS:
            self._remembered.popitem(last=False)
        return key

    def _was_read(self, api_key_id: str, reading: asyncio.Task[ApiKey | None]) -> None:
        if self._reading.get(api_key_id) is reading:
            del self._reading[api_key_id]
        if not reading.cancelled():
            # Perhaps nobody waits any more who would ask for it.
            reading.exception()

    def _is_secret(self, token: Token, key: ApiKey, *, now_ms: int) -> bool:
        text = token.text.encode()
        right = False
        for hashed in works(key, now_ms=now_ms):
            version = self._ring.find(hashed.key_id)
            if version is not None:
                digest = hmac.digest(version.secret, text, "sha256")
                right |= hmac.compare_digest(digest, hashed.digest)
        return right


def refusal(value: Refusal, *, needs: Sequence[str] = ()) -> HoldfastError:
    """The error that says why."""
    error, message, reason = _REFUSALS[value]
    metadata = {"scopes": " ".join(needs)} if needs and value is Refusal.SCOPE else {}
    return error(message, reason=reason, metadata=metadata)
