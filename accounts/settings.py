"""Settings of the accounts service."""

from __future__ import annotations

from pydantic import Field

from runtime.settings import Settings


class AccountsSettings(Settings):
    """What can be set beyond what every process shares."""

    instance: str = "accounts"
    accounts_postgres_connections: int = Field(
        default=8, ge=2, le=64, description="Most connections to PostgreSQL at once."
    )
    accounts_projection_wait_s: float = Field(
        default=5.0, gt=0, le=25, description="How long an answer waits for the authorizer."
    )
    accounts_request_lifetime_h: int = Field(
        default=24, ge=1, le=24 * 365, description="How long a request id is remembered."
    )
