"""All that is known of a person, for whoever has the right to ask (GDPR, articles 15 and 20)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from accounts import convert, convert_company, convert_lifecycle, convert_rules, convert_user, rows
from accounts.applications.export import Export
from accounts.company import Member, Role
from accounts.records import of_row
from accounts.user import User
from accounts.vault.vault import Vault
from holdfast.accounts.v1 import user_export_pb2 as pb
from runtime.clock import datetime_of, ms_of
from runtime.errors import InvalidArgument, Violation
from runtime.paging import Page, Position
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries
from runtime.validate import timestamp

#: Of each kind of thing that the person has, in one answer.
THINGS_MAX = 500
#: Of each kind of thing that happened, in one answer.
EVENTS_MAX = 1_000

#: The number of an answer, and an instant of this millennium.
_PLACE = re.compile(r"([1-9][0-9]{0,5})_([0-9]{13})")
_Row = TypeVar("_Row")
_SQL = load_queries(Path(__file__).with_name("sql") / "user_exports.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Which answer it is, from 0, and the instant that the first one was asked for: by the
    service's clock, and by the audit log's, which is PostgreSQL's.
    """

    number: int
    until_ms: int
    acts_until_ms: int

    @property
    def things(self) -> tuple[int, int]:
        """Offset and limit: one more than is shown tells whether there are more."""
        return self.number * THINGS_MAX, THINGS_MAX + 1

    @property
    def events(self) -> tuple[int, int]:
        """The same of what happened."""
        return self.number * EVENTS_MAX, EVENTS_MAX + 1

    @property
    def following(self) -> Position:
        """Where the next one goes on."""
        return Position(self.until_ms, f"{self.number + 1}_{self.acts_until_ms}")


class UserExport:
    """Collects it from PostgreSQL, the vault and the applications."""

    def __init__(self, pool: Any, *, applications: Export, vault: Vault) -> None:
        self._pool = pool
        self._applications = applications
        self._vault = vault

    async def of(self, user: User, page: Page, *, now_ms: int) -> pb.ExportUserDataResponse:
        """One answer of several. That it is shown was recorded before."""
        part = await self._part(page, now_ms=now_ms)
        until, more = datetime_of(part.until_ms), _More()
        found = [
            more.cut(await self._rows(query, user.id, until, *part.things), THINGS_MAX)
            for query in (
                "list_accounts_of_person",
                "list_cards_of_person",
                "list_shares_of_person",
                "list_memberships_of_person",
            )
        ]
        offset, limit = part.things
        applications = await self._applications.of(user.id, offset=offset, limit=limit)
        changes = await self._rows("list_changes_of_person", user.id, until, *part.events)
        acts_until = datetime_of(part.acts_until_ms)
        acts = await self._rows("list_acts", user.id, acts_until, *part.events)
        return pb.ExportUserDataResponse(
            user=convert_user.user(user, full=True),
            accounts=[convert.account(rows.account(row)) for row in found[0]],
            cards=[convert.card(rows.card(row)) for row in found[1]],
            applications=more.cut(applications, THINGS_MAX),
            memberships=[
                convert_company.member(of_row(Member, row, role=Role)) for row in found[3]
            ],
            shared_accounts=[
                convert_rules.account_user(rows.account_user(row)) for row in found[2]
            ],
            changes=[
                convert_lifecycle.change(rows.change(row)) for row in more.cut(changes, EVENTS_MAX)
            ],
            showings=await self._showings(user.id, part, more),
            acts=[_act(row) for row in more.cut(acts, EVENTS_MAX)],
            next_page_token=page.token_after(part.following) if more.found else "",
        )

    async def _part(self, page: Page, *, now_ms: int) -> _Part:
        if page.after is None:
            with refusing_when_down():
                # A millisecond more: instants are rounded down.
                now = ms_of(await self._pool.fetchval(_SQL["select_now"])) + 1
            return _Part(number=0, until_ms=now_ms, acts_until_ms=now)
        named = _PLACE.fullmatch(page.after.id)
        if named is None:
            raise InvalidArgument.of(
                [Violation("page_token", "is not a next_page_token of this export")]
            )
        number, acts_until_ms = map(int, named.groups())
        return _Part(number=number, until_ms=page.after.key, acts_until_ms=acts_until_ms)

    async def _rows(self, query: str, *arguments: Any) -> list[Any]:
        with refusing_when_down():
            found: list[Any] = await self._pool.fetch(_SQL[query], *arguments)
        return found

    async def _showings(self, user_id: str, part: _Part, more: _More) -> list[pb.Showing]:
        until, (offset, limit) = datetime_of(part.until_ms), part.events
        found = await self._rows("list_showings_of_person", user_id, until, offset, limit)
        showings = [
            pb.Showing(
                subject_id=row["subject_id"],
                principal=row["principal"],
                method=row["method"],
                show_time=timestamp(ms_of(row["create_time"])),
            )
            for row in more.cut(found, EVENTS_MAX)
        ]
        cards = [row["id"] for row in await self._rows("list_card_ids_of_person", user_id)]
        reveals = await self._vault.reveals(
            cards, until_ms=part.until_ms, offset=offset, limit=limit
        )
        showings += [
            pb.Showing(
                subject_id=one.card_id,
                principal=one.principal,
                method="RevealCard",
                reason=one.reason,
                show_time=timestamp(one.show_time_ms),
            )
            for one in more.cut(reveals, EVENTS_MAX)
        ]
        return sorted(showings, key=lambda one: one.show_time.ToNanoseconds(), reverse=True)


class _More:
    """Whether one of the lists goes on."""

    def __init__(self) -> None:
        self.found = False

    def cut(self, found: list[_Row], most: int) -> list[_Row]:
        """What is shown of those that were read."""
        self.found |= len(found) > most
        return found[:most]


def _act(row: Any) -> pb.Act:
    return pb.Act(
        principal=row["actor"],
        method=row["method"].rpartition("/")[2],
        code=row["code"],
        act_time=timestamp(ms_of(row["record_time"])),
    )
