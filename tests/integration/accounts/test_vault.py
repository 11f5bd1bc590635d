"""The vault on real PostgreSQL: one number per card, its keys turn, nobody else reads it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from accounts.vault.keys import VaultKeys, vault_keys
from accounts.vault.pan import is_pan
from accounts.vault.store import Reveal, SealedNumber, VaultStore
from accounts.vault.vault import CardNumber, Vault, Wanted
from runtime.clock import ManualClock
from runtime.errors import FailedPrecondition, ResourceExhausted
from runtime.postgres import connect_pool
from runtime.secrets import FileSecrets
from tests.databases import Database

BIN = "400000"
CARDS = [f"card_0a{number:032x}" for number in range(300)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys(tmp_path: Path, clock: ManualClock) -> VaultKeys:
    return vault_keys(FileSecrets(tmp_path / "secrets"), clock)


@pytest.fixture
async def pool(accounts_database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with await connect_pool(accounts_database.settings, "vault") as connected:
        yield connected


@pytest.fixture
def vault(pool: asyncpg.Pool, keys: VaultKeys, clock: ManualClock) -> Vault:
    return Vault(VaultStore(pool), keys, clock, reveals_per_hour=1_000)


async def _issue(vault: Vault, card_id: str) -> CardNumber:
    return await vault.issue(card_id, bin_digits=BIN, expiry_month=1, expiry_year=2031)


#: A repeated request shows a card for a while only.
_numbers = itertools.count()


async def _pan(vault: Vault, card_id: str, *, month: int = 1, year: int = 2031) -> tuple[str, str]:
    name = f"r-{next(_numbers)}"
    reveal = Reveal(principal="test", request_id=name, card_id=card_id, reason="test")
    shown = await vault.reveal(reveal, expiry_month=month, expiry_year=year)
    assert (shown.expiry_month, shown.expiry_year) == (month, year)
    return shown.pan, shown.cvv


async def test_a_card_keeps_its_number(vault: Vault) -> None:
    """Goal: fifty repetitions at once, of two cards, make two numbers."""
    issued = await asyncio.gather(*(_issue(vault, CARDS[n % 2]) for n in range(50)))
    assert len(set(issued)) == 2
    assert (await _pan(vault, CARDS[0]))[0].endswith(issued[0].last4)


async def test_no_two_cards_have_one_number(
    pool: asyncpg.Pool, keys: VaultKeys, clock: ManualClock
) -> None:
    """Goal: a number that is drawn twice is drawn again; a full BIN is said to be full."""
    drawn = itertools.chain([b"\x07", b"\x07", b"\x08"], itertools.repeat(b"\x08"))
    vault = Vault(VaultStore(pool), keys, clock, random_bytes=lambda n: next(drawn) * n)
    first, second = [await _issue(vault, card_id) for card_id in CARDS[:2]]
    assert first != second
    with pytest.raises(ResourceExhausted, match="another BIN"):
        await _issue(vault, CARDS[2])


async def test_of_many_cards_those_whose_number_is_taken_draw_again(
    pool: asyncpg.Pool, keys: VaultKeys, clock: ManualClock
) -> None:
    """Goal: at a million cards a tenth of what an eight-digit BIN draws is taken: no batch may fail
    for it, nor go one by one. Method: numbers that are taken before, and twice within the batch.
    """
    drawn = iter([b"\x07", b"\x08", b"\x08", b"\x07", b"\x09"])
    vault = Vault(VaultStore(pool), keys, clock, random_bytes=lambda n: next(drawn) * n)
    first = await _issue(vault, CARDS[0])
    wanted = [
        Wanted(card_id=card_id, bin=BIN, expiry_month=1, expiry_year=2031) for card_id in CARDS
    ]
    found = await vault.issue_all(wanted[:3])
    assert found[CARDS[0]] == first
    assert await vault.issue_all(wanted[:3]) == found
    assert len({(await _pan(vault, card_id))[0] for card_id in CARDS[:3]}) == 3


async def test_renewal_keeps_the_number_and_changes_the_cvv(vault: Vault) -> None:
    await _issue(vault, CARDS[0])
    pan, cvv = await _pan(vault, CARDS[0])
    values = set()
    for year in range(2032, 2040):
        renewed = await vault.renew(CARDS[0], expiry_month=2, expiry_year=year)
        assert (renewed.expiry_month, renewed.expiry_year) == (2, year)
        assert await _pan(vault, CARDS[0]) == (pan, cvv)
        again, other = await _pan(vault, CARDS[0], month=2, year=year)
        assert again == pan
        values.add(other)
    assert len(values | {cvv}) > 2
    with pytest.raises(FailedPrecondition, match="no number"):
        await vault.renew(CARDS[1], expiry_month=2, expiry_year=2035)


async def test_a_number_is_never_given_again(
    pool: asyncpg.Pool, keys: VaultKeys, clock: ManualClock
) -> None:
    """Goal: merchants still have the number of somebody who was erased; they must not charge a
    stranger. Method: the same draws again, for one card and for many, also when no key is left by
    which the number was found; whose it was is said nowhere.
    """
    first = b"\x07"
    drawn = itertools.chain([first, first, b"\x08", first, b"\x09"])
    vault = Vault(VaultStore(pool), keys, clock, random_bytes=lambda n: next(drawn) * n)
    await _issue(vault, CARDS[0])
    pan, _ = await _pan(vault, CARDS[0])
    for _ in range(2):
        await vault.forget(CARDS[:1])
    assert await vault.resolve(pan) is None
    assert [tuple(row.keys()) for row in await pool.fetch("SELECT * FROM used_number")] == [
        ("pan_hash",)
    ]
    clock.advance(1_000)
    keys.search.rotate()
    keys.used.rotate()
    clock.advance(100_000_000)
    assert keys.search.prune(unused_ms=1)
    await _issue(vault, CARDS[1])
    wanted = Wanted(card_id=CARDS[2], bin=BIN, expiry_month=1, expiry_year=2031)
    await vault.issue_all([wanted])
    assert next(drawn, None) is None
    assert len({pan, *[(await _pan(vault, one))[0] for one in CARDS[1:3]]}) == 3


async def test_a_number_opens_for_its_card_only(
    vault: Vault, pool: asyncpg.Pool, keys: VaultKeys
) -> None:
    """Goal: who can write to the database cannot show somebody else's number as their own."""
    for card_id in CARDS[:2]:
        await _issue(vault, card_id)
    first, second = [await VaultStore(pool).number(card_id) for card_id in CARDS[:2]]
    assert isinstance(first, SealedNumber)
    assert isinstance(second, SealedNumber)
    assert first.pan_sealed not in repr(first).encode()
    with pytest.raises(ValueError, match="another place, or changed"):
        keys.open(second.pan_sealed, card_id=first.card_id)
    damaged = first.pan_sealed[:-1] + bytes([first.pan_sealed[-1] ^ 1])
    with pytest.raises(ValueError, match="another place, or changed"):
        keys.open(replace(first, pan_sealed=damaged).pan_sealed, card_id=first.card_id)


async def test_keys_turn_while_numbers_are_read(
    vault: Vault, pool: asyncpg.Pool, keys: VaultKeys, clock: ManualClock
) -> None:
    """Goal: every number moves to the new keys; each can be read and found at every moment; after
    that the old keys are not needed.
    """
    await asyncio.gather(*(_issue(vault, card_id) for card_id in CARDS))
    before = dict(zip(CARDS, [await _pan(vault, one) for one in CARDS], strict=True))
    old = keys.sealing.current.id, keys.search.current.id
    clock.advance(1_000)
    keys.sealing.rotate()
    keys.search.rotate()
    clock.advance(61_000)
    rotating = asyncio.create_task(vault.rotate())
    reads = 0
    while not rotating.done():
        card_id = CARDS[reads % len(CARDS)]
        assert await _pan(vault, card_id) == before[card_id]
        assert (await vault.resolve(before[card_id][0]) or "")[5:] == card_id[5:]
        reads += 1
    assert await rotating == len(CARDS)
    assert reads
    assert await vault.rotate() == 0
    assert (
        await pool.fetchval(
            "SELECT count(*) FROM card_number WHERE key_id = $1 OR hash_key_id = $2", *old
        )
        == 0
    )
    clock.advance(100_000_000)
    assert keys.sealing.prune(unused_ms=1) == (old[0],)
    assert keys.search.prune(unused_ms=1) == (old[1],)
    for card_id, (pan, cvv) in before.items():
        assert is_pan(pan)
        assert await _pan(vault, card_id) == (pan, cvv)
        assert (await vault.resolve(pan) or "")[5:] == card_id[5:]


async def test_roles_see_their_own_schema_only(accounts_database: Database) -> None:
    """Goal: who breaks into accounts' login reads no number, and the vault's login no person."""
    for role, table in (
        ("accounts", "vault.card_number"),
        ("accounts", "vault.reveal"),
        ("vault", "accounts.card"),
        ("vault", "accounts.account"),
        ("authz", "vault.card_number"),
        ("gateway", "vault.card_number"),
    ):
        connection = await asyncpg.connect(accounts_database.dsn(role))
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT * FROM {table}")
        finally:
            await connection.close()
