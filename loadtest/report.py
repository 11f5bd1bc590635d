"""The benchmark's result for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from loadtest.processes import GROUPS
from loadtest.session import DEPTH

_NAMES = {
    "authorize": "authorize",
    "hot_account": "one hot account",
    "declines": "30 % declined",
    "windows": "all spend windows",
    "json_edge": "JSON at the edge",
}


def shown(document: Mapping[str, Any]) -> Group:
    """Rates and CPU by scenario, and the line about the books."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    for heading in ("per s", "p50", "p99", *GROUPS):
        table.add_column(heading, justify="right")
    for name, found in _rows(document):
        used = found["cpu_us_per_call"]
        table.add_row(
            name,
            f"{found['max_rate']:,.0f}",
            *(f"{found[name]:.1f}" if name in found else "" for name in ("p50_ms", "p99_ms")),
            *(f"{used[group]:.0f}" if group in used else "" for group in GROUPS),
        )
    caption = Text(f"{DEPTH} in flight; latency in ms, CPU in µs per call", style="dim")
    return Group(table, caption, *_webhooks(document), _verdict(document))


def _rows(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, name in _NAMES.items():
        if key in document:
            yield name, document[key]
    for count, found in document.get("workers", {}).items():
        yield f"{count} workers", found
    for found in document.get("scale", ()):
        yield f"{found['accounts']:,} accounts", found
    if "bare_script" in document:
        yield "the script alone", document["bare_script"]
    for key, found in document.get("baseline", {}).items():
        name = key.replace("_", " ")
        yield name, found
        yield f"{name} + Envoy", found["behind_envoy"]


def _webhooks(document: Mapping[str, Any]) -> Iterator[Text]:
    found = document.get("webhooks")
    if found:
        yield Text(
            f"{found['rate']:,.0f} events/s to {found['endpoints']} webhook endpoints,"
            f" {found['dead']} of them dead: p95 {found['p95_ms']:,.0f} ms, p99"
            f" {found['p99_ms']:,.0f} ms at the others; notify: {found['notify_mb']['peak']} MB",
            style="bold green" if found["holds"] else "bold red",
        )


def _verdict(document: Mapping[str, Any]) -> Text:
    checks = len(document["books"])
    if not checks:
        return Text("no books: baselines keep none", style="dim")
    return Text(f"books balance after each of {checks} checks", style="bold green")
