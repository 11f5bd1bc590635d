"""ApiKeyService: convert, load, decide, commit, convert."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from gateway import convert_api_key as convert
from gateway.api_key import (
    ApiKey,
    KeyState,
    SecretHash,
    new_token,
    revoke,
    rotate,
)
from gateway.api_key_store import ApiKeyStore, ApiKeyTransaction
from gateway.notices import Notices, Told
from holdfast.gateway.v1 import api_key_pb2
from holdfast.gateway.v1 import api_key_service_pb2 as pb
from holdfast.gateway.v1.api_key_service_pb2_grpc import ApiKeyServiceServicer
from runtime import ids
from runtime.audit.log import REPLAYED_REASON
from runtime.clock import Clock
from runtime.errors import PermissionDenied, ResourceExhausted
from runtime.identity import current_identity
from runtime.key_ring import KeyRing
from runtime.paging import Position
from runtime.request_id import REPLAYED
from runtime.request_records import RequestKey

#: Active keys of one owner.
KEYS_MAX = 100

#: Returns the key as it was, if it was there, and as it is now.
Change = Callable[[ApiKeyTransaction], Awaitable[tuple[ApiKey | None, ApiKey]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """Whose keys a caller manages."""

    #: The merchant that the caller is or works for; empty: none.
    owner_id: str
    #: Administrators and auditors see all keys, a merchant its own.
    sees_all: bool
    #: Administrators change all keys, a merchant its own.
    changes_all: bool

    def may_see(self, owner_id: str) -> bool:
        """Whether the keys of an owner exist for the caller."""
        return self.sees_all or (bool(self.owner_id) and self.owner_id == owner_id)

    def may_change(self, owner_id: str) -> bool:
        """Whether the caller makes and ends keys of an owner."""
        return self.changes_all or (bool(self.owner_id) and self.owner_id == owner_id)


class ApiKeyService(ApiKeyServiceServicer):
    """Makes and ends API keys. `on_change` is told the id of each key that was changed; a user who
    makes one is told by `notices`: it outlives passwords, and somebody else may have made it.
    """

    def __init__(
        self,
        store: ApiKeyStore,
        ring: KeyRing,
        clock: Clock,
        *,
        scopes: Collection[str],
        notices: Notices,
        on_change: Callable[[str], None] = lambda _: None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._store = store
        self._ring = ring
        self._clock = clock
        self._scopes = scopes
        self._notices = notices
        self._on_change = on_change
        self._random_bytes = random_bytes
        self._ids = ids.IdSource(clock, random_bytes)

    async def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: Any
    ) -> pb.CreateApiKeyResponse:
        """Creates a key; the answer shows its secret, this once."""
        now_ms = self._clock.now_ms()
        key, command = convert.create(
            request, context, ring=self._ring, scopes=self._scopes, now_ms=now_ms
        )
        whose = await self._managed()
        if not whose.may_change(command.owner_id):
            raise PermissionDenied("a merchant makes keys for itself only")
        partition = ids.partition_for_owner(command.owner_id)
        token = new_token(self._ids.new(ids.API_KEY, partition), random_bytes=self._random_bytes)

        async def change(transaction: ApiKeyTransaction) -> tuple[ApiKey | None, ApiKey]:
            if await transaction.count(command.owner_id) >= KEYS_MAX:
                raise ResourceExhausted(
                    f"an owner has at most {KEYS_MAX} active keys; revoke one",
                    reason="TOO_MANY_API_KEYS",
                )
            made = ApiKey(
                id=token.api_key_id,
                owner_id=command.owner_id,
                display_name=command.display_name,
                state=KeyState.ACTIVE,
                scopes=command.scopes,
                allowed_networks=command.allowed_networks,
                limit_per_minute=command.limit_per_minute,
                secret=self._hashed(token.text),
                previous=None,
                previous_expire_time_ms=None,
                expire_time_ms=command.expire_time_ms,
                version=1,
                create_time_ms=now_ms,
                update_time_ms=now_ms,
            )
            await transaction.insert(made)
            await self._tell(transaction)
            return None, made

        answer, replayed = await self._run(key, change, context, now_ms=now_ms)
        return pb.CreateApiKeyResponse(api_key=answer, secret="" if replayed else token.text)

    async def GetApiKey(self, request: pb.GetApiKeyRequest, context: Any) -> pb.GetApiKeyResponse:
        """Returns one key."""
        api_key_id = convert.get(request)
        key = await self._store.key(api_key_id)
        if key is None or not (await self._managed()).may_see(key.owner_id):
            raise convert.not_found(api_key_id)
        return pb.GetApiKeyResponse(api_key=convert.message(key, now_ms=self._clock.now_ms()))

    async def ListApiKeys(
        self, request: pb.ListApiKeysRequest, context: Any
    ) -> pb.ListApiKeysResponse:
        """Lists keys, newest first; of a merchant its own."""
        whose = await self._managed()
        owner_id = request.owner_id or ("" if whose.sees_all else whose.owner_id)
        page = convert.page(request, owner_id=owner_id)
        if not whose.may_see(owner_id):
            return pb.ListApiKeysResponse()
        keys, more = page.cut(await self._store.keys(page, owner_id=owner_id))
        last = Position(keys[-1].create_time_ms, keys[-1].id) if more else None
        now_ms = self._clock.now_ms()
        return pb.ListApiKeysResponse(
            api_keys=[convert.message(key, now_ms=now_ms) for key in keys],
            next_page_token=page.token_after(last) if last else "",
        )

    async def RotateApiKey(
        self, request: pb.RotateApiKeyRequest, context: Any
    ) -> pb.RotateApiKeyResponse:
        """Gives a key a new secret; the answer shows it, this once."""
        key, api_key_id, overlap_ms = convert.rotate(request, context, ring=self._ring)
        token = new_token(api_key_id, random_bytes=self._random_bytes)
        now_ms = self._clock.now_ms()
        whose = await self._managed()

        async def change(transaction: ApiKeyTransaction) -> tuple[ApiKey | None, ApiKey]:
            found = await transaction.key(api_key_id)
            if found is None or not whose.may_change(found.owner_id):
                raise convert.not_found(api_key_id)
            if found.state is not KeyState.ACTIVE:
                raise convert.not_active(found)
            rotated = rotate(found, self._hashed(token.text), overlap_ms=overlap_ms, now_ms=now_ms)
            await transaction.update(rotated)
            await self._tell(transaction)
            return found, rotated

        answer, replayed = await self._run(key, change, context, now_ms=now_ms)
        return pb.RotateApiKeyResponse(api_key=answer, secret="" if replayed else token.text)

    async def RevokeApiKey(
        self, request: pb.RevokeApiKeyRequest, context: Any
    ) -> pb.RevokeApiKeyResponse:
        """Ends a key for good."""
        key, api_key_id = convert.revoke(request, context, ring=self._ring)
        now_ms = self._clock.now_ms()
        whose = await self._managed()

        async def change(transaction: ApiKeyTransaction) -> tuple[ApiKey | None, ApiKey]:
            found = await transaction.key(api_key_id)
            if found is None or not whose.may_change(found.owner_id):
                raise convert.not_found(api_key_id)
            ended = revoke(found, now_ms=now_ms)
            if ended is not found:
                await transaction.update(ended)
            return found, ended

        answer, _ = await self._run(key, change, context, now_ms=now_ms)
        return pb.RevokeApiKeyResponse(api_key=answer)

    async def _run(
        self, key: RequestKey, change: Change, context: Any, *, now_ms: int
    ) -> tuple[api_key_pb2.ApiKey, bool]:
        """Makes a change once per request id; returns the key as it was after it, and whether that
        was answered before.
        """
        async with self._store.transaction(now_ms=now_ms) as transaction:
            stored = await transaction.claim(key)
            if stored is None:
                was, changed = await change(transaction)
                answer = convert.message(changed, now_ms=now_ms)
                before = convert.message(was, now_ms=now_ms) if was else None
                await transaction.record(before=before, after=answer)
                await transaction.answer(key, answer.SerializeToString())
            else:
                stored.require(key)
                answer = api_key_pb2.ApiKey.FromString(stored.response)
                await transaction.record(reason=REPLAYED_REASON, targets=(answer.id,))
        self._on_change(answer.id)
        if stored is not None:
            await context.send_initial_metadata(REPLAYED)
        return answer, stored is not None

    async def _tell(self, transaction: ApiKeyTransaction) -> None:
        """Has the calling user told, in the transaction that makes the secret."""
        principal = current_identity().principal
        if ids.is_id(principal, ids.USER):
            await transaction.deliver(self._notices.message(principal, Told.API_KEY_MADE))

    async def _managed(self) -> Managed:
        """Whose keys the caller manages. A user's merchant is a row, not a claim, so that taking
        it away works at once; operators' tokens may speak for a merchant itself.
        """
        identity = current_identity()
        owner_id = ""
        if "merchant" in identity.roles:
            is_user = ids.is_id(identity.principal, ids.USER)
            owner_id = identity.principal
            if is_user:
                owner_id = await self._store.merchant_of(identity.principal)
        return Managed(
            owner_id=owner_id,
            sees_all=identity.sees_everything,
            changes_all="admin" in identity.roles,
        )

    def _hashed(self, text: str) -> SecretHash:
        key_id, digest = self._ring.mac(text.encode())
        return SecretHash(key_id=key_id, digest=digest)
