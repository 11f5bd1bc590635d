"""Rows and columns of a report's file, whatever kind of file it is. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

from runtime.money import EXPONENTS
from runtime.record import record
from stats.reports.cells import quiet
from stats.reports.report import Group

#: What is in a row, in the order of its columns: texts, counts, amounts in minor units.
Row = Sequence[Any]

#: Texts of merchants come again and again.
_quiet = lru_cache(maxsize=65_536)(quiet)


class Kind(StrEnum):
    """What a column has."""

    TEXT = "TEXT"
    COUNT = "COUNT"
    #: In minor units of the row's currency; None: nothing.
    AMOUNT = "AMOUNT"


@record
class Column:
    """A column."""

    name: str
    kind: Kind
    #: What people read above it.
    title: str


#: The column that says in which currency the amounts of a row are.
CURRENCY = Column(name="currency", kind=Kind.TEXT, title="Currency")
_GROUPS = {
    Group.DAY: ("day", "Day"),
    Group.WEEK: ("week", "Week"),
    Group.MONTH: ("month", "Month"),
    Group.ACCOUNT: ("account_id", "Account"),
    Group.DEPARTMENT: ("department_id", "Department"),
    Group.USER: ("user_id", "User"),
    Group.CARD: ("card_id", "Card"),
    Group.CATEGORY: ("category", "Category"),
    Group.MERCHANT: ("merchant", "Merchant"),
    Group.COUNTRY: ("country", "Country"),
}
_MERCHANT_NAME = Column(name="merchant_name", kind=Kind.TEXT, title="Merchant's name")
_MEASURES = (
    Column(name="purchase_count", kind=Kind.COUNT, title="Purchases"),
    Column(name="purchases", kind=Kind.AMOUNT, title="Amount"),
    Column(name="refund_count", kind=Kind.COUNT, title="Refunds"),
    Column(name="refunds", kind=Kind.AMOUNT, title="Amount"),
    Column(name="net_spend", kind=Kind.AMOUNT, title="Net spend"),
    Column(name="declined_count", kind=Kind.COUNT, title="Declined"),
    # Of the purchases.
    Column(name="cash_count", kind=Kind.COUNT, title="Of it cash"),
    Column(name="cash_advances", kind=Kind.AMOUNT, title="Amount"),
)


def spending_columns(groups: Sequence[Group]) -> tuple[Column, ...]:
    """What a report of spending has: what it is broken down by, the currency, the measures."""
    found = [Column(name=_GROUPS[one][0], kind=Kind.TEXT, title=_GROUPS[one][1]) for one in groups]
    if Group.MERCHANT in groups:
        found.append(_MERCHANT_NAME)
    return (*found, CURRENCY, *_MEASURES)


class Texts:
    """Writes rows as texts that no spreadsheet takes for formulas."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.heading = [one.name for one in columns]
        self._kinds = [one.kind for one in columns]
        self._currency = columns.index(CURRENCY)

    def of(self, rows: Iterable[Row]) -> Iterable[Sequence[str]]:
        """Rows, one column after the other: a look at each value takes a third longer."""
        columns = list(zip(*rows, strict=True))
        if not columns:
            return ()
        exponents = [EXPONENTS[one] for one in columns[self._currency]]
        return zip(
            *(
                map(_quiet, column)
                if kind is Kind.TEXT
                else map(_decimal, column, exponents)
                if kind is Kind.AMOUNT
                else map(str, column)
                for column, kind in zip(columns, self._kinds, strict=True)
            ),
            strict=True,
        )


def decimal(amount_minor: int | None, exponent: int) -> str:
    """`-123456, 2` → `-1234.56`; for machines. Nothing is an empty text."""
    if amount_minor is None:
        return ""
    if not exponent:
        return str(amount_minor)
    whole, part = divmod(abs(amount_minor), 10**exponent)
    return f"{'-' if amount_minor < 0 else ''}{whole}.{part:0{exponent}}"


#: Nothing is what many rows have.
_decimal = lru_cache(maxsize=65_536)(decimal)
