"""How many unknown numbers a caller may ask about: whoever tries numbers out is stopped. Pure."""

from __future__ import annotations

#: Time over which unknown numbers are counted.
WINDOW_MS = 60_000
#: Callers that are remembered: there are never more networks.
CALLERS_MAX = 1_024


class Guesses:
    """Unknown numbers by caller, in one process."""

    def __init__(self, *, per_minute: int) -> None:
        self._per_minute = per_minute
        self._counts: dict[str, tuple[int, int]] = {}

    def exceeded(self, principal: str, *, now_ms: int) -> bool:
        """True while the caller has guessed too often in this minute."""
        window, count = self._counts.get(principal, (0, 0))
        return window == now_ms // WINDOW_MS and count >= self._per_minute

    def add(self, principal: str, *, now_ms: int) -> None:
        """Counts one unknown number."""
        now = now_ms // WINDOW_MS
        window, count = self._counts.get(principal, (now, 0))
        if principal not in self._counts and len(self._counts) >= CALLERS_MAX:
            self._counts.clear()
        self._counts[principal] = (now, count + 1 if window == now else 1)
