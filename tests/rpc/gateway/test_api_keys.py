"""ApiKeyService: every RPC with its answer, its replay and its errors."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import grpc
import pytest

from gateway.api_key import new_token
from gateway.api_key_check import CACHE_MS, ApiKeyCheck
from gateway.api_key_service import KEYS_MAX, ApiKeyService
from gateway.api_key_store import ApiKeyStore
from gateway.junk_keys import JUNK_MAX
from gateway.limits import WINDOW_MS
from gateway.notices import Notices, Told
from gateway.rings import Rings
from holdfast.gateway.v1 import api_key_pb2
from holdfast.gateway.v1 import api_key_service_pb2 as pb
from holdfast.gateway.v1.api_key_service_pb2_grpc import (
    ApiKeyServiceStub,
    add_ApiKeyServiceServicer_to_server,
)
from runtime.channel import unix_channel
from runtime.clock import ManualClock
from runtime.errors import HoldfastError
from runtime.key_ring import key_ring
from runtime.postgres import connect_pool
from runtime.secrets import FileSecrets
from runtime.server import Server
from runtime.validate import timestamp
from tests.accounts_mesh import call, call_replayed, refused, short_folder
from tests.databases import Database
from tests.policies import fields_of, filled, for_merchants

METHOD = "/holdfast.authz.v1.AuthorizationService/GetAuthorization"
SCOPE = "authorizations:read"
UNKNOWN = "key_0a" + "9" * 32
ADMIN = (("x-auth-roles", "admin"),)
SHOP: dict[str, Any] = {
    "principal": ("x-auth-subject", "mer_shop"),
    "metadata": (("x-auth-roles", "merchant"),),
}


@dataclass
class Keys:
    """A running service, and the check that its keys are for."""

    stub: ApiKeyServiceStub
    check: ApiKeyCheck
    clock: ManualClock
    pool: asyncpg.Pool
    rings: Rings
    number: int = 0

    def request(self, **fields: Any) -> pb.CreateApiKeyRequest:
        self.number += 1
        known = {"request_id": f"c-{self.number}", "owner_id": "mer_shop", "scopes": [SCOPE]}
        return pb.CreateApiKeyRequest(**known | fields)

    async def created(self, **fields: Any) -> pb.CreateApiKeyResponse:
        answer: pb.CreateApiKeyResponse = await call(
            self.stub.CreateApiKey, self.request(**fields), metadata=ADMIN
        )
        return answer

    async def told(self, secret: str, address: str = "192.0.2.1") -> str:
        """Whose the secret is, or why it is refused."""
        try:
            key = await self.check.check(secret, method=METHOD, address=address)
        except HoldfastError as error:
            return error.reason
        return key.owner_id

    async def hire(self) -> tuple[str, dict[str, Any]]:
        """A user who manages the keys of mer_shop, and how they call."""
        user_id = f"usr_0a{'7' * 32}"
        await self.pool.execute("DELETE FROM credential WHERE user_id = $1", user_id)
        insert = (
            "INSERT INTO credential (user_id, roles, merchant_id, state, version, create_time,"
            " update_time) VALUES ($1, '{merchant}', 'mer_shop', 'ACTIVE', 1, now(), now())"
        )
        await self.pool.execute(insert, user_id)
        return user_id, {
            "principal": ("x-auth-subject", user_id),
            "metadata": (("x-auth-roles", "merchant"),),
        }

    async def notices(self) -> list[dict[str, Any]]:
        """What users will be told."""
        rows = await self.pool.fetch("SELECT topic, key, payload FROM outbox ORDER BY id")
        return [
            json.loads(
                self.rings.users.open(
                    row["payload"], context=f"gateway.outbox.{row['topic']}:{row['key']}".encode()
                )
            )
            for row in rows
        ]


@pytest.fixture
async def keys(shared_gateway: Database) -> AsyncIterator[Keys]:
    clock = ManualClock()
    with short_folder() as folder:
        ring = key_ring(FileSecrets(folder / "secrets"), "gateway-api-keys", clock)
        server = Server(folder / "gateway.a.sock")
        async with (
            await connect_pool(shared_gateway.settings, "gateway") as pool,
            unix_channel(server.socket) as channel,
        ):
            await pool.execute("TRUNCATE api_key, request_record, outbox")
            store = ApiKeyStore(pool)
            check = ApiKeyCheck(store, ring, clock, needs={METHOD: (SCOPE,)})
            rings = Rings.of(FileSecrets(folder / "secrets"), clock)
            service = ApiKeyService(
                store, ring, clock, scopes={SCOPE}, notices=Notices(rings, clock)
            )
            add_ApiKeyServiceServicer_to_server(service, server.services)
            await server.start([])
            yield Keys(
                stub=ApiKeyServiceStub(channel), check=check, clock=clock, pool=pool, rings=rings
            )
            await server.grpc_server.stop(0)


async def until_waiting(pool: asyncpg.Pool) -> None:
    """Until somebody waits for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    for _ in range(3_000):
        if await pool.fetchval(waiting):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


async def test_a_secret_is_shown_once_and_kept_nowhere(keys: Keys) -> None:
    request = keys.request(display_name="till", allowed_networks=["192.0.2.0/24"])
    first, _ = await call_replayed(keys.stub.CreateApiKey, request, metadata=ADMIN)
    assert await keys.told(first.secret) == "mer_shop"
    again, replayed = await call_replayed(keys.stub.CreateApiKey, request, metadata=ADMIN)
    assert (again.api_key, again.secret, replayed) == (first.api_key, "", True)
    for table in ("api_key", "request_record"):
        rows = await keys.pool.fetch(f"SELECT t::text AS row FROM {table} t")
        assert all(first.secret.rpartition("_")[2] not in row["row"] for row in rows)
    other = pb.CreateApiKeyRequest()
    other.CopyFrom(request)
    other.display_name = "other"
    error = await refused(keys.stub.CreateApiKey, other, metadata=ADMIN)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"request_id": ""}, "request_id"),
        ({"owner_id": ""}, "owner_id"),
        ({"owner_id": "usr_1"}, "owner_id"),
        ({"display_name": "x" * 101}, "display_name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": [SCOPE, "everything"]}, "scopes[1]"),
        ({"allowed_networks": ["192.0.2.7/24"]}, "allowed_networks[0]"),
        ({"allowed_networks": ["192.0.2.1"] * 33}, "allowed_networks"),
        ({"limit_per_minute": 6001}, "limit_per_minute"),
        ({"limit_per_minute": -1}, "limit_per_minute"),
        ({"expire_time": timestamp(ManualClock().now_ms())}, "expire_time"),
    ],
)
async def test_each_wrong_field_is_named(keys: Keys, fields: dict[str, Any], wrong: str) -> None:
    error = await refused(keys.stub.CreateApiKey, keys.request(**fields), metadata=ADMIN)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [wrong])


async def test_a_merchant_has_its_own_keys_only(keys: Keys) -> None:
    own = await call(keys.stub.CreateApiKey, keys.request(), **SHOP)
    foreign = (await keys.created(owner_id="mer_other")).api_key
    error = await refused(keys.stub.CreateApiKey, keys.request(owner_id="mer_other"), **SHOP)
    assert error.code is grpc.StatusCode.PERMISSION_DENIED
    error = await refused(keys.stub.CreateApiKey, keys.request(limit_per_minute=9), **SHOP)
    assert error.fields == ["limit_per_minute"]
    swept = [one for one in for_merchants("gateway") if one.service.endswith(".ApiKeyService")]
    for policy in swept:
        name = policy.path.rpartition("/")[2]
        if name not in {"CreateApiKey", "ListApiKeys"}:
            request = filled(policy, {"api_key_id": foreign.id})
            assert "api_key_id" in fields_of(policy), name
            error = await refused(getattr(keys.stub, name), request, **SHOP)
            assert (error.code.name, error.reason) == ("NOT_FOUND", "API_KEY_NOT_FOUND"), name
    assert len(swept) >= 5
    assert await keys.pool.fetchval("SELECT version FROM api_key WHERE id = $1", foreign.id) == 1
    listed = await call(keys.stub.ListApiKeys, pb.ListApiKeysRequest(), **SHOP)
    assert [one.id for one in listed.api_keys] == [own.api_key.id]
    listed = await call(keys.stub.ListApiKeys, pb.ListApiKeysRequest(owner_id="mer_other"), **SHOP)
    assert not listed.api_keys


async def test_a_user_manages_the_keys_of_its_merchant(keys: Keys) -> None:
    """Whose that is, SetUserAccess says; the next call sees that it is taken away."""
    user_id, staff = await keys.hire()
    created = await call(keys.stub.CreateApiKey, keys.request(), **staff)
    assert await keys.told(created.secret) == "mer_shop"
    foreign = (await keys.created(owner_id="mer_other")).api_key
    for owner_id, shown in (("", [created.api_key.id]), ("mer_other", [])):
        request = pb.ListApiKeysRequest(owner_id=owner_id)
        listed = await call(keys.stub.ListApiKeys, request, **staff)
        assert [one.id for one in listed.api_keys] == shown
    rotation = pb.RotateApiKeyRequest(request_id="r", api_key_id=created.api_key.id)
    assert (await call(keys.stub.RotateApiKey, rotation, **staff)).secret
    error = await refused(keys.stub.CreateApiKey, keys.request(owner_id="mer_other"), **staff)
    assert error.code is grpc.StatusCode.PERMISSION_DENIED
    for change in ("state = 'DISABLED'", "state = 'ACTIVE', merchant_id = NULL"):
        await keys.pool.execute(f"UPDATE credential SET {change} WHERE user_id = $1", user_id)
        error = await refused(keys.stub.CreateApiKey, keys.request(), **staff)
        assert error.code is grpc.StatusCode.PERMISSION_DENIED
        assert not (await call(keys.stub.ListApiKeys, pb.ListApiKeysRequest(), **staff)).api_keys
        for one in (created.api_key, foreign):
            got = pb.GetApiKeyRequest(api_key_id=one.id)
            assert (await refused(keys.stub.GetApiKey, got, **staff)).code.name == "NOT_FOUND"


async def test_a_user_who_makes_a_key_is_told(keys: Keys) -> None:
    """It outlives the user's password, and somebody else may have made it. Once for each secret;
    not for what is refused, repeated or ended, nor of what others make.
    """
    user_id, staff = await keys.hire()
    request = keys.request()
    created = (await call(keys.stub.CreateApiKey, request, **staff)).api_key
    (told,) = await keys.notices()
    assert (told["user_id"], told["told"], told["token"]) == (user_id, Told.API_KEY_MADE, "")
    await call(keys.stub.CreateApiKey, request, **staff)
    await refused(keys.stub.CreateApiKey, keys.request(owner_id="mer_other"), **staff)
    await keys.created()
    await call(keys.stub.CreateApiKey, keys.request(), **SHOP)
    assert await keys.notices() == [told]
    rotation = pb.RotateApiKeyRequest(request_id="r", api_key_id=created.id)
    for _ in range(2):
        await call(keys.stub.RotateApiKey, rotation, **staff)
    await call(
        keys.stub.RevokeApiKey,
        pb.RevokeApiKeyRequest(request_id="e", api_key_id=created.id),
        **staff,
    )
    found = await keys.notices()
    assert [one["user_id"] for one in found] == [user_id] * 2
    assert len({one["id"] for one in found}) == 2


async def test_lists_page_newest_first(keys: Keys) -> None:
    made = [(await keys.created()).api_key.id for _ in range(5)]
    found, token = list[str](), ""
    while True:
        request = pb.ListApiKeysRequest(page_size=2, page_token=token)
        page = await call(keys.stub.ListApiKeys, request, metadata=ADMIN)
        found += [one.id for one in page.api_keys]
        token = page.next_page_token
        if not token:
            break
    assert sorted(found) == sorted(made)
    got = await call(keys.stub.GetApiKey, pb.GetApiKeyRequest(api_key_id=made[0]), metadata=ADMIN)
    assert got.api_key.state == api_key_pb2.ApiKey.STATE_ACTIVE


async def test_rotation_overlaps_and_keeps_the_owner(keys: Keys) -> None:
    created = await keys.created()
    request = pb.RotateApiKeyRequest(request_id="r-1", api_key_id=created.api_key.id)
    request.overlap.seconds = 60
    rotated, _ = await call_replayed(keys.stub.RotateApiKey, request, metadata=ADMIN)
    again, replayed = await call_replayed(keys.stub.RotateApiKey, request, metadata=ADMIN)
    assert (again.api_key, again.secret, replayed) == (rotated.api_key, "", True)
    for secret in (created.secret, rotated.secret):
        assert await keys.told(secret) == "mer_shop"
    keys.clock.advance(60_000)
    assert await keys.told(created.secret) == "API_KEY_INVALID"
    assert await keys.told(rotated.secret) == "mer_shop"
    request = pb.RotateApiKeyRequest(request_id="r-2", api_key_id=created.api_key.id)
    request.overlap.seconds = 8 * 86_400
    error = await refused(keys.stub.RotateApiKey, request, metadata=ADMIN)
    assert error.fields == ["overlap"]


async def test_revoking_ends_a_key_within_the_cache(keys: Keys) -> None:
    created = await keys.created()
    assert await keys.told(created.secret) == "mer_shop"
    request = pb.RevokeApiKeyRequest(request_id="v-1", api_key_id=created.api_key.id)
    revoked, _ = await call_replayed(keys.stub.RevokeApiKey, request, metadata=ADMIN)
    assert revoked.api_key.state == api_key_pb2.ApiKey.STATE_REVOKED
    assert (await call_replayed(keys.stub.RevokeApiKey, request, metadata=ADMIN))[1]
    # This check is another process's: it believes what it has read, and not for longer.
    keys.clock.advance(CACHE_MS - 1)
    assert await keys.told(created.secret) == "mer_shop"
    keys.clock.advance(1)
    assert await keys.told(created.secret) == "API_KEY_REVOKED"
    rotate = pb.RotateApiKeyRequest(request_id="v-2", api_key_id=created.api_key.id)
    error = await refused(keys.stub.RotateApiKey, rotate, metadata=ADMIN)
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")


async def test_a_key_expires(keys: Keys) -> None:
    created = await keys.created(expire_time=timestamp(keys.clock.now_ms() + 1000))
    assert await keys.told(created.secret) == "mer_shop"
    keys.clock.advance(1000)
    assert await keys.told(created.secret) == "API_KEY_EXPIRED"


async def test_unknown_and_too_many_keys(keys: Keys) -> None:
    unknown = pb.GetApiKeyRequest(api_key_id=UNKNOWN)
    assert (await refused(keys.stub.GetApiKey, unknown, metadata=ADMIN)).reason == (
        "API_KEY_NOT_FOUND"
    )
    for _ in range(KEYS_MAX):
        await keys.created()
    error = await refused(keys.stub.CreateApiKey, keys.request(), metadata=ADMIN)
    assert (error.code.name, error.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_API_KEYS")


def _unknown(number: int) -> str:
    """A secret that looks right, of a key that nobody has."""
    return new_token(f"key_{number:034x}", random_bytes=secrets.token_bytes).text


async def _at_once(keys: Keys, secrets_shown: Sequence[str]) -> Counter[str]:
    """What calls are told that all come while PostgreSQL keeps them waiting."""
    async with keys.pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE api_key IN ACCESS EXCLUSIVE MODE")
            calls = [asyncio.create_task(keys.told(one)) for one in secrets_shown]
            await until_waiting(keys.pool)
        return Counter(await asyncio.gather(*calls))


async def test_calls_at_once_with_a_key_that_was_not_seen_ask_once(keys: Keys) -> None:
    """As after a restart, under load: nobody takes them for junk. Wrong secrets of the key are."""
    created = await keys.created()
    busy = [created.secret] * (JUNK_MAX * 3)
    assert await _at_once(keys, busy) == {"mer_shop": len(busy)}
    keys.clock.advance(CACHE_MS)
    assert await _at_once(keys, busy) == {"mer_shop": len(busy)}, "nor when it is read again"
    other = (await keys.created()).api_key.id
    wrong = new_token(other, random_bytes=secrets.token_bytes).text
    assert await _at_once(keys, [wrong] * (JUNK_MAX + 5)) == {
        "API_KEY_INVALID": JUNK_MAX,
        "RATE_LIMITED": 5,
    }


async def test_who_gives_up_takes_nobody_along(keys: Keys) -> None:
    """The call that asks for all is cancelled while it waits; that was no junk, either."""
    created = await keys.created()
    async with keys.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE api_key IN ACCESS EXCLUSIVE MODE")
        first, second = (asyncio.create_task(keys.told(created.secret)) for _ in range(2))
        await until_waiting(keys.pool)
        first.cancel()
    assert await second == "mer_shop"
    assert first.cancelled()
    assert len([one for one in keys.check._junk._counts.values() if one[1]]) == 0


async def test_an_address_shows_little_junk(keys: Keys) -> None:
    """Beyond the bound nothing is looked up for it; who has a key that was seen goes on."""
    secret = (await keys.created()).secret
    assert await keys.told(secret) == "mer_shop"
    other = (await keys.created()).secret
    junk = ["hf_junk", *(_unknown(number) for number in range(JUNK_MAX - 1))]
    answers = await asyncio.gather(*(keys.told(one) for one in [*junk, *junk]))
    assert Counter(answers) == {"API_KEY_INVALID": JUNK_MAX, "RATE_LIMITED": JUNK_MAX}
    assert await keys.told(secret) == "mer_shop"
    assert await keys.told(other) == "RATE_LIMITED"
    assert await keys.told(other, "192.0.2.2") == "mer_shop"
    keys.clock.advance(WINDOW_MS)
    assert await keys.told(_unknown(JUNK_MAX)) == "API_KEY_INVALID"
