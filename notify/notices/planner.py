"""Makes notices of events, in the transaction that takes the events in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from notify.notices import store
from notify.notices.kind import Channel
from notify.notices.notice import Notice, NoticeState
from notify.notices.planning import Happened, capped, notices, window_start_ms
from runtime.clock import Clock


class Planner:
    """`caps`: how much a user is told in an hour by each channel, of what can be done without.

    Whoever takes events in holds the lock of the intake, so nobody is counted at the same time.
    """

    def __init__(self, clock: Clock, *, caps: Mapping[Channel, int]) -> None:
        self._clock = clock
        self._caps = caps

    async def plan(self, connection: Any, happened: Sequence[Happened]) -> None:
        """Adds the notices of events."""
        told = [(one, user_id) for one in happened for user_id in one.user_ids]
        user_ids = {user_id for _, user_id in told}
        if not told:
            return
        now_ms = self._clock.now_ms()
        wanted = await store.preferences_of(connection, user_ids)
        found = [
            notice
            for one, user_id in told
            for notice in notices(one, user_id, wanted[user_id], now_ms=now_ms)
        ]
        if not found:
            return
        sent = await store.told_lately(connection, user_ids, since_ms=window_start_ms(now_ms))
        planned: list[Notice] = []
        for one in found:
            place = (one.user_id, one.channel)
            cap = wanted[one.user_id].cap(self._caps[one.channel])
            notice = capped(one, sent=sent.get(place, 0), cap=cap)
            if notice.state is NoticeState.PENDING:
                sent[place] = sent.get(place, 0) + 1
            planned.append(notice)
        await store.add_notices(connection, planned)
