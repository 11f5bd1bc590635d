"""What billing knows, in PostgreSQL. Most queries are about many accounts: a night closes many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from accounts.billing import stored
from accounts.billing.account import BillingAccount, Booked, Charge, Phase, Posting
from accounts.billing.balances import Change
from accounts.billing.delinquency import Bucket, Standing
from accounts.billing.disputed import Disputed
from accounts.billing.product import Product
from accounts.billing.ready import ready
from accounts.billing.terms import Category
from accounts.programme import ProgrammeTerms
from accounts.records import of_row
from runtime.clock import datetime_of, ms_of
from runtime.events.outbox import emit
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

#: Accounts that one statement enrols.
ENROL_BATCH = 10_000
#: Statements that a late payment is held against: two years of them.
RECOMPUTED_MAX = 24

_SQL = load_queries(Path(__file__).parents[1] / "sql" / "billing.sql")
_ENTRY_FIELDS = (
    "entry_id",
    "account_id",
    "seq",
    "type",
    "change",
    "category",
    "amount_minor",
    "value_ms",
    "post_ms",
    "card_id",
    "user_id",
    "authorization_id",
    "payment_id",
    "related_entry_id",
    "descriptor",
    "category_code",
    "is_foreign",
)
_POSTING_COLUMNS = (
    "account_id",
    "request_id",
    "charge",
    "change",
    "category",
    "amount_minor",
    "currency_code",
    "value_time",
    "number",
    "related_entry_id",
    "interest_on",
    "due_time",
)
#: What is written of a new statement.
STATEMENT_COLUMNS = (
    "account_id",
    "number",
    "id",
    "cycle_start",
    "cycle_end",
    "due_date",
    "opening_minor",
    "closing_minor",
    "terms_version",
    "before",
    "body",
    "create_time",
)

#: Why billing posted something, and on which balance interest was charged.
Charged = tuple[Charge, Category | None]


class Billing:
    """Reads and writes on one connection, in its transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    # Accounts

    async def enrol(self, accounts: Sequence[str] | None = None) -> int:
        """Makes accounts known whose programmes have terms: these, or all of them in batches."""
        tag = await self._connection.execute(_SQL["enrol"], accounts, ENROL_BATCH)
        return int(str(tag).rpartition(" ")[2])

    async def has_due(self, *, now_ms: int) -> bool:
        """Whether any account has something to do."""
        return bool(await self._connection.fetchval(_SQL["has_due"], datetime_of(now_ms)))

    async def claim_due(self, *, now_ms: int, limit: int) -> list[BillingAccount]:
        """Locks accounts that have something to do."""
        rows = await self._connection.fetch(_SQL["claim_due"], datetime_of(now_ms), limit)
        return [account_of(row) for row in rows]

    async def account(self, account_id: str) -> BillingAccount | None:
        """One account."""
        row = await self._connection.fetchrow(_SQL["select_account"], account_id)
        return account_of(row) if row else None

    async def update(self, accounts: Sequence[BillingAccount]) -> None:
        """Writes claimed accounts."""
        await self._connection.execute(
            _SQL["update_accounts"],
            [one.account_id for one in accounts],
            [one.phase for one in accounts],
            [None if one.work_ms is None else datetime_of(one.work_ms) for one in accounts],
            [one.bucket for one in accounts],
            [stored.dumped(one) if one.cycle else None for one in accounts],
        )

    async def keep(self, account: BillingAccount) -> None:
        """Writes the state of a locked account, and nothing about when it is looked at."""
        await self._connection.execute(_SQL["keep"], account.account_id, stored.dumped(account))

    async def postpone(self, account_id: str, *, until_ms: int) -> None:
        """Looks at an account later."""
        await self._connection.execute(_SQL["postpone"], account_id, datetime_of(until_ms))

    async def lock(self, accounts: Sequence[str]) -> None:
        """Waits for whoever works on these accounts."""
        await self._connection.execute(_SQL["lock_accounts"], accounts)

    async def wake(self, waiting: Sequence[str], all_: Sequence[str]) -> None:
        """Looks at accounts at once, and at those of all that had ended."""
        await self._connection.execute(_SQL["wake"], waiting, all_)

    # Entries

    async def insert_entries(self, entries: Sequence[tuple[Booked, str]]) -> None:
        """Takes entries in, each with its request id."""
        columns = [[_value(entry, name) for entry, _ in entries] for name in _ENTRY_FIELDS]
        requests = [request_id for _, request_id in entries]
        await self._connection.execute(_SQL["insert_entries"], *columns, requests)

    async def open_entries(self, accounts: Sequence[str]) -> dict[str, list[Booked]]:
        """What is on no statement yet, by account."""
        found: dict[str, list[Booked]] = {account: [] for account in accounts}
        for row in await self._connection.fetch(_SQL["open_entries"], accounts):
            found[row["account_id"]].append(entry_of(row))
        return found

    async def entry(self, account_id: str, entry_id: str) -> Booked | None:
        """One entry of an account."""
        row = await self._connection.fetchrow(_SQL["entry_of"], account_id, entry_id)
        return entry_of(row) if row else None

    async def lines(self, account_id: str, number: int) -> list[Booked]:
        """The lines of a statement."""
        rows = await self._connection.fetch(_SQL["entries_of"], account_id, number)
        return [entry_of(row) for row in rows]

    async def charges(self, account_id: str, entries: Sequence[str]) -> dict[str, Charged]:
        """Why billing posted some of these entries, by entry."""
        rows = await self._connection.fetch(_SQL["charges_of"], account_id, entries)
        return {
            row["entry_id"]: (
                Charge(row["charge"]),
                Category(row["interest_on"]) if row["interest_on"] else None,
            )
            for row in rows
        }

    async def number_entries(self, numbers: dict[str, int]) -> None:
        """Puts entries on statements."""
        await self._connection.execute(
            _SQL["number_entries"], list(numbers), list(numbers.values())
        )

    # Postings

    async def insert_postings(self, postings: Iterable[Posting], *, now_ms: int) -> None:
        """Has these posted."""
        records = [
            (
                one.account_id,
                one.request_id,
                one.charge,
                one.change,
                one.category,
                one.amount_minor,
                one.currency_code,
                datetime_of(one.value_ms),
                one.number,
                one.related_entry_id,
                one.of,
                datetime_of(now_ms),
            )
            for one in postings
        ]
        if records:
            await self._connection.copy_records_to_table(
                "billing_posting", columns=_POSTING_COLUMNS, records=records
            )

    async def claim_postings(self, *, now_ms: int, again_ms: int, limit: int) -> list[Posting]:
        """What is to be posted; it is due again later, should nobody say that it was posted."""
        rows = await self._connection.fetch(
            _SQL["claim_postings"], datetime_of(now_ms), limit, datetime_of(again_ms)
        )
        return [_posting(row) for row in rows]

    async def posted(self, postings: Sequence[Posting]) -> None:
        """The ledger has them."""
        await self._connection.execute(_SQL["posted"], *_names(postings))

    async def postpone_postings(self, postings: Sequence[Posting], *, until_ms: int) -> None:
        """They failed; they are tried again."""
        await self._connection.execute(
            _SQL["postpone_postings"], *_names(postings), datetime_of(until_ms)
        )

    async def return_postings(self, entries: Sequence[tuple[Booked, str]]) -> set[str]:
        """What billing had posted has come back; returns whose it was."""
        rows = await self._connection.fetch(
            _SQL["return_postings"],
            [entry.account_id for entry, _ in entries],
            [request_id for _, request_id in entries],
            [entry.entry_id for entry, _ in entries],
        )
        return {row["account_id"] for row in rows}

    async def unreturned(self, accounts: Sequence[BillingAccount]) -> set[str]:
        """Accounts whose last statement waits for the ledger."""
        rows = await self._connection.fetch(_SQL["unreturned"], *_numbers(accounts))
        return {row["account_id"] for row in rows}

    # Statements

    async def insert_statements(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Adds statements; see `STATEMENT_COLUMNS`."""
        await self._connection.copy_records_to_table(
            "statement", columns=STATEMENT_COLUMNS, records=rows
        )

    async def issue(
        self, accounts: Sequence[BillingAccount], *, now_ms: int
    ) -> dict[str, tuple[int, int, int]]:
        """Issues the last statements; returns for each its closing balance, by how much it says
        that the balance has changed, and what its lines come to.
        """
        sums = {
            row["account_id"]: row["minor"]
            for row in await self._connection.fetch(_SQL["sums_of"], *_numbers(accounts))
        }
        rows = await self._connection.fetch(_SQL["issue"], *_numbers(accounts), datetime_of(now_ms))
        await emit(self._connection, (ready(row["body"], now_ms=now_ms) for row in rows))
        return {
            row["account_id"]: (row["closing_minor"], row["change_minor"], sums[row["account_id"]])
            for row in rows
        }

    async def statements_since(self, account_id: str, day: date) -> list[tuple[int, int, str]]:
        """Number, version of terms, and what they can be computed from again, earliest first."""
        rows = await self._connection.fetch(
            _SQL["statements_since"], account_id, day, RECOMPUTED_MAX
        )
        found = [(row["number"], row["terms_version"], row["before"]) for row in rows]
        return found[::-1]

    async def statements(self, account_id: str, *, below: int, limit: int) -> list[Any]:
        """Issued statements, latest first."""
        rows: list[Any] = await self._connection.fetch(
            _SQL["list_statements"], account_id, below, limit
        )
        return rows

    # Disputes, delinquency and terms

    async def ended_disputes(self, account_id: str, product: Product) -> list[Disputed]:
        """Disputes that have ended."""
        return [
            Disputed(
                dispute_id=row["dispute_id"],
                entry_id=row["entry_id"],
                category=Category(row["category"]),
                amount_minor=row["amount_minor"],
                on=product.day(ms_of(row["value_time"])),
                since=product.day(ms_of(row["create_time"])),
                settled=product.day(row["ended_ms"]),
                won_minor=row["won_minor"],
                corrected=True,
            )
            for row in await self._connection.fetch(_SQL["ended_disputes"], account_id)
        ]

    async def insert_delinquency(
        self, account_id: str, *, before: Bucket, standing: Standing, now_ms: int
    ) -> None:
        """Records that an account is in another bucket."""
        await self._connection.execute(
            _SQL["insert_delinquency"],
            account_id,
            datetime_of(now_ms),
            before,
            standing.bucket,
            standing.days_past_due,
            standing.past_due_minor,
        )

    async def terms(self, programme_id: str) -> list[ProgrammeTerms]:
        """All terms of a programme, earliest first."""
        rows = await self._connection.fetch(_SQL["terms_of_programme"], programme_id)
        return [of_row(ProgrammeTerms, row) for row in rows]


def account_of(row: Any) -> BillingAccount:
    """An account from its row."""
    return stored.loaded(
        row,
        opened_ms=ms_of(row["create_time"]),
        state=row["state"],
        phase=Phase(row["phase"]),
    )


def entry_of(row: Any) -> Booked:
    """An entry from its row."""
    fields = dict(row)
    return Booked(
        value_ms=ms_of(fields.pop("value_time")),
        post_ms=ms_of(fields.pop("post_time")),
        change=Change(fields.pop("change")),
        category=Category(fields.pop("category")),
        **fields,
    )


def _posting(row: Any) -> Posting:
    return Posting(
        account_id=row["account_id"],
        request_id=row["request_id"],
        charge=Charge(row["charge"]),
        change=Change(row["change"]),
        category=Category(row["category"]),
        amount_minor=row["amount_minor"],
        currency_code=row["currency_code"],
        value_ms=ms_of(row["value_time"]),
        number=row["number"],
        related_entry_id=row["related_entry_id"],
        of=Category(row["interest_on"]) if row["interest_on"] else None,
    )


def _value(entry: Booked, name: str) -> Any:
    value = getattr(entry, name)
    return datetime_of(value) if name.endswith("_ms") else value


def _names(postings: Sequence[Posting]) -> tuple[list[str], list[str]]:
    return [one.account_id for one in postings], [one.request_id for one in postings]


def _numbers(accounts: Sequence[BillingAccount]) -> tuple[list[str], list[int]]:
    return [one.account_id for one in accounts], [one.number for one in accounts]


class Statements:
    """What readers ask for, each on a connection of the pool."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def page(self, account_id: str, *, below: int, limit: int) -> list[Any]:
        """Issued statements, latest first: `number`, `body`, `issue_time`."""
        with refusing_when_down():
            return await Billing(self._pool).statements(account_id, below=below, limit=limit)

    async def found(
        self, account_id: str, number: int
    ) -> tuple[Any, list[Booked], dict[str, Charged]] | None:
        """A statement, its lines, and why billing posted some of them; None if it is not issued."""
        with refusing_when_down():
            async with self._pool.acquire() as connection:
                billing = Billing(connection)
                rows = await billing.statements(account_id, below=number + 1, limit=1)
                if not rows or rows[0]["number"] != number:
                    return None
                entries = await billing.lines(account_id, number)
                charges = await billing.charges(account_id, [one.entry_id for one in entries])
        return rows[0], entries, charges

    async def account(
        self, account_id: str
    ) -> tuple[BillingAccount, list[Booked], list[ProgrammeTerms]] | None:
        """An account, what is on no statement yet, and its programme's terms."""
        with refusing_when_down():
            async with self._pool.acquire() as connection:
                billing = Billing(connection)
                account = await billing.account(account_id)
                if account is None:
                    return None
                entries = (await billing.open_entries([account_id]))[account_id]
                return account, entries, await billing.terms(account.programme_id)
