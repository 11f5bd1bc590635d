"""How long a hold lasts. A clearing after it still posts.

Days by what kind of purchase it is, first match wins. Lodging, car rental and cruise estimates
live long (Visa Core Rules; Mastercard pre-authorization 30 days), card-not-present ten days, what
was present at the terminal or started by the merchant five, the rest seven.
"""

from __future__ import annotations

from functools import cache

from runtime.record import record

DAY_MS = 86_400_000

ESTIMATE_DAYS = 30
NOT_PRESENT_DAYS = 10
PRESENT_DAYS = 5
DEFAULT_DAYS = 7

#: MCC ranges whose final amount is known late: lodging, car rental, cruise lines.
ESTIMATE_CODES = ((3501, 3999), (7011, 7011), (3351, 3500), (7512, 7512), (4411, 4411))


@record
class Circumstances:
    """What decides a hold's life."""

    category_code: str = ""
    preauthorization: bool = False
    card_present: bool = False
    merchant_initiated: bool = False
    ecommerce: bool = False


@cache
def _is_estimate(category_code: str) -> bool:
    code = int(category_code or 0)
    return any(low <= code <= high for low, high in ESTIMATE_CODES)


def hold_days(purchase: Circumstances) -> int:
    """Days that the hold lasts."""
    if purchase.preauthorization or _is_estimate(purchase.category_code):
        return ESTIMATE_DAYS
    if purchase.card_present or purchase.merchant_initiated:
        return PRESENT_DAYS
    if purchase.ecommerce:
        return NOT_PRESENT_DAYS
    return DEFAULT_DAYS


def expire_at_ms(purchase: Circumstances, *, now_ms: int) -> int:
    """When the hold of a purchase decided now is due to be released."""
    return now_ms + hold_days(purchase) * DAY_MS
