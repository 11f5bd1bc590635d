"""The ledger's entries as journals for accounting. No I/O, no clock, no grpc.

Debits and credits of each journal are the same, as they are of each entry of the ledger: lines are
renamed, mirrored and added up, never made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import NamedTuple

from runtime.record import record
from stats.reports.report import Books
from stats.reports.table import CURRENCY, Column, Kind, Row


class Account(NamedTuple):
    """An account of whoever keeps the books: its number and its name."""

    code: str
    name: str


class Line(NamedTuple):
    """Positive is a debit, negative a credit."""

    account: Account
    amount_minor: int


@record
class Entry:
    """An entry of the ledger that moved money."""

    id: str
    #: Short, and unlike that of every other entry: partition and number.
    document: str
    type: str
    day: date
    currency: str
    #: Accounts of the ledger; positive is a debit. They come to zero.
    lines: Sequence[tuple[str, int]]
    account_id: str
    card_id: str
    user_id: str
    merchant: str
    merchant_name: str
    category: str
    authorization_id: str
    payment_id: str
    related_entry_id: str


#: What the issuer calls the accounts of the ledger.
ISSUER: Mapping[str, Account] = MappingProxyType(
    {
        "settlement_cash": Account("1000", "Settlement bank"),
        "receivable.purchase": Account("1100", "Card receivables - purchases"),
        "receivable.cash": Account("1110", "Card receivables - cash advances"),
        "receivable.fee": Account("1120", "Card receivables - fees"),
        "receivable.interest": Account("1130", "Card receivables - interest"),
        "provisional_credit": Account("1200", "Provisional credits"),
        "dispute": Account("1210", "Disputes claimed from networks"),
        "payments_in_transit": Account("1300", "Payments in transit"),
        "customer_credit": Account("2100", "Customer credit balances"),
        "network_clearing": Account("2200", "Card network settlement"),
        "suspense": Account("2900", "Suspense"),
        "income.fee": Account("4100", "Fee income"),
        "income.interest": Account("4200", "Interest income"),
        "income.interchange": Account("4300", "Interchange income"),
        "income.fx": Account("4400", "Foreign exchange income"),
        "recovery": Account("4500", "Recoveries"),
        "charge_off": Account("5100", "Charge-offs"),
        "write_off": Account("5200", "Write-offs"),
    }
)
_PAYABLE = Account("2100", "Card payable")
_BANK = Account("1000", "Bank")
_ADJUSTMENTS = Account("6900", "Card adjustments")
#: What they are to who owes: everything else is an adjustment.
_HOLDER: Mapping[str, Account] = MappingProxyType(
    {
        **{name: _PAYABLE for name in ISSUER if name.startswith("receivable.")},
        "customer_credit": _PAYABLE,
        "payments_in_transit": _BANK,
        "settlement_cash": _BANK,
        "network_clearing": Account("6100", "Card purchases"),
        "income.fee": Account("6200", "Card fees"),
        "income.interest": Account("6300", "Card interest"),
    }
)
#: An account that the ledger has and this list does not.
_UNKNOWN = "9999"

#: A journal with every entry has these columns.
COLUMNS = (
    Column(name="date", kind=Kind.TEXT, title="Date"),
    Column(name="document", kind=Kind.TEXT, title="Document"),
    Column(name="type", kind=Kind.TEXT, title="Type"),
    Column(name="account_code", kind=Kind.TEXT, title="Code"),
    Column(name="account", kind=Kind.TEXT, title="Account"),
    Column(name="debit", kind=Kind.AMOUNT, title="Debit"),
    Column(name="credit", kind=Kind.AMOUNT, title="Credit"),
    CURRENCY,
    Column(name="merchant", kind=Kind.TEXT, title="Merchant"),
    Column(name="merchant_name", kind=Kind.TEXT, title="Merchant's name"),
    Column(name="category", kind=Kind.TEXT, title="Category"),
    Column(name="account_id", kind=Kind.TEXT, title="Card account"),
    Column(name="card_id", kind=Kind.TEXT, title="Card"),
    Column(name="user_id", kind=Kind.TEXT, title="User"),
    Column(name="entry_id", kind=Kind.TEXT, title="Entry"),
    Column(name="related_entry_id", kind=Kind.TEXT, title="Related entry"),
    Column(name="authorization_id", kind=Kind.TEXT, title="Authorization"),
    Column(name="payment_id", kind=Kind.TEXT, title="Payment"),
)


def lines_of(entry: Entry, books: Books) -> list[Line]:
    """The lines of an entry in somebody's books; none if nothing moved there."""
    if books is Books.ISSUER:
        return [
            Line(ISSUER.get(name, Account(_UNKNOWN, name)), amount) for name, amount in entry.lines
        ]
    # What the issuer is owed, the holder owes: debit and credit change places.
    found: dict[Account, int] = {}
    for name, amount_minor in entry.lines:
        account = _HOLDER.get(name, _ADJUSTMENTS)
        found[account] = found.get(account, 0) - amount_minor
    return [Line(account, amount_minor) for account, amount_minor in found.items() if amount_minor]


def rows_of(entry: Entry, books: Books) -> Iterator[Row]:
    """A row for each line, as `COLUMNS` say."""
    for (code, name), amount_minor in lines_of(entry, books):
        yield (
            entry.day.isoformat(),
            entry.document,
            entry.type,
            code,
            name,
            amount_minor if amount_minor > 0 else None,
            -amount_minor if amount_minor < 0 else None,
            entry.currency,
            entry.merchant,
            entry.merchant_name,
            entry.category,
            entry.account_id,
            entry.card_id,
            entry.user_id,
            entry.id,
            entry.related_entry_id,
            entry.authorization_id,
            entry.payment_id,
        )


class Daily:
    """Adds entries up to one journal for each day and currency: programs for accounting take few
    lines at once. What was debited and what was credited of an account stay apart.
    """

    def __init__(self, books: Books) -> None:
        self._books = books
        self._found: dict[tuple[date, str], dict[tuple[Account, bool], int]] = {}

    def take(self, entry: Entry) -> None:
        """Adds an entry."""
        for account, amount_minor in lines_of(entry, self._books):
            day = self._found.setdefault((entry.day, entry.currency), {})
            place = (account, amount_minor < 0)
            day[place] = day.get(place, 0) + amount_minor

    def journals(self) -> Iterator[tuple[date, str, list[Line]]]:
        """Day, currency and lines, in their order."""
        for (day, currency), found in sorted(self._found.items()):
            yield (
                day,
                currency,
                [Line(account, amount) for (account, _), amount in sorted(found.items())],
            )
