"""What a replay reports: each card to the cent, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from authz.reconcile_flow import Books
from runtime.money import format_minor
from runtime.replay.rows import BadRow
from runtime.replay.tally import CardResult, Tally, disagreeing

#: Bad rows that the report names; all are counted, and told as they come.
BAD_ROWS_KEPT = 1000
#: Cards that people see; the JSON has all.
CARDS_SHOWN = 10

_SUMS = ("file_minor", "approved_minor", "declined_minor", "refunded_minor", "skipped_minor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole replay."""

    run_id: str
    temporary: bool
    credit_limit: Decimal
    tally: Tally
    results: list[CardResult]
    bad: list[BadRow]
    seconds: float
    ended_early: str
    #: Of a mesh of the replay's own; None if it was somebody's.
    books: Books | None

    @property
    def rate(self) -> float:
        """Purchases decided per second."""
        return (self.tally.approved + self.tally.declined) / max(self.seconds, 1e-9)

    @property
    def agrees(self) -> bool:
        """True if each card agrees to the cent, and the books balance."""
        return not disagreeing(self.results) and (self.books is None or self.books.differences == 0)


def document(report: Report) -> dict[str, Any]:
    """The report for programs."""
    tally = report.tally
    return {
        "run": report.run_id,
        "temporary_mesh": report.temporary,
        "credit_limit": f"{report.credit_limit:.2f}",
        "rows": tally.rows,
        "approved": tally.approved,
        "declined": tally.declined,
        "declines": dict(tally.declines.most_common()),
        "refunded": tally.refunded,
        "refunds_linked": tally.linked,
        "bad_rows": tally.bad_rows,
        "bad_rows_listed": [asdict(bad) for bad in report.bad],
        "ended_early": report.ended_early,
        "seconds": round(report.seconds, 3),
        "purchases_per_s": round(report.rate, 1),
        "agrees": report.agrees,
        "cards": [
            {
                **asdict(result.tally),
                "ledger": asdict(result.ledger),
                "disagreements": result.disagreements,
            }
            for result in report.results
        ],
        "books": None if report.books is None else asdict(report.books),
    }


def shown(report: Report) -> Group:
    """The report for people."""
    tally = report.tally
    parts: list[RenderableType] = [_cards(report), Text()]
    parts.append(
        Text(
            f"{tally.rows:,} rows in {report.seconds:.1f} s: {tally.approved:,} approved,"
            f" {tally.declined:,} declined, {tally.refunded:,} refunded"
            f" ({tally.linked:,} of them for a purchase at the same merchant),"
            f" {tally.bad_rows:,} bad rows skipped; {report.rate:,.0f} purchases/s"
        )
    )
    for reason, count in tally.declines.most_common():
        parts.append(Text(f"  declined {count:,}: {reason}"))
    if report.ended_early:
        parts.append(Text(f"the file was not read to its end: {report.ended_early}", style="red"))
    parts.append(_verdict(report.results))
    if report.books is not None:
        style = "bold red" if report.books.differences else "bold green"
        parts.append(Text(report.books.line(), style=style))
    return Group(*parts)


def _verdict(results: Sequence[CardResult]) -> Text:
    wrong = disagreeing(results)
    if not wrong:
        return Text(
            f"{len(results):,} of {len(results):,} cards agree to the cent: approved + declined"
            " + refunded + skipped = the file, approved + refunded = the ledger",
            style="bold green",
        )
    lines = [f"{len(wrong):,} of {len(results):,} cards do NOT agree:"]
    for result in wrong[:CARDS_SHOWN]:
        lines += [f"  {result.tally.last4}: {text}" for text in result.disagreements]
    return Text("\n".join(lines), style="bold red")


def _cards(report: Report) -> Table:
    """The cards that spent most, and all together."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("card")
    for heading in ("file", "approved", "declined", "refunded", "skipped", "ledger"):
        table.add_column(heading, justify="right")
    ranked = sorted(report.results, key=lambda result: -result.tally.file_minor)
    for result in ranked[:CARDS_SHOWN]:
        currency = result.tally.currency
        amounts = [getattr(result.tally, name) for name in _SUMS]
        amounts.append(result.ledger.posted_minor)
        table.add_row(f"{result.tally.last4} {currency}", *_plain(amounts, currency))
    if len(ranked) > CARDS_SHOWN:
        table.add_row(f"… {len(ranked) - CARDS_SHOWN:,} more")
    for currency in sorted({result.tally.currency for result in ranked}):
        of_currency = [result for result in ranked if result.tally.currency == currency]
        sums = [sum(getattr(one.tally, name) for one in of_currency) for name in _SUMS]
        sums.append(sum(one.ledger.posted_minor for one in of_currency))
        table.add_row(f"all {currency}", *_plain(sums, currency), style="bold")
    return table


def _plain(amounts: Sequence[int], currency: str) -> list[str]:
    """Amounts without their currency: the row says it once."""
    return [format_minor(amount, currency).removesuffix(f" {currency}") for amount in amounts]
