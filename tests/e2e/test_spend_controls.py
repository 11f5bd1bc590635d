"""Spend controls as a web client sets and reads them: JSON through Envoy, the whole mesh behind."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient, connect
from tests.e2e.test_purchases import fresh, open_card, over_json

USD = {"currency_code": "USD"}
DAILY = {
    "control_id": "daily",
    "amount": {**USD, "amount_minor": "5000"},
    "count": 3,
    "calendar": {"unit": "UNIT_YEAR", "timezone": "Pacific/Kiritimati"},
}


@pytest.fixture
async def client(full_mesh: Devstack) -> AsyncIterator[MeshClient]:
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        yield client


async def _set(client: MeshClient, card_id: str, controls: Any, key: str = "") -> Any:
    return await client.web.post(
        f"/v1/cards/{card_id}:setControls",
        json={"controls": controls},
        headers={"Idempotency-Key": key or uuid.uuid4().hex},
    )


async def _usage(client: MeshClient, card_id: str) -> Any:
    answer = await client.web.get(f"/v1/cards/{card_id}/spendUsage")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_limit_set_over_json_declines_and_is_told(client: MeshClient) -> None:
    """Goal: what the form sets, the next purchase obeys and the usage shows, in JSON's own types.

    Method: set, repeat, read back; spend; be refused; read the usage; take the limit away.
    """
    account_id, card_id = await open_card(client, limit_minor=100_000)
    key = uuid.uuid4().hex
    answer = await _set(client, card_id, {"limits": [DAILY], "blocked_countries": ["KP"]}, key)
    assert answer.status_code == 200, answer.text
    again = await _set(client, card_id, {"limits": [DAILY], "blocked_countries": ["KP"]}, key)
    assert (again.json(), again.headers["idempotent-replayed"]) == (answer.json(), "true")
    card = (await client.web.get(f"/v1/cards/{card_id}")).json()["card"]
    (limit,) = card["controls"]["limits"]
    assert limit["counting_since"].endswith("Z")
    assert {name: limit[name] for name in DAILY} == DAILY | {
        "calendar": {**DAILY["calendar"], "week_start": 0}  # type: ignore[dict-item]
    }
    assert (await over_json(client, fresh(card_id, 3_000)))["decision"] == "DECISION_APPROVED"
    refused = await over_json(client, fresh(card_id, 2_001))
    assert refused["decline_reason"] == "DECLINE_REASON_SPEND_LIMIT_EXCEEDED"
    assert refused["control"] == {
        "control_id": "card/daily",
        "left_amount": {**USD, "amount_minor": "2000"},
        "left_count": 2,
    }
    usage = await _usage(client, card_id)
    assert usage["card_id"] == card_id
    (used,) = usage["limits"]
    reset = datetime.fromisoformat(used.pop("reset_time"))
    year = datetime.now(UTC) + timedelta(hours=14)
    assert reset == datetime(year.year, 12, 31, 10, tzinfo=UTC), "midnight in Kiritimati"
    assert used == {
        "control_id": "card/daily",
        "limit_amount": {**USD, "amount_minor": "5000"},
        "used_amount": {**USD, "amount_minor": "3000"},
        "left_amount": {**USD, "amount_minor": "2000"},
        "limit_count": 3,
        "used_count": 1,
        "left_count": 2,
        "start_time": limit["counting_since"],
    }
    assert (await _set(client, card_id, {})).status_code == 200
    assert (await _usage(client, card_id))["limits"] == []
    assert (await over_json(client, fresh(card_id, 2_001)))["decision"] == "DECISION_APPROVED"
    balance = (await client.web.get(f"/v1/accounts/{account_id}/balance")).json()
    assert balance["held"]["amount_minor"] == "5001"


async def test_wrong_controls_are_named_and_change_nothing(client: MeshClient) -> None:
    _, card_id = await open_card(client, limit_minor=100_000)
    euros = {**DAILY, "amount": {"currency_code": "EUR", "amount_minor": 1}}
    for wrong, field in (
        ({"limits": [DAILY], "allowed_countries": ["usa"]}, "controls.allowed_countries[0]"),
        ({"limits": [euros]}, "controls.limits[0].amount.currency_code"),
    ):
        answer = await _set(client, card_id, wrong)
        assert answer.status_code == 400
        details = answer.json()["details"]
        fields = [v["field"] for d in details for v in d.get("field_violations", [])]
        assert fields == [field]
    answer = await _set(client, card_id, {"limits": [{**DAILY, "count": "three"}]})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert (await _usage(client, card_id))["limits"] == []


async def test_an_auditor_reads_and_does_not_set(full_mesh: Devstack, client: MeshClient) -> None:
    _, card_id = await open_card(client, limit_minor=100_000)
    async with connect(full_mesh.settings, full_mesh.ports, roles=("auditor",)) as auditor:
        assert (await _usage(auditor, card_id))["limits"] == []
        assert (await _set(auditor, card_id, {"limits": [DAILY]})).status_code == 403
    unknown = f"/v1/cards/card_05{uuid.uuid4().hex}/spendUsage"
    assert (await client.web.get(unknown)).status_code == 404
