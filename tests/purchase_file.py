"""A real file of purchases, and what it comes to: read with csv alone, by nothing of ours."""

from __future__ import annotations

import csv
import gzip
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TextIO

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "purchase-cards-2014-2016.csv.gz"


@dataclass(slots=True)
class Sums:
    """What some rows come to."""

    purchases: int = 0
    purchase_minor: int = 0
    refunds: int = 0
    refund_minor: int = 0
    largest_minor: int = 0

    def take(self, amount_minor: int) -> None:
        if amount_minor > 0:
            self.purchases += 1
            self.purchase_minor += amount_minor
            self.largest_minor = max(self.largest_minor, amount_minor)
        else:
            self.refunds += 1
            self.refund_minor -= amount_minor


ByKey = dict[tuple[str, str], Sums]


def _sums() -> ByKey:
    return defaultdict(Sums)


@dataclass
class Expected:
    """A file's sums: first by card or '' for all, then by the first day of the period."""

    rows: int = 0
    #: Amounts of nothing, and rows that are not in the currency of their card's first one.
    skipped: int = 0
    months: ByKey = field(default_factory=_sums)
    weeks: ByKey = field(default_factory=_sums)
    days: ByKey = field(default_factory=_sums)
    #: By month, then merchant; of all cards.
    merchants: ByKey = field(default_factory=_sums)
    cards: dict[str, str] = field(default_factory=dict)

    def take(self, row: dict[str, str]) -> None:
        self.rows += 1
        card, amount_minor = row["card_last4"], int(row["amount_minor"])
        currency = self.cards.setdefault(card, row["currency"])
        if not amount_minor or row["currency"] != currency:
            self.skipped += 1
            return
        day = date.fromisoformat(row["date"])
        month = day.replace(day=1).isoformat()
        week = (day - timedelta(days=day.isoweekday() - 1)).isoformat()
        for whose in (card, ""):
            self.months[whose, month].take(amount_minor)
            self.weeks[whose, week].take(amount_minor)
            self.days[whose, day.isoformat()].take(amount_minor)
        self.merchants[month, row["merchant"].strip()].take(amount_minor)


def expected(path: Path) -> Expected:
    """What a file comes to."""
    found = Expected()
    with _opened(path) as file:
        for row in csv.DictReader(file):
            found.take(row)
    return found


def slice_of(path: Path, into: Path, *, rows: int, seed: int = 9) -> Path:
    """A file with every row of so many cards as have at least so many rows."""
    numbers: dict[str, int] = defaultdict(int)
    with _opened(path) as file:
        for row in csv.DictReader(file):
            numbers[row["card_last4"]] += 1
    names = sorted(numbers)
    random.Random(seed).shuffle(names)
    chosen, total = set[str](), 0
    for name in names:
        if total >= rows:
            break
        chosen.add(name)
        total += numbers[name]
    return _written(path, into, lambda row: row["card_last4"] in chosen)


def _written(path: Path, into: Path, wanted: Callable[[dict[str, str]], bool]) -> Path:
    with _opened(path) as file, into.open("w", newline="") as out:
        table = csv.DictReader(file)
        assert table.fieldnames is not None
        writer = csv.DictWriter(out, table.fieldnames)
        writer.writeheader()
        writer.writerows(row for row in table if wanted(row))
    return into


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="")
    return path.open(newline="")
