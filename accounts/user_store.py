"""People in PostgreSQL: sealed on the way in, opened on the way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from accounts import answers, happenings
from accounts.person_keys import FOUND_BY, SEALED, DataKey, PersonKeys, opened, sealed
from accounts.projector import address_message, forget_message, sign_in_message
from accounts.transaction import Transaction
from accounts.user import Personal, User, UserState
from runtime import outbox
from runtime.clock import datetime_of, ms_of
from runtime.errors import FailedPrecondition, NotFound
from runtime.events.outbox import emit
from runtime.key_ring import key_of
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries
from runtime.request_records import RequestKey

#: People that one step of a rotation wraps again.
ROTATION_PAGE = 200

#: So many people are opened before others have their turn.
_OPENED_AT_ONCE = 16

#: The columns of `insert_people`, the id first.
PersonRow: TypeAlias = tuple[Any, ...]

_SQL = load_queries(Path(__file__).with_name("sql") / "users.sql")
_FIND = {"email": "find_by_email", "phone": "find_by_phone", "tax_id": "find_by_tax_id"}


class UserTransaction(Transaction):
    """One mutation of a person."""

    def __init__(self, connection: Any, keys: PersonKeys, *, now_ms: int) -> None:
        super().__init__(connection, now_ms=now_ms)
        self._keys = keys
        self._people: dict[str, User] = {}

    async def user(self, user_id: str) -> User | None:
        """A person, locked for a change."""
        row = await self._connection.fetchrow(_SQL["select_person_for_update"], user_id)
        if row is None:
            return None
        return self._people.setdefault(user_id, _user(row, self._keys))

    async def insert_user(self, user: User) -> bool:
        """Makes a person known, with a key of their own; False if the id is taken."""
        return bool(await self.insert_rows([person_row(user, self._keys)]))

    async def insert_rows(self, found: Sequence[PersonRow]) -> frozenset[str]:
        """Makes people known; returns the ids of those whose id was not taken.

        They are locked in the order of their ids: two such statements never wait for each other.
        """
        columns = list(zip(*sorted(found), strict=True))
        inserted = await self._connection.fetch(_SQL["insert_people"], *columns) if found else ()
        new = frozenset(row["id"] for row in inserted)
        await emit(
            self._connection,
            (
                happenings.user_created(row[0], row[1], now_ms=ms_of(row[3]))
                for row in found
                if row[0] in new
            ),
        )
        return new

    async def update_user(self, user: User) -> None:
        """Writes the next version of a locked person; of an erased one the key goes, too."""
        row = await self._connection.fetchrow(_SQL["select_person"], user.id)
        wrapped = row["key_wrapped"] if user.erase_time_ms is None else None
        key = self._keys.data_key(wrapped, user.id) if wrapped is not None else None
        tag = await self._connection.execute(
            _SQL["update_person"],
            user.id,
            user.version,
            user.state,
            datetime_of(user.update_time_ms),
            _time(user.verify_time_ms),
            _time(user.erase_time_ms),
            *_columns(user, wrapped, key, self._keys),
        )
        assert tag == "UPDATE 1", f"{user.id} was not locked at version {user.version - 1}"
        await emit(self._connection, [happenings.of_user(self._people[user.id], user)])
        self._people[user.id] = user

    async def tell_sign_in(self, user: User) -> None:
        """Has the gateway told what this version of the person means for signing in."""
        message = sign_in_message(user)
        self.appended.append(await outbox.append(self._connection, message))

    async def tell_payments(self, user_id: str) -> None:
        """Has payments told that the person's accounts are nobody's any more. Nobody waits for it:
        processors may be away for long.
        """
        for row in await self._connection.fetch(_SQL["list_owned_accounts"], user_id):
            await outbox.append(self._connection, forget_message(row["id"]))

    async def tell_address(self, user: User) -> None:
        """Has the gateway told with which address the person signs in."""
        self.appended.append(await outbox.append(self._connection, address_message(user.id)))

    async def delete_user(self, erased: User) -> None:
        """Removes a locked person; `erased` is what others are told."""
        await self._connection.execute(_SQL["delete_person"], erased.id)
        await emit(self._connection, [happenings.of_user(self._people[erased.id], erased)])

    async def owns_account(self, user_id: str) -> bool:
        """Whether an account that is not closed is the person's."""
        return bool(await self._connection.fetchval(_SQL["owns_account"], user_id))

    async def has_applications(self, user_id: str) -> bool:
        """Whether something of the person is being decided, or opened."""
        return bool(await self._connection.fetchval(_SQL["has_applications"], user_id))

    async def erase_words(self, user_id: str) -> None:
        """Destroys the keys of what the person said when applying and about charges, and the
        digests of the documents; forgets what staff noted when they gave back fees, and the
        addresses, masked, of accepted invitations.
        """
        for name in (
            "erase_applications",
            "erase_documents",
            "erase_disputes",
            "erase_dispute_documents",
            "erase_waivers",
        ):
            await self._connection.execute(_SQL[name], user_id)
        found = await self._connection.fetch(_SQL["list_waiver_answers"], user_id)
        await self._rewrite(found, answers.without_note)
        rows = await self._connection.fetch(_SQL["erase_invitations"], user_id)
        invited = {row["id"] for row in rows}
        found = await self._connection.fetch(_SQL["list_invitation_answers"], user_id)
        await self._rewrite(found, partial(answers.without_address, invited=invited))

    async def shares_account(self, user_id: str) -> bool:
        """Whether the person may use somebody else's account that is not closed."""
        return bool(await self._connection.fetchval(_SQL["shares_account"], user_id))

    async def erase_cards(self, user_id: str) -> list[str]:
        """Forgets what may identify the person of cards that are, or were, the person's; returns
        the ids of those that are.
        """
        cards = await self._connection.fetch(_SQL["erase_cards"], user_id)
        former = await self._connection.fetch(_SQL["erase_former_cards"], user_id)
        lines = list({row["root_card_id"] for row in (*cards, *former)})
        await self._connection.execute(_SQL["erase_changes"], lines)
        await self._erase_answers(lines)
        return [row["id"] for row in cards]

    async def _erase_answers(self, lines: Sequence[str]) -> None:
        """The same of what was answered: a repetition is told nothing that the card has lost."""
        now = {row["id"]: row for row in await self._connection.fetch(_SQL["list_lines"], lines)}
        asked = (lines, answers.CARD_METHODS)
        found = await self._connection.fetch(_SQL["list_card_answers"], *asked)
        await self._rewrite(found, partial(answers.without_words, now=now))

    async def _rewrite(self, found: Sequence[Any], forget: Callable[[bytes], bytes]) -> None:
        """Replaces those answers that tell less then."""
        rewritten = [
            (row["principal"], row["request_id"], less)
            for row in found
            if (less := forget(row["response"])) != row["response"]
        ]
        if rewritten:
            columns = map(list, zip(*rewritten, strict=True))
            await self._connection.execute(_SQL["rewrite_answers"], *columns)

    async def is_in_use(self, user_id: str) -> bool:
        """Whether the person ever had an account or a card, or applied."""
        return bool(await self._connection.fetchval(_SQL["is_in_use"], user_id))

    async def seal_answer(self, user_id: str, content: bytes) -> bytes:
        """An answer as it may be stored: nobody reads it once the person is erased."""
        row = await self._connection.fetchrow(_SQL["select_person"], user_id)
        return self._keys.data_key(row["key_wrapped"], user_id).seal("answer", content)

    async def open_answer(self, user_id: str, content: bytes) -> bytes | None:
        """A stored answer again; None if the person was erased since."""
        row = await self._connection.fetchrow(_SQL["select_person"], user_id)
        if row is None or row["key_wrapped"] is None:
            return None
        return self._keys.data_key(row["key_wrapped"], user_id).open("answer", content)


class UserStore:
    """Reads people, and opens transactions."""

    def __init__(self, pool: asyncpg.Pool, keys: PersonKeys) -> None:
        self._pool = pool
        self._keys = keys

    @property
    def keys(self) -> PersonKeys:
        """What seals people."""
        return self._keys

    @asynccontextmanager
    async def transaction(self, *, now_ms: int) -> AsyncIterator[UserTransaction]:
        """Commits at the end; an exception rolls everything back."""
        with refusing_when_down():
            async with self._pool.acquire() as connection, connection.transaction():
                yield UserTransaction(connection, self._keys, now_ms=now_ms)

    def keyed(self, key: RequestKey, content: bytes) -> RequestKey:
        """The request's key with a fingerprint that says nothing about its content."""
        current, known = self._keys.fingerprints(content)
        return replace(key, fingerprint=current, known=known)

    async def user(self, user_id: str) -> User | None:
        """One person."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_person"], user_id)
        return _user(row, self._keys) if row else None

    async def users(self, page: Page) -> list[User]:
        """People, newest first."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["list_people"], *after(page))
        return await _users(found, self._keys)

    async def found_by(self, field: str, value: str, page: Page) -> list[User]:
        """People with an email, a phone number or a tax number, newest first."""
        if field == "reference":
            one = await self.user(self._keys.id_of(value))
            return [] if one is None else [one]
        hashes = self._keys.hashes_of(field, value)
        with refusing_when_down():
            found = await self._pool.fetch(_SQL[_FIND[field]], *after(page), hashes)
        return await _users(found, self._keys)

    async def existing(self, user_ids: Iterable[str]) -> frozenset[str]:
        """Those of these people who are known."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["select_existing_people"], list(user_ids))
        return frozenset(row["id"] for row in found)

    async def record_reveals(
        self, user_ids: Sequence[str], *, principal: str, method: str, now_ms: int
    ) -> None:
        """Records that people are shown in full; nothing is shown if that fails."""
        with refusing_when_down():
            await self._pool.execute(
                _SQL["insert_person_reveals"], user_ids, principal, method, datetime_of(now_ms)
            )

    async def rotate(self) -> int:
        """Brings people under the current keys, one page after the other; returns how many.

        Only the wrapping of a person's key changes, and the hashes; reading goes on meanwhile.
        """
        moved, place = 0, ""
        while True:
            current = self._keys.wrapping.current.id, self._keys.search.current.id
            page = await self._pool.fetch(_SQL["list_stale_people"], *current, place, ROTATION_PAGE)
            for row in page:
                await self._rewrap(row)
            moved += len(page)
            if len(page) < ROTATION_PAGE:
                return moved
            place = page[-1]["id"]

    async def _rewrap(self, row: Any) -> None:
        user_id, before = row["id"], row["key_wrapped"]
        personal = opened(row, self._keys.data_key(before, user_id))
        wrapped = self._keys.wrap(self._keys.unwrap(before, user_id), user_id)
        await self._pool.execute(
            _SQL["rewrap_person"],
            user_id,
            before,
            *(row[name] for name in FOUND_BY),
            wrapped,
            key_of(wrapped),
            *_hashes(personal, self._keys),
            self._keys.search.current.id,
        )


async def check_person(connection: Any, user_id: str, *, to_stranger: bool = False) -> None:
    """Refuses a person who is suspended or closed, and keeps them as they are until the commit.
    `to_stranger`: whoever asks may name anybody, and is not told how it is with them.

    Owners and users need not be known here: their ids may be another system's.
    """
    state = await connection.fetchval(_SQL["select_person_state_for_share"], user_id)
    if state in (UserState.SUSPENDED, UserState.CLOSED):
        if to_stranger:
            raise NotFound("no such user", reason="USER_NOT_FOUND", metadata={"user_id": user_id})
        raise FailedPrecondition(
            "the user is suspended or closed",
            reason="USER_NOT_ACTIVE",
            metadata={"user_id": user_id, "state": state},
        )


async def is_suspended(connection: Any, user_id: str) -> bool:
    """Whether a person is suspended, which lasts, or does not begin, until the commit."""
    state = await connection.fetchval(_SQL["select_person_state_for_share"], user_id)
    return bool(state == UserState.SUSPENDED)


def person_row(user: User, keys: PersonKeys) -> PersonRow:
    """The row of somebody new, with a key of their own."""
    return (
        user.id,
        user.state,
        user.version,
        datetime_of(user.create_time_ms),
        datetime_of(user.update_time_ms),
        _time(user.verify_time_ms),
        *_columns(user, *keys.new_key(user.id), keys),
    )


def _columns(
    user: User, wrapped: bytes | None, key: DataKey | None, keys: PersonKeys
) -> tuple[Any, ...]:
    """Key, key's id, what is sealed, hashes, their key's id."""
    if wrapped is None or key is None:
        return (None,) * (2 + len(SEALED) + len(FOUND_BY) + 1)
    columns = sealed(user.personal, key)
    return (
        wrapped,
        key_of(wrapped),
        *(columns[name] for name in SEALED),
        *_hashes(user.personal, keys),
        keys.search.current.id,
    )


async def _users(found: Sequence[Any], keys: PersonKeys) -> list[User]:
    """People of many rows; others have their turn meanwhile."""
    people = []
    for number, row in enumerate(found):
        if number % _OPENED_AT_ONCE == _OPENED_AT_ONCE - 1:
            await asyncio.sleep(0)
        people.append(_user(row, keys))
    return people


def _user(row: Any, keys: PersonKeys) -> User:
    wrapped = row["key_wrapped"]
    return User(
        id=row["id"],
        state=UserState(row["state"]),
        personal=opened(row, keys.data_key(wrapped, row["id"])) if wrapped else Personal(),
        version=row["version"],
        create_time_ms=ms_of(row["create_time"]),
        update_time_ms=ms_of(row["update_time"]),
        verify_time_ms=ms_of(row["verify_time"]) if row["verify_time"] else None,
        erase_time_ms=ms_of(row["erase_time"]) if row["erase_time"] else None,
    )


def _hashes(personal: Personal, keys: PersonKeys) -> tuple[bytes | None, ...]:
    values = (personal.email, personal.phone, personal.tax_id)
    return tuple(
        keys.hash_of(field, value) if value else None
        for field, value in zip(FOUND_BY, values, strict=True)
    )


def _time(ms: int | None) -> Any:
    return datetime_of(ms) if ms is not None else None
