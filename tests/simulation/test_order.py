"""Networks deliver messages in any order: the same set of them ends in the same place.

Goal: for a fixed set of accepted events (authorization, captures, partial reversals, force posts,
refunds, all by the network's reference) every order ends with the same hold, posted and held.
Method: all orders of one set, and Hypothesis for other sets; each is played on a new account.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from holdfast.authz.v1 import authorization_pb2 as pb
from tests.authz_audit import audit
from tests.authz_checks import balance, by_network, fetched, network_purchase
from tests.authz_mesh import NETWORK, AuthzMesh, authz_mesh, capture_of, reversal_of
from tests.authz_messages import forced, refund_of
from tests.databases import Database
from tests.simulation.running import own_client

#: One event: what it is, and its amount.
Event = tuple[str, int]
#: The authorization is for this much; reversals never add up to it, so it is always approved.
AUTHORIZED = 1_000
AUTHORIZE: Event = ("authorize", AUTHORIZED)
LATER = st.one_of(
    st.tuples(st.sampled_from(["capture", "force", "refund"]), st.integers(1, 700)),
    st.tuples(st.just("final"), st.integers(1, 700)),
    st.tuples(st.just("reverse"), st.integers(1, 240)),
)


async def _play(mesh: AuthzMesh, events: Sequence[Event]) -> tuple[object, ...]:
    """What a new account and its authorization come to."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    stub, found = mesh.authorization, ""
    answer: Any
    for kind, amount in events:
        if kind == "authorize":
            answer = await stub.Authorize(network_purchase(card, amount, "t1"), metadata=NETWORK)
            assert answer.decision == pb.DECISION_APPROVED
        elif kind == "reverse":
            request = by_network(reversal_of("", amount), card, "t1")
            answer = await stub.ReverseAuthorization(request, metadata=NETWORK)
        elif kind == "force":
            answer = await stub.ForcePost(forced(card, amount, "t1"), metadata=NETWORK)
        elif kind == "refund":
            request = by_network(refund_of("", amount), card, "t1")
            answer = await stub.Refund(request, metadata=NETWORK)
        else:
            request = by_network(capture_of("", amount, final=kind == "final"), card, "t1")
            answer = await stub.CaptureAuthorization(request, metadata=NETWORK)
        found = answer.authorization_id
    one = await fetched(mesh, found)
    amounts = (one.authorized_amount, one.reversed_amount, one.captured_amount)
    totals = tuple(part.amount_minor for part in (*amounts, one.held_amount, one.refunded_amount))
    return (*await balance(mesh, account), *totals, one.state)


def test_every_order_ends_the_same(database: Database, money: Redis) -> None:
    """See the module."""

    async def all_orders(mesh: AuthzMesh) -> None:
        events = (AUTHORIZE, ("capture", 300), ("force", 250), ("reverse", 200), ("refund", 90))
        expected = await _play(mesh, events)
        for order in itertools.permutations(events):
            assert await _play(mesh, order) == expected, order
        await audit(mesh)

    with asyncio.Runner() as runner:
        valkey = runner.run(own_client(money))
        context = authz_mesh(database, valkey)
        mesh = runner.run(context.__aenter__())

        @settings(
            max_examples=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(later=st.lists(LATER, max_size=4), data=st.data())
        def any_order(later: list[Event], data: st.DataObject) -> None:
            events = [AUTHORIZE, *later]
            order = data.draw(st.permutations(events))
            assert runner.run(_play(mesh, order)) == runner.run(_play(mesh, events))

        try:
            runner.run(all_orders(mesh))
            any_order()
        finally:
            runner.run(context.__aexit__(None, None, None))
            runner.run(valkey.aclose())
