from __future__ import annotations

from dataclasses import replace

import pytest

from authz.convert_projection import end_of_month_ms
from authz.expiry import DAY_MS, Circumstances, expire_at_ms, hold_days
from runtime.clock import datetime_of

PLAIN = Circumstances(
    category_code="5411",
    preauthorization=False,
    card_present=False,
    merchant_initiated=False,
    ecommerce=False,
)


@pytest.mark.parametrize(
    ("changes", "days"),
    [
        ({}, 7),
        ({"category_code": ""}, 7),
        ({"ecommerce": True}, 10),
        ({"card_present": True}, 5),
        ({"merchant_initiated": True}, 5),
        ({"ecommerce": True, "merchant_initiated": True}, 5),
        ({"card_present": True, "preauthorization": True}, 30),
        ({"card_present": True, "category_code": "7011"}, 30),
        ({"category_code": "3350"}, 7),
        ({"category_code": "3351"}, 30),
        ({"category_code": "3500"}, 30),
        ({"category_code": "3501"}, 30),
        ({"category_code": "3999"}, 30),
        ({"category_code": "4000"}, 7),
        ({"category_code": "4411"}, 30),
        ({"category_code": "7512"}, 30),
        ({"category_code": "0000"}, 7),
    ],
)
def test_days(changes: dict[str, object], days: int) -> None:
    circumstances = replace(PLAIN, **changes)  # type: ignore[arg-type]
    assert hold_days(circumstances) == days
    assert expire_at_ms(circumstances, now_ms=1_000) == 1_000 + days * DAY_MS


@pytest.mark.parametrize(
    ("year", "month", "first_invalid"),
    [
        (2027, 12, "2028-01-01T00:00:00+00:00"),
        (2028, 2, "2028-03-01T00:00:00+00:00"),
        (2027, 2, "2027-03-01T00:00:00+00:00"),
        (2099, 12, "2100-01-01T00:00:00+00:00"),
    ],
)
def test_card_is_valid_through_its_month(year: int, month: int, first_invalid: str) -> None:
    assert datetime_of(end_of_month_ms(year, month)).isoformat() == first_invalid
