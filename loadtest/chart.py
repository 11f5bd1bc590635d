"""Draws latency against the offered rate: the mesh and every baseline behind the same Envoy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.use("agg")

_LABELS = {
    "authorize": "Holdfast: every check, durable",
    "empty_grpc_aio": "empty handler, grpc.aio",
    "empty_native": "empty handler, pygrpc-native",
    "postgres_hold": "UPDATE + INSERT in PostgreSQL",
}
_COLOURS = {
    "authorize": "#0b6e4f",
    "empty_grpc_aio": "#8a8a8a",
    "empty_native": "#c4a000",
    "postgres_hold": "#3465a4",
}
_SIZE_INCHES = (9.0, 5.0)
_DPI = 150


def curves(document: Mapping[str, Any]) -> dict[str, Sequence[Mapping[str, float]]]:
    """The points of each curve by name; only what was measured."""
    found: dict[str, Sequence[Mapping[str, float]]] = {}
    if points := document.get("authorize", {}).get("at_rate"):
        found["authorize"] = points
    for name, baseline in document.get("baseline", {}).items():
        if points := baseline.get("behind_envoy", {}).get("at_rate"):
            found[name] = points
    return found


def draw(document: Mapping[str, Any], path: Path) -> list[Path]:
    """Writes the chart beside `path`, as PNG and as SVG. Nothing without curves."""
    found = curves(document)
    if not found:
        return []
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    for name, points in found.items():
        rates = [point["rate"] for point in points]
        for field, style in (("p50_ms", "-"), ("p99_ms", "--")):
            axes.plot(
                rates,
                [point[field] for point in points],
                style,
                marker="o",
                markersize=3,
                color=_COLOURS[name],
                label=f"{_LABELS[name]}, {field.removesuffix('_ms')}",
            )
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.set_xlabel("authorizations offered per second (open loop)")
    axes.set_ylabel("latency from the intended start, ms")
    axes.set_title(_title(document))
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(fontsize="small")
    written = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    for target in written:
        figure.savefig(target, dpi=_DPI, metadata={"Date": None} if target.suffix == ".svg" else {})
    return written


def _title(document: Mapping[str, Any]) -> str:
    where = document.get("conditions", {})
    return f"mTLS through Envoy, generator on the same {where.get('cores', '?')} cores"
