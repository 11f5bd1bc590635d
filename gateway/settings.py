"""Settings of the gateway."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from gateway.oidc_provider import is_safe
from runtime.rate_limits import KEY_LIMIT_MAX
from runtime.settings import Settings


class OidcIssuer(BaseModel, frozen=True, extra="forbid"):
    """One issuer of third-party sign-in. Its client secret is the secret `oidc-<name>`."""

    #: Its identifier (`iss`), where its configuration is found.
    url: str
    client_id: str = Field(min_length=1)
    #: Where it may send users back to.
    redirect_uris: tuple[str, ...] = Field(min_length=1, max_length=16)
    #: Whether it may make new users, out of addresses that it has verified.
    registers: bool = False

    @field_validator("url")
    @classmethod
    def _safe(cls, value: str) -> str:
        if not is_safe(value):
            raise ValueError("must be https, unless it is on this machine")
        return value


class GatewaySettings(Settings):
    """What can be set beyond what every process shares."""

    instance: str = "gateway"
    gateway_postgres_connections: int = Field(
        default=8, ge=2, le=64, description="Most connections to PostgreSQL at once."
    )
    gateway_queue_commands: int = Field(
        default=2048, ge=1, description="Most commands that wait for the cache Valkey."
    )
    gateway_usage_retention_days: int = Field(
        default=35, ge=1, le=3660, description="How long the usage log is kept."
    )
    gateway_request_lifetime_h: int = Field(
        default=24, ge=1, le=24 * 365, description="How long a request id is remembered."
    )
    # Limits are calls in any 60 s.
    limit_caller_per_minute: int = Field(
        default=100,
        ge=0,
        le=KEY_LIMIT_MAX,
        description="Calls per minute of each API key and each user; 0: any number.",
    )
    limit_public_per_minute: int = Field(
        default=600,
        ge=0,
        le=KEY_LIMIT_MAX,
        description="Calls per minute of each address that names nobody; 0: any number.",
    )
    limit_sign_in_per_minute: int = Field(
        default=30,
        ge=0,
        le=KEY_LIMIT_MAX,
        description="Attempts to sign in, and refresh tokens that are none of ours, per minute"
        " of each address; 0: any number.",
    )
    limit_refresh_per_minute: int = Field(
        default=600,
        ge=0,
        le=KEY_LIMIT_MAX,
        description="Refresh tokens per minute of each address; 0: any number.",
    )
    limit_reveal_per_minute: int = Field(
        default=10,
        ge=0,
        le=KEY_LIMIT_MAX,
        description="Card numbers that each caller may see per minute; 0: any number.",
    )
    oidc_issuers: dict[Annotated[str, Field(pattern="^[a-z0-9-]{1,32}$")], OidcIssuer] = Field(
        default_factory=dict,
        description="Issuers of third-party sign-in by name, as JSON:"
        ' `{"example": {"url": "https://…", "client_id": "…", "redirect_uris": ["https://…"],'
        ' "registers": true}}`.',
    )
