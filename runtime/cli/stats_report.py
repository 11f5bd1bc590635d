"""What `holdfast stats` prints and draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from holdfast.stats.v1 import stat_pb2 as pb
from runtime.cli.output import CliError, ExitCode
from runtime.money import EXPONENTS, format_minor
from stats.period import PeriodType, period_of
from stats.rebuild import TOLD_MAX, Rebuilt

#: Characters of the longest bar.
_BAR_WIDTH = 18
_CHART_INCHES = (10.0, 4.5)
_CHART_DPI = 150
_GREEN, _RED = "#0b6e4f", "#b22222"
#: Periods that are named below a chart.
_LABELS_MAX = 40


def document(one: pb.PeriodStats) -> dict[str, Any]:
    """A period for programs."""
    totals = one.totals
    return {
        "period": _label(one),
        "start_date": one.start_date,
        "end_date": one.end_date,
        "currency_code": one.currency_code,
        "net_spend_minor": totals.net_spend.amount_minor,
        "purchase_count": totals.purchases.count,
        "purchase_minor": totals.purchases.amount.amount_minor,
        "cash_count": totals.cash_advances.count,
        "cash_minor": totals.cash_advances.amount.amount_minor,
        "refund_count": totals.refunds.count,
        "refund_minor": totals.refunds.amount.amount_minor,
        "payment_minor": totals.payments.amount.amount_minor,
        "declined_count": totals.declined_count,
        "correction_count": totals.correction_count,
    }


def bars(found: Sequence[pb.PeriodStats]) -> Group:
    """A bar for each period; what came back more than was spent is red."""
    largest = max((abs(one.totals.net_spend.amount_minor) for one in found), default=0) or 1
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("period", no_wrap=True)
    table.add_column("net spend", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, min_width=_BAR_WIDTH)
    # Where there is none, its column would only take room from amounts.
    cash = any(one.totals.cash_advances.count for one in found)
    for heading in ("bought", *(("cash",) if cash else ()), "refunded", "declined"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        totals, currency = one.totals, one.currency_code
        net_minor = totals.net_spend.amount_minor
        bar = "█" * max(round(abs(net_minor) / largest * _BAR_WIDTH), 1 if net_minor else 0)
        table.add_row(
            _label(one) + (" *" if totals.correction_count else ""),
            format_minor(net_minor, currency),
            Text(bar, style="red" if net_minor < 0 else "green"),
            str(totals.purchases.count or ""),
            *((str(totals.cash_advances.count or ""),) if cash else ()),
            str(totals.refunds.count or ""),
            str(totals.declined_count or ""),
        )
    corrected = any(one.totals.correction_count for one in found)
    note = [Text("* corrected by what came later", style="dim")] if corrected else []
    return Group(table, *note)


def draw(found: Sequence[pb.PeriodStats], path: Path, *, title: str) -> None:
    """Draws net spend into a PNG: a chart for each currency."""
    try:
        import matplotlib as mpl  # noqa: PLC0415  only charts need it, and not every installation
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise CliError(
            "charts need matplotlib, which is not installed",
            hint="install requirements/dev.txt, or leave --png out",
            exit_code=ExitCode.ENVIRONMENT,
        ) from None
    mpl.use("agg")
    currencies = sorted({one.currency_code for one in found})
    width, height = _CHART_INCHES
    figure = Figure(figsize=(width, height * len(currencies)), layout="constrained")
    figure.suptitle(f"Net spend of {title}")
    charts = figure.subplots(len(currencies), squeeze=False)
    for (axes,), currency in zip(charts, currencies, strict=True):
        _draw_bars(axes, [one for one in found if one.currency_code == currency], currency)
    figure.savefig(path, dpi=_CHART_DPI)


def _draw_bars(axes: Any, found: Sequence[pb.PeriodStats], currency: str) -> None:
    """One currency: what came back more than was spent is red, and goes down."""
    unit = 10 ** EXPONENTS[currency]
    minors = [one.totals.net_spend.amount_minor for one in found]
    axes.set_axisbelow(True)
    axes.bar(
        range(len(found)),
        [minor / unit for minor in minors],
        color=[_RED if minor < 0 else _GREEN for minor in minors],
    )
    axes.axhline(0, color="black", linewidth=0.8)
    every = -(-len(found) // _LABELS_MAX)
    shown = range(0, len(found), every)
    labels = [_label(found[number]) for number in shown]
    axes.set_xticks(shown, labels, rotation=60, ha="right", rotation_mode="anchor")
    axes.tick_params(labelsize="small")
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.set_ylabel(currency)
    axes.grid(visible=True, axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _label(one: pb.PeriodStats) -> str:
    kind = PeriodType(pb.PeriodType.Name(one.type).removeprefix("PERIOD_TYPE_"))
    start = date.fromisoformat(one.start_date)
    return period_of(kind, start, week_start=start.weekday()).label


def differences(rebuilt: Rebuilt) -> Group:
    """What differs, if anything, and the line that says it all."""
    count = len(rebuilt.differences)
    kinds = Counter(one.what for one in rebuilt.differences)
    least = "at least " if TOLD_MAX in kinds.values() else ""
    line = Text(
        f"{rebuilt.entries:,} entries counted again, {rebuilt.days:,} days of subjects: "
        f"{least}{count:,} differences{' (repaired)' if rebuilt.repaired else ''}",
        style="bold red" if count else "bold green",
    )
    if not count:
        return Group(line)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("what", "subject", "day", "found", "expected"):
        table.add_column(heading, overflow="fold")
    for one in rebuilt.differences:
        table.add_row(one.what, one.subject_id, one.day, one.found, one.expected)
    return Group(table, line)
