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
    accounts_bin: str = Field(
        default="400000",
        pattern=r"^[0-9]{6}([0-9]{2})?$",
        description="First digits of the card numbers of programmes that have no BIN of their own.",
    )
    accounts_reveals_per_hour: int = Field(
        default=10, ge=1, le=1_000, description="How often the number of one card may be shown."
    )
    accounts_reveal_mfa_age_s: int = Field(
        default=300,
        ge=30,
        le=3_600,
        description="How old a holder's second factor may be when a card's number is shown, or the"
        " address to sign in with is changed.",
    )
    accounts_unknown_pans_per_minute: int = Field(
        default=60, ge=1, le=100_000, description="Unknown card numbers that a network may ask for."
    )
    accounts_renewal_days: int = Field(
        default=30, ge=1, le=89, description="Days before its expiry that a card in use is renewed."
    )
    accounts_billing_delay_s: int = Field(
        default=300,
        ge=0,
        le=86_400,
        description="How long after its last day a cycle closes, for what comes in late.",
    )
    accounts_vault_connections: int = Field(
        default=4, ge=1, le=64, description="Most connections of the vault to PostgreSQL at once."
    )
    accounts_creditor: str = Field(
        default="Holdfast Demo Bank",
        min_length=1,
        max_length=200,
        description="Name and address of the creditor, as notices of adverse action state it.",
    )
    accounts_agency: str = Field(
        default="Consumer Financial Protection Bureau, 1700 G Street NW, Washington, DC 20552",
        min_length=1,
        max_length=200,
        description="Agency that watches the creditor, as notices of adverse action state it.",
    )
