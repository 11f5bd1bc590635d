"""The database that a test is given."""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime import migrations
from runtime.devstack.settings import StackSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database of one test, with every migration applied."""

    name: str
    #: Logged in as the server's owner.
    owner_dsn: str = field(repr=False)
    #: Settings whose `postgres_dsn` leads here.
    settings: StackSettings

    def dsn(self, service: str) -> str:
        """URL logged in as the role of one service."""
        return migrations.service_dsn(self.settings, service, owner_dsn=self.owner_dsn)
