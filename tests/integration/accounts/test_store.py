from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from accounts.account import Account, AccountState
from accounts.card import Card, CardKind, CardState
from accounts.requests import Answer
from accounts.store import Store
from runtime.errors import Unavailable
from runtime.paging import Page
from runtime.postgres import connect_pool
from runtime.request_records import RequestKey, forget_requests
from tests.accounts_mesh import OTHER_OWNER, OWNER
from tests.databases import Database

NOW_MS = 1_800_000_000_123
ACCOUNT_ID = "acct_0a" + "3" * 32
CARD_ID = "card_0a" + "4" * 32
KEY = RequestKey(principal="p", request_id="r", method="M", fingerprint=b"f" * 32)
ANSWER = Answer(response=b"answer", outbox_key=ACCOUNT_ID)
TOP = Page(size=10, after=None, scope="")


@pytest.fixture
async def pool(accounts_database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with await connect_pool(accounts_database.settings, "accounts") as connected:
        yield connected


@pytest.fixture
def store(pool: asyncpg.Pool) -> Store:
    return Store(pool)


def _account(**fields: Any) -> Account:
    valid: dict[str, Any] = {
        "id": ACCOUNT_ID,
        "owner_id": OWNER,
        "programme_id": "prog_standard",
        "parent_account_id": None,
        "state": AccountState.OPEN,
        "currency_code": "USD",
        "credit_limit_minor": 2**53 - 1,
        "version": 1,
        "create_time_ms": NOW_MS,
        "update_time_ms": NOW_MS + 1,
    }
    return Account(**(valid | fields))


def _card(**fields: Any) -> Card:
    valid: dict[str, Any] = {
        "id": CARD_ID,
        "account_id": ACCOUNT_ID,
        "root_card_id": CARD_ID,
        "kind": CardKind.SINGLE_USE,
        "state": CardState.ACTIVE,
        "last4": "0007",
        "expiry_month": 12,
        "expiry_year": 2031,
        "version": 1,
        "create_time_ms": NOW_MS,
        "update_time_ms": NOW_MS + 1,
    }
    return Card(**(valid | fields))


async def _insert(store: Store, entity: Account | Card) -> None:
    async with store.transaction(now_ms=NOW_MS) as transaction:
        if isinstance(entity, Account):
            await transaction.insert_account(entity)
        else:
            await transaction.insert_card(entity)


async def test_what_is_written_is_read_back(store: Store) -> None:
    account, card = _account(), _card()
    async with store.transaction(now_ms=NOW_MS) as transaction:
        await transaction.insert_account(account)
        await transaction.insert_card(card)
    assert await store.account(ACCOUNT_ID) == account
    assert await store.card(CARD_ID) == card
    assert await store.accounts(TOP, owner_id="") == [account]
    assert await store.accounts(TOP, owner_id=OTHER_OWNER) == []
    assert await store.cards(TOP, account_id=ACCOUNT_ID) == [card]

    changed = replace(account, version=2, credit_limit_minor=0, state=AccountState.CLOSING)
    frozen = replace(card, version=2, state=CardState.FROZEN)
    async with store.transaction(now_ms=NOW_MS) as transaction:
        assert await transaction.account(ACCOUNT_ID) == account
        await transaction.update_account(changed)
        assert await transaction.card(CARD_ID) == card
        await transaction.update_card(frozen)
    assert await store.account(ACCOUNT_ID) == changed
    assert await store.card(CARD_ID) == frozen


async def test_every_change_has_an_outbox_row_behind_its_account(
    store: Store, pool: asyncpg.Pool
) -> None:
    async with store.transaction(now_ms=NOW_MS) as transaction:
        await transaction.insert_account(_account())
        await transaction.insert_card(_card())
        await transaction.update_account(_account(version=2))
        await transaction.update_card(_card(version=2))
    rows = await pool.fetch("SELECT topic, key FROM outbox ORDER BY id")
    assert [row["topic"] for row in rows] == ["account", "card", "account", "card"]
    assert {row["key"] for row in rows} == {ACCOUNT_ID}


async def test_an_exception_leaves_nothing_behind(store: Store, pool: asyncpg.Pool) -> None:
    async def fail() -> None:
        async with store.transaction(now_ms=NOW_MS) as transaction:
            assert await transaction.claim(KEY) is None
            await transaction.insert_account(_account())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    for table in ("account", "request_record", "outbox"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_request_id_is_claimed_once_and_others_wait_for_its_outcome(store: Store) -> None:
    """The first holder rolls back, so the second gets the id; the third gets its answer."""
    order: list[str] = []

    async def use(name: str, *, fail: bool) -> None:
        async with store.transaction(now_ms=NOW_MS) as transaction:
            stored = await transaction.claim(KEY)
            order.append(f"{name} {'claims' if stored is None else 'replays'}")
            await asyncio.sleep(0.05)
            if fail:
                raise ZeroDivisionError
            if stored is None:
                await transaction.answer(KEY, ANSWER)
            else:
                assert stored.answer == ANSWER
                assert (stored.method, stored.fingerprint) == (KEY.method, KEY.fingerprint)

    first = asyncio.create_task(use("first", fail=True))
    await asyncio.sleep(0.02)
    second = asyncio.create_task(use("second", fail=False))
    await asyncio.sleep(0.02)
    third = asyncio.create_task(use("third", fail=False))
    results = await asyncio.gather(first, second, third, return_exceptions=True)
    assert isinstance(results[0], ZeroDivisionError)
    assert list(results[1:]) == [None, None]
    # Which of the two that wait comes next is PostgreSQL's choice.
    assert order[0] == "first claims"
    assert [entry.split()[1] for entry in order[1:]] == ["claims", "replays"]


async def test_forgets_old_requests_only(store: Store, pool: asyncpg.Pool) -> None:
    for number, now_ms in enumerate((NOW_MS - 10, NOW_MS, NOW_MS + 10)):
        async with store.transaction(now_ms=now_ms) as transaction:
            await transaction.claim(replace(KEY, request_id=f"r-{number}"))
    assert await forget_requests(pool, before_ms=NOW_MS) == 1
    assert await forget_requests(pool, before_ms=NOW_MS) == 0
    left = await pool.fetch("SELECT request_id FROM request_record ORDER BY 1")
    assert [row["request_id"] for row in left] == ["r-1", "r-2"]


@pytest.mark.parametrize(
    "fields",
    [
        {"owner_id": OTHER_OWNER},
        {"parent_account_id": ACCOUNT_ID},
        {"credit_limit_minor": -1},
        {"credit_limit_minor": 2**53},
        {"version": 0},
        {"currency_code": "usd"},
        {"state": "LOST"},
    ],
)
async def test_the_schema_refuses_impossible_accounts(store: Store, fields: dict[str, Any]) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await _insert(store, _account(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "card_0b" + "4" * 32, "root_card_id": "card_0b" + "4" * 32},
        {"last4": "12"},
        {"expiry_month": 13},
        {"expiry_year": 31},
        {"version": 0},
    ],
)
async def test_the_schema_refuses_impossible_cards(store: Store, fields: dict[str, Any]) -> None:
    await _insert(store, _account())
    with pytest.raises(asyncpg.CheckViolationError):
        await _insert(store, _card(**fields))


async def test_lost_connection_is_unavailable(store: Store, pool: asyncpg.Pool) -> None:
    with pytest.raises(Unavailable) as refused:
        async with store.transaction(now_ms=NOW_MS) as transaction:
            await transaction._connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert refused.value.reason == "STORAGE_UNAVAILABLE"
    assert await store.account(ACCOUNT_ID) is None
