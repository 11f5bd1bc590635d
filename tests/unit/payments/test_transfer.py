"""Whose a transfer is, by what the payer has written, and when it was received."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from payments import transfer

ONE, OTHER = "acct_0a" + "1f" * 16, "acct_3b" + "2e" * 16


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("remittance", "found"),
    [
        ("", ""),
        ("thanks", ""),
        (ONE, ONE),
        (f"Inv. 7 {ONE} dear bank", ONE),
        (f"{ONE} again {ONE}", ONE),
        (ONE.upper(), ONE),
        # Banks break lines, and leave out what they do not like.
        (f"{ONE[:20]}\n{ONE[20:]}", ONE),
        (ONE.replace("_", ""), ONE),
        (f"{ONE} {OTHER}", ""),
        (ONE[:-1], ""),
        (ONE.replace("acct", "card"), ""),
    ],
)
def test_one_account_has_to_be_named(remittance: str, found: str) -> None:
    assert transfer.account_named(remittance) == found


@pytest.mark.parametrize(
    ("day", "may"),
    [
        (date(2027, 1, 20), True),
        # Tomorrow has begun where the bank is.
        (date(2027, 1, 21), True),
        (date(2027, 1, 22), False),
        (date(2026, 10, 22), True),
        (date(2026, 10, 21), False),
    ],
)
def test_a_bank_tells_of_what_has_arrived(day: date, may: bool) -> None:
    assert transfer.may_have_arrived(day, now_ms=ms("2027-01-20T23:59")) is may


@pytest.mark.parametrize(
    ("day", "received"),
    [(date(2027, 1, 19), "2027-01-19T11:00"), (date(2027, 1, 20), "2027-01-20T09:00")],
)
def test_the_day_of_receipt_counts_and_nothing_is_received_tomorrow(
    day: date, received: str
) -> None:
    now_ms = ms("2027-01-20T09:00")
    assert transfer.receive_ms(day, "America/New_York", now_ms=now_ms) == ms(received)
