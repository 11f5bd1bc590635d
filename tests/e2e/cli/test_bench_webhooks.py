"""`holdfast bench --scenario webhooks`: what endpoints should be told arrives, beside dead ones."""

from __future__ import annotations

import pytest

from loadtest import webhooks
from loadtest.report import shown
from loadtest.session import Options, Session


@pytest.mark.timeout(240)
async def test_a_tiny_run() -> None:
    """Goal: numbers that hang together. Whether they are good depends on the machine."""
    session = Session(options=Options(seconds=1, events_per_s=100), say=lambda _: None)
    await webhooks.webhooks(session)
    found = session.document["webhooks"]
    assert (found["events"], found["endpoints"], found["dead"]) == (500, 50, 5)
    assert found["delivered"] == 450
    assert found["waiting"] == 50
    assert found["receivers"]["missing"] == found["receivers"]["badly_signed"] == 0
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["max_ms"]
    assert found["notify_mb"]["peak"] >= found["notify_mb"]["before"] > 0
    assert found["cpu_us_per_event"]["notify"] > 0
    assert shown(session.document).renderables
