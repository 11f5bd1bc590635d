"""All that is known of a person, for whoever has the right to ask (GDPR, articles 15 and 20)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accounts import convert, convert_company, convert_lifecycle, convert_rules, convert_user, rows
from accounts.applications.export import Export
from accounts.company import Member, Role
from accounts.records import of_row
from accounts.user import User
from accounts.vault.vault import Vault
from holdfast.accounts.v1 import user_export_pb2 as pb
from runtime.clock import ms_of
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries
from runtime.validate import timestamp

#: Of each kind of thing that the person has.
EXPORT_MAX = 500
#: Of each kind of thing that happened.
EVENTS_MAX = 1_000

_SQL = load_queries(Path(__file__).with_name("sql") / "user_exports.sql")

#: What the person has, in this order.
_THINGS = (
    "list_accounts_of_person",
    "list_cards_of_person",
    "list_shares_of_person",
    "list_memberships_of_person",
)


class UserExport:
    """Collects it from PostgreSQL, the vault and the applications."""

    def __init__(self, pool: Any, *, applications: Export, vault: Vault) -> None:
        self._pool = pool
        self._applications = applications
        self._vault = vault

    async def of(self, user: User) -> pb.ExportUserDataResponse:
        """Everything. That it is shown was recorded before."""
        found = [await self._things(query, user.id) for query in _THINGS]
        accounts = [rows.account(row) for row in found[0]]
        cards = [rows.card(row) for row in found[1]]
        shares = [rows.account_user(row) for row in found[2]]
        members = [of_row(Member, row, role=Role) for row in found[3]]
        lines = [*(one.id for one in accounts), *{one.root_card_id for one in cards}]
        shared = [one.account_id for one in shares]
        with refusing_when_down():
            changes = await self._pool.fetch(
                _SQL["list_changes_of_person"], lines, shared, user.id, EVENTS_MAX
            )
            acts = await self._pool.fetch(_SQL["list_acts"], user.id, EVENTS_MAX)
        return pb.ExportUserDataResponse(
            user=convert_user.user(user, full=True),
            accounts=[convert.account(one) for one in accounts],
            cards=[convert.card(one) for one in cards],
            applications=await self._applications.of(user.id),
            memberships=[convert_company.member(one) for one in members],
            shared_accounts=[convert_rules.account_user(one) for one in shares],
            changes=[convert_lifecycle.change(rows.change(row)) for row in changes],
            showings=await self._showings(user.id, [one.id for one in cards]),
            acts=[_act(row) for row in acts],
        )

    async def _things(self, query: str, user_id: str) -> list[Any]:
        with refusing_when_down():
            found: list[Any] = await self._pool.fetch(_SQL[query], user_id, EXPORT_MAX)
        return found

    async def _showings(self, user_id: str, card_ids: list[str]) -> list[pb.Showing]:
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["list_showings_of_person"], user_id, EVENTS_MAX)
        showings = [
            pb.Showing(
                subject_id=row["subject_id"],
                principal=row["principal"],
                method=row["method"],
                show_time=timestamp(ms_of(row["create_time"])),
            )
            for row in found
        ]
        showings += [
            pb.Showing(
                subject_id=one.card_id,
                principal=one.principal,
                method="RevealCard",
                reason=one.reason,
                show_time=timestamp(one.show_time_ms),
            )
            for one in await self._vault.reveals(card_ids, limit=EVENTS_MAX)
        ]
        return sorted(showings, key=lambda one: one.show_time.ToNanoseconds(), reverse=True)


def _act(row: Any) -> pb.Act:
    return pb.Act(
        principal=row["actor"],
        method=row["method"].rpartition("/")[2],
        code=row["code"],
        act_time=timestamp(ms_of(row["record_time"])),
    )
