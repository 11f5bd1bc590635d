"""Events come in once, in one order, whatever fails."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from notify.event import Incoming
from runtime.events.catalogue import Event
from tests.notify_mesh import ACCOUNT, COMPANY, OTHER_ACCOUNT, PERSONAL, USER, NotifyMesh

ROWS = "SELECT number, id, type, sequence, account_id, owner_id FROM event ORDER BY number"


async def test_each_once_with_a_place_in_its_account(mesh: NotifyMesh) -> None:
    mesh.freeze()
    mesh.freeze(OTHER_ACCOUNT)
    mesh.freeze()
    mesh.happen("user.closed", owner_id=USER, user_id=USER, state="CLOSED")
    await mesh.caught_up()
    await mesh.caught_up()
    mesh.freeze()
    await mesh.caught_up()
    rows = await mesh.pool.fetch(ROWS)
    assert [(row["account_id"], row["sequence"]) for row in rows] == [
        (ACCOUNT, 1),
        (OTHER_ACCOUNT, 1),
        (ACCOUNT, 2),
        ("", 1),
        (ACCOUNT, 3),
    ]
    assert [row["owner_id"] for row in rows][::3] == [COMPANY, USER]
    assert len({row["id"] for row in rows}) == 5
    # Owners are asked for once.
    assert mesh.accounts.asked == [{ACCOUNT, OTHER_ACCOUNT}]


async def test_nothing_comes_in_without_its_position(mesh: NotifyMesh) -> None:
    """Goal: whoever dies between the events and the position has done nothing. Method: the position
    cannot be written.
    """
    mesh.freeze(PERSONAL)
    await mesh.pool.execute(
        "ALTER TABLE feed_position ADD CONSTRAINT broken CHECK (number < 0) NOT VALID"
    )
    with pytest.raises(asyncpg.CheckViolationError):
        await mesh.feed.step()
    await mesh.pool.execute("ALTER TABLE feed_position DROP CONSTRAINT broken")
    assert await mesh.pool.fetch(ROWS) == []
    await mesh.caught_up()
    (row,) = await mesh.pool.fetch(ROWS)
    assert (row["sequence"], row["owner_id"]) == (1, USER)


async def test_two_processes_take_turns(mesh: NotifyMesh) -> None:
    for _ in range(350):
        mesh.freeze()
    await asyncio.gather(mesh.caught_up(), mesh.caught_up(), mesh.caught_up())
    rows = await mesh.pool.fetch(ROWS)
    assert [row["sequence"] for row in rows] == list(range(1, 351))


async def test_numbers_become_visible_in_their_order(mesh: NotifyMesh) -> None:
    """Goal: whoever has read up to a number has missed none below it. Method: two sources at the
    same time, and a reader that looks all the while.
    """

    def incoming(source: str, number: int) -> list[Incoming]:
        return [
            Incoming(
                id=f"evt_0a{source}{number:031x}",
                event=Event(
                    type="user.updated",
                    time_ms=1,
                    owner_id=f"usr_0{source}" + "1" * 32,
                    data={"state": "ACTIVE"},
                ),
            )
        ]

    async def write(source: str) -> None:
        for number in range(60):
            async with mesh.pool.acquire() as connection, connection.transaction():
                await mesh.intake.take(connection, incoming(source, number))
                await asyncio.sleep(0)

    done = asyncio.gather(write("a"), write("b"))
    seen: list[int] = []
    while not done.done():
        after = seen[-1] if seen else 0
        rows = await mesh.pool.fetch(
            "SELECT number FROM event WHERE number > $1 ORDER BY number", after
        )
        seen += [row["number"] for row in rows]
    await done
    rows = await mesh.pool.fetch("SELECT number FROM event ORDER BY number")
    everything = [row["number"] for row in rows]
    assert seen == everything[: len(seen)]
    assert len(everything) == 120


async def test_what_erased_users_wanted_is_forgotten(mesh: NotifyMesh) -> None:
    """Others keep theirs."""
    other = "usr_2a" + "0" * 32
    for user_id in (USER, other):
        await mesh.pool.execute(
            """
            INSERT INTO notification_preference (user_id, choices, quiet_start, quiet_end, timezone,
                large_purchase_minor, low_credit_minor, max_per_hour, update_time)
            VALUES ($1, '{}', '22:00', '07:00', 'America/Anchorage', 0, 0, 0, now())
            """,
            user_id,
        )
    mesh.happen("user.closed", owner_id=other, user_id=other, state="CLOSED")
    mesh.happen("user.erased", owner_id=USER, user_id=USER, state="CLOSED")
    await mesh.caught_up()
    kept = await mesh.pool.fetch("SELECT user_id FROM notification_preference")
    assert [row["user_id"] for row in kept] == [other]
