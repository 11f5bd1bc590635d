"""What access tokens are: agreed between gateway (signs), Envoy (checks) and the CLI."""

from __future__ import annotations

from runtime.settings import Settings

#: Tokens say whom they are for; a token for anything else is refused.
TOKEN_AUDIENCE = "holdfast-edge"  # noqa: S105 - a name, not a secret
#: Life of a token unless asked otherwise, and the longest that Envoy accepts.
TOKEN_LIFETIME_S = 300
TOKEN_LIFETIME_S_MAX = 3600
#: How far the clocks of signer and checker may differ.
TOKEN_CLOCK_SKEW_S = 10


def token_issuer(settings: Settings) -> str:
    """Who signs the tokens of this installation."""
    return f"https://{settings.trust_domain}"
