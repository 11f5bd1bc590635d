"""Settings of the payments service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from payments.payment import HOLD_DAYS_MAX, Source
from runtime.settings import Settings

#: Days that payments are held unless settings or an account say otherwise: as long as they are
#: likely to come back.
HOLD_DAYS = {
    Source.STRIPE_CARD: 1,
    Source.ACH: 5,
    Source.WIRE: 0,
    Source.ZELLE: 0,
    Source.IN_HOUSE: 0,
}


class PaymentsSettings(Settings):
    """What can be set beyond what every process shares."""

    instance: str = "payments"
    payments_postgres_connections: int = Field(
        default=8, ge=2, le=64, description="Most connections to PostgreSQL at once."
    )
    payments_request_lifetime_h: int = Field(
        default=24, ge=1, le=24 * 365, description="How long a request id is remembered."
    )
    payments_credit_minor: int = Field(
        default=10_000,
        ge=0,
        lt=2**53,
        description="How much more than is owed may be paid, in minor units.",
    )
    payments_stripe: Literal["on", "off"] = Field(
        default="off",
        description="Whether cards and direct debits are charged through Stripe; its key is the"
        " secret `stripe-key`, what it signs webhooks with `stripe-webhook`.",
    )
    payments_stripe_url: str = Field(
        default="", description="Where something else speaks Stripe, for tests; none: Stripe."
    )
    payments_hold_days: dict[Source, Annotated[int, Field(ge=0, le=HOLD_DAYS_MAX)]] = Field(
        default_factory=dict,
        description="Days that payments are held before they may be spent again, by source, as"
        ' JSON: `{"ACH": 5, "STRIPE_CARD": 1}` are the defaults, of others 0.',
    )

    @property
    def hold_days(self) -> Mapping[Source, int]:
        """Days by source, all of them."""
        return {**HOLD_DAYS, **self.payments_hold_days}
