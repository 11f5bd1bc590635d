from __future__ import annotations

from tests.notify_fixtures import mesh, shared_notify

__all__ = ["mesh", "shared_notify"]
