"""How often an address may show an API key that nobody has, or a refresh token that we never made.
Bounded memory, nothing asked.
"""

from __future__ import annotations

from collections import OrderedDict

from gateway.limits import WINDOW_MS, customer_of

#: Unknown API keys that one address may show in a window. The window begins with the first.
JUNK_MAX = 30
#: Addresses remembered; the one that began longest ago is forgotten first.
ADDRESSES_MAX = 10_000


class JunkKeys:
    """Counts by address: of IPv6, by its network of 64 bits."""

    def __init__(self, most: int = JUNK_MAX) -> None:
        self._most = most
        #: Since when, and how many; in the order in which they began.
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def take(self, address: str, *, now_ms: int) -> int:
        """Counts one more; if there were too many it counts nothing and says how long to wait, in
        milliseconds.
        """
        whose = customer_of(address)
        since_ms, count = self._counts.get(whose, (now_ms, 0))
        if not 0 <= now_ms - since_ms < WINDOW_MS:
            since_ms, count = now_ms, 0
        if count >= self._most:
            return since_ms + WINDOW_MS - now_ms
        if count == 0:
            self._counts.pop(whose, None)
        self._counts[whose] = (since_ms, count + 1)
        if len(self._counts) > ADDRESSES_MAX:
            self._counts.popitem(last=False)
        return 0

    def wait_ms(self, whose: str, *, now_ms: int) -> int:
        """How long whom an address stands for must wait; counts nothing. Any thread may ask."""
        since_ms, count = self._counts.get(whose, (now_ms, 0))
        past_ms = now_ms - since_ms
        return WINDOW_MS - past_ms if count >= self._most and 0 <= past_ms < WINDOW_MS else 0

    def give_back(self, address: str) -> None:
        """The last one was a key after all."""
        whose = customer_of(address)
        since_ms, count = self._counts.get(whose, (0, 0))
        if count:
            self._counts[whose] = (since_ms, count - 1)
