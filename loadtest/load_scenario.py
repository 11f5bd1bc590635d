"""What one load test is: who takes part, for how long, and what happens when. Pure, but for the
file that carries it to Locust's process.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Holder(NamedTuple):
    """A cardholder: an account with one card."""

    account_id: str
    card_id: str


class Phase(StrEnum):
    """Parts of the day that a load test plays."""

    #: Users arrive one by one; connections and caches fill. Not measured.
    WARM_UP = "warm-up"
    #: An ordinary day.
    PLATEAU = "plateau"
    #: Everybody shops: twice the users, and none of them waits long.
    BURST = "burst"
    #: The shops are closed, and merchants clear what the day has left, without a pause.
    NIGHT = "night clearing"


#: Share of the whole time that each phase takes, in order.
_SHARES = (
    (Phase.WARM_UP, 0.15),
    (Phase.PLATEAU, 0.45),
    (Phase.BURST, 0.15),
    (Phase.NIGHT, 0.25),
)
_BURST_FACTOR = 2
#: Users that begin per second when a burst comes.
_BURST_SPAWN_RATE = 100.0


class Crowd(NamedTuple):
    """How many users there are, and how many of them begin or end per second."""

    users: int
    spawn_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One load test."""

    #: Begins every request id, so that no other run's are met.
    run_id: str
    #: Envoy's ports of the mesh it runs against.
    network_port: int
    edge_port: int
    #: Where Locust's process writes what it has seen.
    results: Path
    seconds: int
    #: Users on an ordinary day.
    users: int
    holders: tuple[Holder, ...]

    def phase(self, elapsed_s: float) -> Phase | None:
        """The phase at a moment; None when it is over."""
        end_s = 0.0
        for phase, share in _SHARES:
            end_s += share * self.seconds
            if elapsed_s < end_s:
                return phase
        return None

    def crowd(self, phase: Phase) -> Crowd:
        """The users of a phase."""
        if phase is Phase.BURST:
            return Crowd(self.users * _BURST_FACTOR, _BURST_SPAWN_RATE)
        if phase is Phase.WARM_UP:
            # All are there when the warm-up is over.
            return Crowd(self.users, max(self.users / (_SHARES[0][1] * self.seconds), 1.0))
        return Crowd(self.users, _BURST_SPAWN_RATE)

    def write(self, path: Path) -> None:
        """Writes it for `read`."""
        document = asdict(self) | {"results": str(self.results)}
        path.write_text(json.dumps(document))

    @classmethod
    def read(cls, path: Path) -> Scenario:
        """What was written."""
        document = json.loads(path.read_text())
        return cls(
            **document
            | {
                "results": Path(document["results"]),
                "holders": tuple(Holder(*one) for one in document["holders"]),
            }
        )
