from __future__ import annotations

from tests.accounts_fixtures import accounts_database, impatient_mesh, mesh, shared_database

__all__ = ["accounts_database", "impatient_mesh", "mesh", "shared_database"]
