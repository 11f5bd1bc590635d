"""After a mesh has worked: nothing secret and nothing personal lies anywhere in clear.

All that was sent and shown (telling.py, telling_others.py) is looked for wherever bytes are kept.
"""

from __future__ import annotations

import asyncio

from runtime import redis
from runtime.devstack.supervisor import Devstack
from tests import sweep
from tests.e2e.security.telling import Told


async def test_the_stores_hold_nothing_in_clear(full_mesh: Devstack, told: Told) -> None:
    """A logical backup and both Valkeys: neither secrets, nor people, nor the keys to them."""
    settings = full_mesh.settings
    places = {"PostgreSQL": await sweep.rows(full_mesh)}
    for name, url in (("money", settings.redis_url), ("cache", settings.cache_url)):
        server = f"valkey-{name}"
        async with redis.client(settings, url or "", server=server, user="test") as valkey:
            places[server] = await sweep.keys(valkey)
    assert all(len(one) > 500 for one in places.values())
    needles = {**told.secret, **told.mailed, **told.personal, **sweep.key_material(full_mesh)}
    assert not sweep.leaks(places, needles)
    assert not sweep.card_numbers(places)


async def test_the_files_hold_nothing_in_clear(full_mesh: Devstack, told: Told) -> None:
    """The whole home but its keys: data as it lies on disk, logs, documents, configuration. So a
    backup without `secrets` and `pki` reveals nothing.
    """
    await sweep.rows(full_mesh)  # writes a checkpoint
    places = await asyncio.to_thread(sweep.files, full_mesh)
    for part in ("postgres", "valkey-money", "logs", "envoy", "documents"):
        assert any(part in name for name in places), f"nothing of {part}"
    for part in (".aof", "pg_wal", "envoy.log", "gateway.log", "envoy.yaml"):
        assert any(part in name for name in places), f"no {part}"
    needles = {**told.secret, **told.mailed, **told.personal, **sweep.key_material(full_mesh)}
    # Mails name those whom they are for, and carry what is for them; nothing else is in them.
    mails = {name: places.pop(name) for name in list(places) if name.startswith("mails/")}
    addressed = (told.personal["the name"], told.personal["the email"])
    others = {name: one for name, one in told.personal.items() if one not in addressed}
    assert mails
    assert not sweep.leaks(mails, {**told.secret, **others, **sweep.key_material(full_mesh)})
    assert not sweep.card_numbers(mails)
    # What the database itself knows was looked through in every form above; here it is large, and
    # has what was deleted, too.
    large = {name: places.pop(name) for name in list(places) if "postgres/" in name}
    assert not await asyncio.to_thread(sweep.leaks, large, needles, only=("clear", "hex"))
    assert not sweep.leaks(places, needles)
    texts = {name: one for name, one in places.items() if name.startswith(("logs/", "envoy/"))}
    assert not sweep.card_numbers(texts)


async def test_no_process_is_told_a_secret_where_others_see_it(
    full_mesh: Devstack, told: Told
) -> None:
    """Command lines and environments."""
    needles = {**told.secret, **told.mailed, **sweep.key_material(full_mesh)}
    assert not sweep.leaks(sweep.processes(), needles)
