from __future__ import annotations

from tests.stats_fixtures import mesh, shared_stats

__all__ = ["mesh", "shared_stats"]
