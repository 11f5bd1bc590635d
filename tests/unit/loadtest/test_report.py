from __future__ import annotations

from typing import Any

from rich.console import Console

from loadtest.processes import GROUPS
from loadtest.report import shown


def test_every_number_is_readable_in_a_narrow_terminal() -> None:
    """Nothing is cut off at 80 characters, whatever was measured."""
    measured: dict[str, Any] = {
        "max_rate": 123_456.7,
        "p50_ms": 123.4,
        "p99_ms": 1234.5,
        "cpu_us_per_call": dict.fromkeys(GROUPS, 1_234.0),
    }
    document = {
        "books": [{}],
        **dict.fromkeys(("authorize", "hot_account", "declines", "windows", "json_edge"), measured),
        "workers": {"4": measured},
        "scale": [{"accounts": 1_000_000, **measured}],
        "bare_script": {"max_rate": 20_000.0, "cpu_us_per_call": {"valkey": 50.0}},
        "baseline": {
            name: {**measured, "behind_envoy": measured}
            for name in ("empty_grpc_aio", "postgres_hold")
        },
    }
    console = Console(width=80)
    with console.capture() as captured:
        console.print(shown(document))
    text = captured.get()
    assert "…" not in text
    assert text.count("123,457") == 11
    assert "books balance" in text
