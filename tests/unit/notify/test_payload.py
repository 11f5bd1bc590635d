"""What webhooks carry."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from notify.payload import Told, body_of

TOLD = Told(
    id="evt_1",
    type="card.frozen",
    sequence=7,
    account_id="acct_1",
    owner_id="co_1",
    user_id="",
    data='{"amount":{"amount_minor":9007199254740991}}',
    create_time=datetime(2027, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC),
)


def test_the_body() -> None:
    assert json.loads(body_of(TOLD)) == {
        "id": "evt_1",
        "type": "card.frozen",
        "timestamp": "2027-01-02T03:04:05.678Z",
        "sequence": 7,
        "account_id": "acct_1",
        "owner_id": "co_1",
        "user_id": "",
        "data": {"amount": {"amount_minor": 2**53 - 1}},
    }


def test_tests_are_marked_and_nothing_else() -> None:
    assert json.loads(body_of(replace(TOLD, test=True)))["test"] is True
    assert "test" not in json.loads(body_of(TOLD))
