"""What an import of cards asks of PostgreSQL, all rows at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accounts.account import AccountState
from accounts.company import Company, CompanyState
from accounts.company_settings import programme_of
from accounts.programme import ProgrammeState
from accounts.records import of_row
from accounts.user import UserState
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "card_imports.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownProgramme:
    """What counts of a programme."""

    active: bool
    currency_code: str
    bin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is there of all that an import names."""

    cards: frozenset[str]
    #: State, programme and owner, by account.
    accounts: dict[str, tuple[AccountState, str, str]]
    #: Those who may have new accounts.
    owners: frozenset[str]
    #: Those among them who are suspended, and get no new cards.
    suspended: frozenset[str]
    #: Those among the owners that have settings.
    companies: dict[str, Company]
    programmes: dict[str, KnownProgramme]


async def lock_imports(connection: Any) -> None:
    """Lets one import at a time look for what is there, and add what is not."""
    await connection.execute(_SQL["lock_imports"])


async def known(
    connection: Any,
    *,
    cards: Iterable[str],
    accounts: Iterable[str],
    owners: Iterable[str],
    programmes: Iterable[str],
) -> Known:
    """Looks for all of them; accounts and owners stand still until the commit."""
    account_ids, owner_ids = list(accounts), list(owners)
    # Companies are always locked before accounts, and those before people.
    rows = await connection.fetch(_SQL["select_companies"], owner_ids, account_ids)
    found = await connection.fetch(_SQL["select_accounts"], account_ids)
    owner_ids += [row["owner_id"] for row in found]
    people = await connection.fetch(_SQL["select_people"], owner_ids)
    companies = [of_row(Company, row, state=CompanyState) for row in rows]
    programme_ids = {
        *programmes,
        programme_of(None),
        *(row["programme_id"] for row in found),
        *(programme_of(company) for company in companies),
    }
    there = await connection.fetch(_SQL["select_cards"], list(cards))
    offered = await connection.fetch(_SQL["select_programmes"], list(programme_ids))
    return Known(
        cards=frozenset(row["id"] for row in there),
        accounts={
            row["id"]: (AccountState(row["state"]), row["programme_id"], row["owner_id"])
            for row in found
        },
        owners=frozenset(
            (
                *(row["id"] for row in people),
                *(one.id for one in companies if one.state is CompanyState.ACTIVE),
            )
        ),
        suspended=frozenset(row["id"] for row in people if row["state"] == UserState.SUSPENDED),
        companies={one.id: one for one in companies},
        programmes={
            row["id"]: KnownProgramme(
                active=row["state"] == ProgrammeState.ACTIVE,
                currency_code=row["currency_code"],
                bin=row["bin"],
            )
            for row in offered
        },
    )
