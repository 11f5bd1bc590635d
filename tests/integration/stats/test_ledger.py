"""What a real authorizer books is counted once, by several, and counting again finds the same."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Collection
from datetime import date, timedelta

import pytest
from redis.asyncio import Redis

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import posting_service_pb2 as postings
from holdfast.stats.v1 import stat_pb2
from runtime.clock import ManualClock
from stats.closer import Closer
from stats.measures import Measures
from stats.store import StatsStore, days_of
from tests import authz_messages as messages
from tests.authz_checks import approved, by_network, network_purchase
from tests.authz_mesh import ACCOUNTS, ADMIN, NETWORK, capture_of, purchase, reversal_of
from tests.authz_messages import refund_of
from tests.databases import Database
from tests.stats_mesh import NOON, LedgerStats, ledger_stats

TODAY = NOON.date()


@pytest.fixture
async def running(database: Database, money: Redis) -> AsyncIterator[LedgerStats]:
    async with ledger_stats(database, money) as found:
        yield found


async def day_of(store: StatsStore, subject_id: str, day: date = TODAY) -> Measures:
    found = await store.days(subject_id, day, day, currency="")
    return found[0].measures if found else Measures()


async def busy(running: LedgerStats) -> str:
    """An account on which a bit of everything happens."""
    authz = running.authz
    account = await authz.open_account(100_000)
    card = await authz.issue_card(account)
    held = await approved(authz, card, 1_000)
    await authz.authorization.CaptureAuthorization(capture_of(held, 700), metadata=ADMIN)
    given_back = await approved(authz, card, 500)
    await authz.authorization.ReverseAuthorization(reversal_of(given_back, 200), metadata=ADMIN)
    await authz.authorization.Authorize(purchase(card, 10_000_000), metadata=NETWORK)
    single = purchase(card, 60)
    single.message_type = pb.MESSAGE_TYPE_FINANCIAL_AUTHORIZATION
    await authz.authorization.Authorize(single, metadata=NETWORK)
    return account


async def test_everything_is_counted_as_it_was_booked(running: LedgerStats) -> None:
    account = await busy(running)
    await running.count()
    assert await day_of(running.store, account) == Measures(
        authorized_count=3,
        authorized_minor=1_560,
        reversed_count=1,
        reversed_minor=200,
        declined_count=1,
        purchase_count=2,
        purchase_minor=760,
        largest_minor=700,
    )
    # The clearing names no merchant: it has that of its authorization.
    rows = await running.pool.fetch(
        "SELECT merchant, category, sum(purchase_minor)::bigint AS minor FROM live_cell"
        " WHERE account_id = $1 GROUP BY 1, 2",
        account,
    )
    assert [tuple(row) for row in rows] == [("m-1", "5411", 760)]


async def test_cash_and_what_is_more_declined_as_they_were_booked(running: LedgerStats) -> None:
    """Clearings name no merchant, and what a credit balance pays for has no receivable of cash.
    Counting again finds the same.
    """
    authz = running.authz
    account = await authz.open_account(100_000)
    card = await authz.issue_card(account)
    for amount in (300, 40):
        machine = purchase(card, amount)
        machine.merchant.category_code = "6011"
        held = (await authz.authorization.Authorize(machine, metadata=NETWORK)).authorization_id
        await authz.authorization.CaptureAuthorization(capture_of(held, amount), metadata=ADMIN)
        # The next one is paid for by what the customer is owed.
        credit = messages.posting(account, postings.POSTING_KIND_ADJUSTMENT_CREDIT, 1_000)
        await authz.posting.PostEntry(credit, metadata=ACCOUNTS)
    held = await approved(authz, card, 1_000)
    more = messages.increment_of(held, 10_000_000)
    answer = await authz.authorization.IncrementAuthorization(more, metadata=NETWORK)
    assert answer.decline_reason
    off = messages.posting(account, postings.POSTING_KIND_CHARGE_OFF, 70)
    back = messages.posting(account, postings.POSTING_KIND_RECOVERY, 20)
    for request in (off, back):
        await authz.posting.PostEntry(request, metadata=ACCOUNTS)
    await running.count()
    found = await day_of(running.store, account)
    assert (found.purchase_count, found.purchase_minor) == (2, 340)
    assert (found.cash_count, found.cash_minor) == (2, 340)
    assert (found.authorized_minor, found.declined_count) == (1_340, 1)
    assert (found.charge_off_count, found.charge_off_minor) == (1, 70)
    assert (found.recovery_count, found.recovery_minor) == (1, 20)
    rows = await running.pool.fetch(
        "SELECT merchant, category, decline_reason FROM live_cell WHERE declined_count > 0"
    )
    assert [tuple(row) for row in rows] == [("m-1", "5411", "INSUFFICIENT_CREDIT")]
    assert not (await running.rebuild().run(repair=False)).differences


async def test_reversals_count_the_same_in_any_order(running: LedgerStats) -> None:
    """Goal: also those that come before their authorization, which the ledger has as nothing given
    back. Method: all orders, each on an account of its own; and a full reversal before an advice.
    """
    authz, accounts = running.authz, list[str]()
    events: tuple[str | int, ...] = ("authorize", 200, 40, "capture")
    for order in itertools.permutations(events):
        accounts.append(await authz.open_account())
        card = await authz.issue_card(accounts[-1])
        for event in order:
            if isinstance(event, int):
                given_back = by_network(reversal_of("", event), card, "t1")
                await authz.authorization.ReverseAuthorization(given_back, metadata=NETWORK)
            elif event == "capture":
                cleared = by_network(capture_of("", 300), card, "t1")
                await authz.authorization.CaptureAuthorization(cleared, metadata=NETWORK)
            else:
                asked = network_purchase(card, 1_000, "t1")
                await authz.authorization.Authorize(asked, metadata=NETWORK)
    await running.count()
    for account in accounts:
        found = await day_of(running.store, account)
        assert (found.authorized_count, found.authorized_minor) == (1, 1_000)
        assert (found.reversed_minor, found.purchase_minor) == (240, 300)
    advised = await authz.open_account()
    card = await authz.issue_card(advised)
    whole = by_network(reversal_of("", None), card, "t1")
    await authz.authorization.ReverseAuthorization(whole, metadata=NETWORK)
    advice = network_purchase(card, 500, "t1")
    advice.message_type = pb.MESSAGE_TYPE_AUTHORIZATION_ADVICE
    await authz.authorization.Authorize(advice, metadata=NETWORK)
    await running.count()
    found = await day_of(running.store, advised)
    assert (found.authorized_minor, found.reversed_count, found.reversed_minor) == (500, 1, 500)
    assert not (await running.rebuild().run(repair=False)).differences


async def test_refunds_are_taken_back_on_their_days(running: LedgerStats) -> None:
    """A reversal names the purchase only, as the network knows it or as we do: the refund that it
    takes back is found, in other pages and in the same.
    """
    authz = running.authz
    account = await authz.open_account()
    card = await authz.issue_card(account)
    bought = await approved(authz, card, 1_000)
    await authz.authorization.CaptureAuthorization(capture_of(bought, 1_000), metadata=ADMIN)

    async def refund(amount: int, day: int, *, reversal: bool = False) -> None:
        request = refund_of(bought, amount, reversal=reversal)
        request.effective_time.FromDatetime(NOON + timedelta(days=day))
        await authz.authorization.Refund(request, metadata=NETWORK)

    await refund(300, 0)
    await refund(200, 1)
    await running.count()
    await refund(300, 2, reversal=True)
    await refund(50, 2)
    await refund(120, 3, reversal=True)
    await running.count()
    days = [await day_of(running.store, account, TODAY + timedelta(days=n)) for n in range(4)]
    assert [(one.refund_count, one.refund_minor) for one in days] == [
        *((0, 0), (1, 130)),
        *((0, 0), (0, 0)),
    ]
    assert [one.correction_count for one in days] == [1, 1, 1, 0]
    # At the merchant of the purchase.
    rows = await running.pool.fetch(
        "SELECT DISTINCT merchant FROM live_cell WHERE refund_minor <> 0 AND account_id = $1",
        account,
    )
    assert [row["merchant"] for row in rows] == ["m-1"]
    assert not (await running.rebuild().run(repair=False)).differences


async def test_what_was_counted_before_cash_was_told_apart_is_filled_in(
    running: LedgerStats,
) -> None:
    """As an upgrade leaves it: columns of zeros, and days that are closed."""
    authz = running.authz
    account = await authz.open_account(100_000)
    card = await authz.issue_card(account)
    machine = purchase(card, 300)
    machine.merchant.category_code = "6010"
    machine.message_type = pb.MESSAGE_TYPE_FINANCIAL_AUTHORIZATION
    await authz.authorization.Authorize(machine, metadata=NETWORK)
    await running.count()
    for table in ("live_total", "live_cell"):
        await running.pool.execute(f"UPDATE {table} SET cash_count = 0, cash_minor = 0")
    later = ManualClock(int(NOON.timestamp() * 1000) + 60 * 86_400_000)
    closer = Closer(running.pool, later, delay_h=6, counted_until_ms=later.now_ms)
    await closer.close_due()
    assert (await running.rebuild().run(repair=True)).repaired
    await closer.close_due()
    assert (await day_of(running.store, account)).cash_minor == 300
    rows = await running.pool.fetch(
        "SELECT version, body FROM stat WHERE subject_id = $1 AND type = 'DAY' ORDER BY version",
        account,
    )
    bodies = [stat_pb2.PeriodStats.FromString(row["body"]).totals for row in rows]
    assert [one.HasField("cash_advances") for one in bodies] == [False, True]
    assert not (await running.rebuild().run(repair=False)).differences


async def test_whoever_reads_of_one_moment_is_not_disturbed_by_a_repair(
    running: LedgerStats,
) -> None:
    """As a period is closed, or a report made: its first look at what was counted may come after
    the repair, and finds what there was before.
    """
    account = await busy(running)
    await running.count()
    before = await day_of(running.store, account)
    await running.pool.execute("UPDATE live_total SET fee_count = fee_count + 1")
    async with (
        running.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read"),
    ):
        await connection.fetchval("SELECT count(*) FROM closing")
        assert (await running.rebuild().run(repair=True)).repaired
        found = await days_of(connection, account, TODAY, TODAY)
    assert [one.measures.fee_count for one in found] == [before.fee_count + 1]
    assert await day_of(running.store, account) == before


async def test_nothing_is_held_while_accounts_is_asked(
    running: LedgerStats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of each account it is asked once."""
    asked, ask, pool = list[str](), running.accounts.zones_of, running.pool

    async def zones_of(account_ids: Collection[str]) -> dict[str, str]:
        assert pool.get_idle_size() == pool.get_size()
        asked.extend(account_ids)
        return await ask(account_ids)

    monkeypatch.setattr(running.accounts, "zones_of", zones_of)
    accounts = [await busy(running) for _ in range(2)]
    await running.count()
    accounts.append(await busy(running))
    await running.count()
    assert sorted(asked) == sorted(accounts)
    assert not (await running.rebuild().run(repair=False)).differences


async def test_several_count_each_entry_once(running: LedgerStats) -> None:
    """Goal: those who follow at the same time share the work, and count nothing twice. Method: six
    of them on the same positions, while purchases go on in many partitions.
    """
    authz = running.authz
    accounts = [await authz.open_account(partition=number) for number in range(8)]
    cards = [await authz.issue_card(account) for account in accounts]

    async def follow() -> None:
        for _ in range(10):
            await asyncio.gather(*(one.caught_up() for one in running.followers * 3))

    async def spend() -> None:
        for _ in range(5):
            await asyncio.gather(*(approved(authz, card, 100) for card in cards))
            await authz.settle()

    await asyncio.gather(follow(), spend())
    await running.count()
    found = [await day_of(running.store, account) for account in accounts]
    assert [(one.authorized_count, one.authorized_minor) for one in found] == [(5, 500)] * 8
    assert (await day_of(running.store, "prog_standard")).authorized_count == 40


async def test_counting_again_finds_the_same(running: LedgerStats) -> None:
    for _ in range(3):
        await busy(running)
    await running.count()
    found = await running.rebuild().run(repair=False)
    assert found.entries == await running.pool.fetchval("SELECT sum(pseq) FROM ledger_position")
    assert found.days > 0
    assert (found.differences, found.repaired) == ((), False)


async def test_what_is_wrong_is_found_and_mended(running: LedgerStats) -> None:
    account = await busy(running)
    await running.count()
    right = await day_of(running.store, account)
    await running.pool.execute(
        "UPDATE live_total SET purchase_minor = purchase_minor + 1 WHERE subject_id = $1", account
    )
    await running.pool.execute("DELETE FROM live_cell WHERE account_id = $1", account)
    found = await running.rebuild().run(repair=False)
    assert {one.what for one in found.differences} == {"total", "breakdown"}
    assert {one.subject_id for one in found.differences} == {account}
    mended = await running.rebuild().run(repair=True)
    assert mended.repaired
    assert await day_of(running.store, account) == right
    assert not (await running.rebuild().run(repair=False)).differences
    # And counting goes on from there.
    card = await running.authz.issue_card(account)
    await approved(running.authz, card, 10)
    await running.count()
    assert (await day_of(running.store, account)).authorized_minor == right.authorized_minor + 10


async def test_what_is_mended_makes_another_version_of_what_is_closed(
    running: LedgerStats,
) -> None:
    """Goal: also where only a breakdown was wrong, and nowhere else."""
    account, other = await busy(running), await busy(running)
    await running.count()
    pool = running.pool
    await pool.execute("UPDATE live_cell SET merchant = 'wrong' WHERE account_id = $1", account)
    later = ManualClock(int(NOON.timestamp() * 1000) + 60 * 86_400_000)
    closer = Closer(pool, later, delay_h=6, counted_until_ms=later.now_ms)
    await closer.close_due()
    assert (await running.rebuild().run(repair=True)).repaired
    await closer.close_due()
    rows = await pool.fetch(
        "SELECT subject_id, type, max(version) AS version FROM stat"
        " WHERE subject_id = ANY($1) AND type <> 'DAY' GROUP BY 1, 2",
        [account, other],
    )
    assert {(row["subject_id"], row["type"]): row["version"] for row in rows} == {
        (account, "WEEK"): 2,
        (account, "MONTH"): 2,
        (other, "WEEK"): 1,
        (other, "MONTH"): 1,
    }
    bodies = await pool.fetch(
        "SELECT DISTINCT ON (type) body FROM stat WHERE subject_id = $1 AND type <> 'DAY'"
        " ORDER BY type, version DESC",
        account,
    )
    for row in bodies:
        shown = stat_pb2.PeriodStats.FromString(row["body"]).breakdowns
        merchants = next(one for one in shown if one.dimension == stat_pb2.DIMENSION_MERCHANT)
        assert [one.key for one in merchants.slices] == ["m-1"]
