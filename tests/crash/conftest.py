from __future__ import annotations

from tests.authz_fixtures import ledger, mesh, shared_ledger

__all__ = ["ledger", "mesh", "shared_ledger"]
