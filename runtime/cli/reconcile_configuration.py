"""What accounts has decided (accounts, their users, cards, rules) against what the authorizer has:
a part of `holdfast reconcile`. Reads both stores, a page at a time, and writes nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
from redis.asyncio import Redis

from accounts import projector
from accounts.projection_store import STEPS, read_page, unknown
from authz import keys
from authz.reconcile import ABSENT, Difference
from authz.rehydrate_rows import card_write
from authz.rehydrate_rules import Rules
from holdfast.authz.v1 import projection_service_pb2 as projection
from runtime import ids, redis
from runtime.outbox import Message
from runtime.settings import Settings

#: What is under way is delivered within this: an object differs only if it does at each look.
LOOKS = 6
PAUSE_S = 0.25
#: Keys that one look at Valkey passes over, and those among them that configuration may have.
SCAN_COUNT = 1_000
_CONFIGURATION = "{??}:[acur][acsu]*"
_COMPARED = "Valkey / accounts"


class Expected(NamedTuple):
    """Fields that a key must have."""

    subject: str
    key: str
    fields: Mapping[str, str]


async def reconcile_configuration(
    settings: Settings, *, on_difference: Callable[[Difference], None]
) -> int:
    """Compares everything; returns how many differences there are."""
    assert settings.redis_url is not None, "the settings are those of a running installation"
    differences = 0
    async with (
        _accounts(settings) as accounts,
        redis.client(
            settings, settings.redis_url, server="valkey-money", user="operator"
        ) as valkey,
    ):
        for step in range(STEPS):
            place: str | None = ""
            while place is not None:
                found, place = await _compare_page(accounts, valkey, step, place)
                for difference in found:
                    differences += 1
                    on_difference(difference)
        async for difference in _unknown(accounts, valkey):
            differences += 1
            on_difference(difference)
    return differences


async def _compare_page(
    accounts: asyncpg.Connection, valkey: Redis, step: int, after_place: str
) -> tuple[list[Difference], str | None]:
    """What differs in a page at each of several looks, and the place of the next page."""
    lasting: list[Difference] = []
    place: str | None = None
    for look in range(LOOKS):
        page = await read_page(accounts, step, after_place)
        place = page.last_place if page.messages else None
        expected = [one for message in page.messages for one in expected_of(message)]
        found = await _differences(valkey, expected)
        suspects = {(one.subject, one.field) for one in lasting}
        again = [one for one in found if look == 0 or (one.subject, one.field) in suspects]
        lasting = again
        if not lasting:
            break
        await asyncio.sleep(PAUSE_S)
    return lasting, place


async def _differences(valkey: Redis, expected: list[Expected]) -> list[Difference]:
    pipeline = valkey.pipeline(transaction=False)
    for one in expected:
        pipeline.hmget(one.key, list(one.fields))
    found: list[Difference] = []
    for one, values in zip(expected, await pipeline.execute(), strict=True):
        for (field, wanted), value in zip(one.fields.items(), values, strict=True):
            text = "" if value is None else value.decode("utf-8", "surrogateescape")
            if text != wanted:
                shown = ABSENT if value is None else _shown(field, text)
                found.append(
                    Difference(
                        subject=one.subject,
                        field=field,
                        found=shown,
                        expected=_shown(field, wanted),
                        compared=_COMPARED,
                    )
                )
    return found


async def _unknown(accounts: asyncpg.Connection, valkey: Redis) -> AsyncIterator[Difference]:
    """What only Valkey has. Accounts writes first: what is not there is not under way either."""
    told: set[tuple[str, str]] = set()
    cursor: int | None = None
    while cursor != 0:
        cursor, raw = await valkey.scan(cursor or 0, match=_CONFIGURATION, count=SCAN_COUNT)
        names: defaultdict[str, set[str]] = defaultdict(set)
        for topic, name in filter(None, (_object_of(_text(key)) for key in raw)):
            names[topic].add(name)
        for topic, some in names.items():
            for name in await unknown(accounts, topic, some):
                if (topic, name) not in told:
                    told.add((topic, name))
                    yield Difference(
                        subject=name,
                        field=topic,
                        found="present",
                        expected=f"{ABSENT} in accounts",
                        compared=_COMPARED,
                    )


def _object_of(key: str) -> tuple[str, str] | None:
    """Kind and name of what has a key; the inverse of `authz.keys`."""
    _, kind, *rest = key.split(":")
    match kind, rest:
        case "acct", [name]:
            return projector.ACCOUNT_TOPIC, f"{ids.ACCOUNT}_{name}"
        case "card", [name]:
            return projector.CARD_TOPIC, f"{ids.CARD}_{name}"
        case "user", [name, user_id]:
            return projector.ACCOUNT_USER_TOPIC, f"{ids.ACCOUNT}_{name} {user_id}"
        case "rules", [scope_id]:
            return projector.RULES_TOPIC, scope_id
    return None


def expected_of(message: Message) -> Iterator[Expected]:
    """What the authorizer's scripts write of an object."""
    match message.topic:
        case projector.ACCOUNT_TOPIC:
            yield _account(projection.ApplyAccountRequest.FromString(message.payload))
        case projector.CARD_TOPIC:
            card = projection.ApplyCardRequest.FromString(message.payload)
            _, key, *pairs = card_write(card).commands[0]
            yield _expected(card.card_id, key, {"ctl": ""} | _fields(pairs))
        case projector.ACCOUNT_USER_TOPIC:
            user = projection.ApplyAccountUserRequest.FromString(message.payload)
            name = f"{user.account_id} {user.user_id}"
            yield from _written(name, Rules(users={(user.account_id, user.user_id): user}), "")
        case projector.RULES_TOPIC:
            rules = projection.ApplyRulesRequest.FromString(message.payload)
            scope_id = rules.programme_id or rules.company_id
            tags = keys.TAGS if rules.programme_id else (rules.company_id[3:5],)
            for tag in tags:
                yield from _written(f"{scope_id} in {tag}", Rules(scopes={scope_id: rules}), tag)


def _account(account: projection.ApplyAccountRequest) -> Expected:
    fields = {
        "v": str(account.version),
        "state": str(account.state),
        "cur": account.credit_limit.currency_code,
        "limit": str(account.credit_limit.amount_minor),
        "own": account.owner_id,
        "prog": account.programme_id,
        "par": account.parent_account_id,
        "ctl": _text(account.controls.SerializeToString(deterministic=True)),
    }
    return _expected(account.account_id, keys.account(account.account_id), fields)


def _written(subject: str, rules: Rules, tag: str) -> Iterator[Expected]:
    for write in rules.writes(tag):
        for _, key, *pairs in write.commands:
            yield _expected(subject, key, _fields(pairs))


def _expected(subject: str, key: str | bytes, fields: Mapping[str, str]) -> Expected:
    return Expected(subject, _text(key), fields)


def _fields(pairs: list[str | bytes]) -> dict[str, str]:
    texts = [_text(one) for one in pairs]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def _shown(field: str, text: str) -> str:
    """Controls and rules are bytes: people see how many."""
    raw = text.encode("utf-8", "surrogateescape")
    return f"{len(raw)} bytes" if field in ("ctl", "rules") else text


@asynccontextmanager
async def _accounts(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(
        settings.postgres_dsn,
        user="holdfast_accounts",
        password=settings.secret("postgres-accounts"),
        server_settings={
            "search_path": "accounts",
            "application_name": "reconcile",
            "default_transaction_read_only": "on",
        },
    )
    try:
        yield connection
    finally:
        await connection.close()
