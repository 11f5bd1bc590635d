"""Versions of key rings that nothing needs go; those that rows name stay."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from accounts.person_keys import person_keys
from accounts.vault.keys import vault_keys
from gateway.endings import Ending
from gateway.identity_store import IdentityStore
from gateway.rings import Rings
from notify.notices.worker import RING as NOTICES
from notify.secrets import RING as WEBHOOKS
from runtime.cli.key_uses import uses
from runtime.cli.keys_prune import prune
from runtime.clock import ManualClock, datetime_of
from runtime.key_ring import VERSIONS_MAX, KeyRing, RingError, key_ring
from runtime.outbox import append
from runtime.secrets import FileSecrets
from tests.databases import Database

#: Nobody notes which version a recovery code was hashed with, nor a number that was removed;
#: imported people's ids follow from the first version of theirs.
NEVER = {"gateway-recovery-codes", "person-references", "vault-used"}
USES = uses(accounts_request_h=24, gateway_request_h=24)
CREDENTIAL = (
    "INSERT INTO credential (user_id, email_hash, email_key, password_hash, roles, state, version,"
    " create_time, update_time) VALUES ($1, $2, $3, 'x', '{cardholder}', 'ACTIVE', 1, now(), now())"
)
FACTOR = (
    "INSERT INTO second_factor (user_id, secret, confirmed, last_step, create_time)"
    " VALUES ($1, $2, false, 0, now())"
)
USER_ID = "usr_" + "1" * 34


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def _turned(folder: Path, name: str, clock: ManualClock, *, times: int) -> KeyRing:
    """A ring that was turned so often, each time long before the next."""
    ring = key_ring(FileSecrets(folder), name, clock)
    for _ in range(times):
        clock.advance(2 * USES[name].age_ms)
        ring.rotate()
    return ring


def test_every_ring_has_its_rule(tmp_path: Path, clock: ManualClock) -> None:
    secrets = FileSecrets(tmp_path)
    made: list[Any] = [
        Rings.of(secrets, clock),
        vault_keys(secrets, clock),
        person_keys(secrets, clock),
    ]
    names = {getattr(rings, one.name)._name for rings in made for one in fields(rings)}
    assert set(USES) == (names | {"gateway-api-keys", NOTICES, WEBHOOKS}) - NEVER


@pytest.mark.parametrize("name", USES)
async def test_what_nothing_needs_goes_and_rotating_goes_on(
    database: Database, tmp_path: Path, clock: ManualClock, name: str
) -> None:
    """The store of each ring is asked with its service's login; here it is empty."""
    ring = _turned(tmp_path, name, clock, times=VERSIONS_MAX - 1)
    with pytest.raises(RingError, match="holdfast keys prune"):
        ring.rotate()
    newest = ring.keys[-2:]
    clock.advance(USES[name].age_ms)
    removed = await prune(database.settings, ring, USES[name])
    assert (len(removed), ring.keys) == (VERSIONS_MAX - 2, newest), "the last was used too lately"
    ring.rotate()


NAMING = """
SELECT table_schema AS schema, table_name AS name, column_name AS column
FROM information_schema.columns
WHERE table_schema IN ('accounts', 'gateway', 'notify', 'payments', 'stats', 'vault')
    AND column_name ~ '^(email_|subject_|secret_|previous_|hash_|cvv_)?key(_id)?$'
    AND column_name <> 'key'
"""


async def test_every_column_that_names_a_version_is_asked(database: Database) -> None:
    """A ring whose rows have moved to another table would lose what these need."""
    owner = await asyncpg.connect(database.owner_dsn)
    found = await owner.fetch(NAMING)
    await owner.close()
    assert len(found) > 8
    for one in found:
        asking = re.compile(rf"SELECT (DISTINCT )?{one['column']} FROM {one['name']}\b")
        sqls = [use.sql for use in USES.values() if use.service == one["schema"]]
        assert any(map(asking.search, sqls)), dict(one)


async def test_what_rows_need_stays(database: Database, tmp_path: Path, clock: ManualClock) -> None:
    emails = _turned(tmp_path, "gateway-emails", clock, times=1)
    users = _turned(tmp_path, "gateway-users", clock, times=1)
    identities = _turned(tmp_path, "gateway-identities", clock, times=1)
    connection = await asyncpg.connect(
        database.dsn("gateway"), server_settings={"search_path": "gateway"}
    )
    key_id, digest = emails.mac(b"ada@example.com")
    await connection.execute(CREDENTIAL, USER_ID, digest, key_id)
    secret = users.seal(b"totp", context=b"")
    await connection.execute(FACTOR, USER_ID, secret)
    linked = identities.mac(b"https://issuer.example\nada")
    now = datetime_of(clock.now_ms())
    assert await IdentityStore(connection).link("https://issuer.example", linked, USER_ID, now)
    # Waits in the same table as what is sealed, and is not.
    await append(connection, Ending(user_id=USER_ID, version=2).message)
    await connection.close()
    for ring, named in (
        (emails, emails.current),
        (users, users.current),
        (identities, identities.current),
    ):
        use = USES[ring._name]
        for _ in range(3):
            clock.advance(2 * use.age_ms)
            ring.rotate()
        clock.advance(2 * use.age_ms)
        await prune(database.settings, ring, use)
        assert ring.keys == (named, ring.current)
    assert users.open(secret, context=b"") == b"totp"


REQUEST = (
    "INSERT INTO request_record (principal, request_id, method, fingerprint, create_time)"
    " VALUES ('usr_1', 'r', '/s/M', decode(repeat('00', 32), 'hex'), now() - interval '25 days')"
)


@pytest.mark.parametrize("name", [name for name, use in USES.items() if use.requests_of])
async def test_what_remembered_requests_need_stays(
    database: Database, tmp_path: Path, clock: ManualClock, name: str
) -> None:
    """Though this process believes that they are forgotten after a day: the mesh has its own
    settings. Method: versions were replaced 30, 20 and 10 days ago; the request is of 25 days ago.
    """
    use, day_ms = USES[name], 86_400_000
    ring = key_ring(FileSecrets(tmp_path), name, clock)
    made = [ring.current.id]
    for days in (20, 10, 10):
        clock.advance(days * day_ms)
        made.append(ring.rotate().id)
    assert use.age_ms < 10 * day_ms
    connection = await asyncpg.connect(
        database.dsn(use.requests_of), server_settings={"search_path": use.requests_of}
    )
    await connection.execute(REQUEST)
    await connection.close()
    clock.advance(10 * day_ms)
    assert await prune(database.settings, ring, use) == (made[0],)
    assert [key.id for key in ring.keys] == made[1:]
