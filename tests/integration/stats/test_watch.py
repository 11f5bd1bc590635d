"""Looking for what is unusual: each kind once for a day, whatever dies, and told."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from holdfast.authz.v1 import authorization_pb2 as authz
from holdfast.stats.v1 import anomaly_pb2 as pb
from holdfast.stats.v1 import stats_service_pb2 as rpc
from stats.watch import Watch
from tests.stats_mesh import ACCOUNT, ADMIN, NOON, OTHER_ACCOUNT, OTHER_COMPANY, StatsMesh

DAY = timedelta(days=1)


def shop(country: str) -> authz.Merchant:
    return authz.Merchant(id="m-1", descriptor="Shop", country_code=country)


class Spender:
    """Uses an account."""

    def __init__(self, mesh: StatsMesh, **fields: Any) -> None:
        self._mesh = mesh
        self._fields = fields
        self._number = 0

    def purchase(self, amount_minor: int, *, ago: int = 0, country: str = "GB") -> Any:
        self._number += 1
        name = f"auth_{self._number}_{self._fields.get('account_id', '')}"
        return self._mesh.book.entry(
            "AUTHORIZATION",
            amount_minor,
            at=NOON - ago * DAY,
            authorization_id=name,
            merchant=shop(country),
            **self._fields,
        )

    def decline(self, *, country: str = "GB") -> Any:
        return self._mesh.book.entry("DECLINE", 0, merchant=shop(country), **self._fields)

    async def live(self, days: int = 30) -> None:
        """The same every day, until yesterday."""
        await self._mesh.take(*(self.purchase(10_000, ago=ago) for ago in range(days, 0, -1)))


async def found(mesh: StatsMesh) -> list[pb.Anomaly]:
    answer = await mesh.stats.ListAnomalies(rpc.ListAnomaliesRequest(), metadata=ADMIN)
    return list(answer.anomalies)


async def told(mesh: StatsMesh) -> list[tuple[str, str, dict[str, Any]]]:
    rows = await mesh.rows("SELECT type, account_id, data FROM event ORDER BY id")
    return [(row["type"], row["account_id"], json.loads(row["data"])) for row in rows]


async def test_a_day_is_found_once_and_told(mesh: StatsMesh) -> None:
    """Goal: a habit is learned, a day far outside is found when it is, not again as it goes on."""
    spender, other = (
        Spender(mesh),
        Spender(mesh, account_id=OTHER_ACCOUNT, company_id=OTHER_COMPANY),
    )
    await spender.live()
    await other.live(5)
    while await mesh.watch.step():
        pass
    assert not await found(mesh)
    await mesh.take(spender.purchase(30_000), other.purchase(500_000))
    await mesh.watch.step()
    assert not await found(mesh)
    await mesh.take(spender.purchase(40_000))
    await mesh.watch.step()
    (one,) = await found(mesh)
    assert (one.account_id, one.kind, one.day) == (ACCOUNT, pb.Anomaly.KIND_SPEND, "2026-11-20")
    assert one.explanation.startswith("spent 700.00 USD on 2026-11-20: 24.0 deviations above")
    assert (one.spent.amount_minor, one.usual.amount_minor) == (70_000, 10_000)
    assert (one.deviation.amount_minor, one.history_days) == (2_500, 30)
    await mesh.take(spender.purchase(90_000))
    await Watch(mesh.pool, mesh.clock, interval_s=1).step()
    assert await found(mesh) == [one]
    assert await told(mesh) == [
        (
            "account.spend_unusual",
            ACCOUNT,
            {
                "anomaly_id": one.id,
                "date": "2026-11-20",
                "amount": {"amount_minor": 70_000, "currency_code": "USD"},
                "usual_amount": {"amount_minor": 10_000, "currency_code": "USD"},
            },
        )
    ]
    assert not await mesh.rows("SELECT FROM touched")


async def test_what_is_given_back_was_not_spent(mesh: StatsMesh) -> None:
    spender = Spender(mesh)
    await spender.live()
    large = spender.purchase(90_000)
    back = mesh.book.entry(
        "REVERSAL", 90_000, authorization_id=large.authorization_id, approved_minor=90_000
    )
    await mesh.take(large, back)
    await mesh.watch.step()
    assert not await found(mesh)


async def test_declines_and_countries(mesh: StatsMesh) -> None:
    spender = Spender(mesh)
    await spender.live(40)
    await mesh.watch.step()
    await mesh.take(*(spender.decline(country="FR") for _ in range(2)))
    await mesh.watch.step()
    assert not await found(mesh)
    await mesh.take(*(spender.decline(country="FR") for _ in range(3)))
    # Another process, which has seen nothing before.
    await Watch(mesh.pool, mesh.clock, interval_s=1).step()
    by_kind = {one.kind: one for one in await found(mesh)}
    assert set(by_kind) == {pb.Anomaly.KIND_DECLINES, pb.Anomaly.KIND_COUNTRY}
    declines, country = by_kind[pb.Anomaly.KIND_DECLINES], by_kind[pb.Anomaly.KIND_COUNTRY]
    assert (declines.declined_count, declines.decided_count) == (5, 5)
    assert (country.country_code, country.attempt_count) == ("FR", 5)
    assert sorted(one[0] for one in await told(mesh)) == [
        "account.country_unusual",
        "account.declines_unusual",
    ]


async def test_tomorrow_a_country_is_known(mesh: StatsMesh) -> None:
    spender = Spender(mesh)
    await spender.live()
    await mesh.take(spender.purchase(100, ago=1, country="FR"))
    await mesh.take(*(spender.purchase(100, country="FR") for _ in range(4)))
    await mesh.watch.step()
    assert not await found(mesh)


async def test_who_dies_in_between_has_found_nothing(mesh: StatsMesh) -> None:
    """Goal: what was taken is looked at again, and found, kept and told once."""
    spender = Spender(mesh)
    await spender.live()
    await mesh.take(
        spender.purchase(90_000), *(spender.purchase(1, country="FR") for _ in range(3))
    )
    await mesh.pool.execute("ALTER TABLE event ADD CONSTRAINT broken CHECK (type = '') NOT VALID")
    with pytest.raises(asyncpg.CheckViolationError):
        await mesh.watch.step()
    await mesh.pool.execute("ALTER TABLE event DROP CONSTRAINT broken")
    assert not await found(mesh)
    await mesh.watch.step()
    assert {one.kind for one in await found(mesh)} == {1, 3}
    assert len(await told(mesh)) == 2
    assert not await mesh.watch.step()
    assert len(await told(mesh)) == 2


async def test_old_days_are_kept_but_told_nobody(mesh: StatsMesh) -> None:
    """As when a ledger of years is counted for the first time."""
    spender = Spender(mesh)
    await mesh.take(*(spender.purchase(10_000, ago=ago) for ago in range(60, 20, -1)))
    await mesh.take(spender.purchase(200_000, ago=20))
    await mesh.watch.step()
    assert [one.day for one in await found(mesh)] == ["2026-10-31"]
    assert not await told(mesh)


async def test_counting_again_touches_nothing(mesh: StatsMesh) -> None:
    spender = Spender(mesh)
    await mesh.take(spender.purchase(1_000), again=True)
    await mesh.take(mesh.book.entry("CAPTURE", 1_000))
    assert not await mesh.rows("SELECT FROM touched")
