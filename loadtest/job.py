"""What one run of the generator is told, and what it tells: files in a folder of their own.

`job.json` is the Job, `tails` are the varying ends of the messages, one after the other. `started`,
`seconds` and `outcomes` have one value per ended call, as `array` writes them.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where calls go. TLS with the client's certificate, or a plain unix socket."""

    #: Port on loopback; 0: `sockets`, in turn.
    port: int = 0
    sockets: tuple[str, ...] = ()
    #: PEM file of key and certificate chain; empty at the edge, which asks for a token instead.
    identity: str = ""
    #: PEM file of what is trusted.
    ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run: open loop in `steps`, or closed loop with `depth` calls under way."""

    target: Target
    #: Headers of every call, pseudo-headers first.
    headers: list[tuple[str, str]]
    #: The message, hex: its constant beginning; then the run's unique number, if `run` is given;
    #: then one of the tails.
    begin: str
    run: str
    tail_bytes: int
    tails: int
    as_json: bool = False
    connections: int = 8
    depth: int = 0
    #: Calls per second, and for how many seconds, one step after the other.
    steps: tuple[tuple[int, int], ...] = ()
    #: Closed loop: end after so many seconds.
    seconds: int = 0
    #: Closed loop: end after so many calls, the tails in their order. Otherwise they are mixed.
    calls: int = 0

    def write(self, folder: Path, tails: bytes) -> None:
        """Writes the files that the generator reads."""
        assert len(tails) == self.tail_bytes * self.tails, "all tails are of the same length"
        (folder / "job.json").write_text(json.dumps(asdict(self)))
        (folder / "tails").write_bytes(tails)

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Reads what `write` wrote."""
        fields = json.loads((folder / "job.json").read_text())
        target = fields["target"]
        fields["target"] = Target(**target | {"sockets": tuple(target["sockets"])})
        fields["steps"] = tuple((rate, seconds) for rate, seconds in fields["steps"])
        fields["headers"] = [(name, value) for name, value in fields["headers"]]
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Every ended call of one run, in the order of their ends."""

    #: When each should have started, in seconds since the run began.
    started: array[float]
    seconds: array[float]
    outcomes: array[int]

    def write(self, folder: Path) -> None:
        """Writes the three files."""
        for name in ("started", "seconds", "outcomes"):
            with (folder / name).open("wb") as file:
                getattr(self, name).tofile(file)

    @classmethod
    def read(cls, folder: Path) -> Calls:
        """Reads what `write` wrote."""

        def values(name: str, code: str) -> array[float]:
            found: array[float] = array(code)
            found.frombytes((folder / name).read_bytes())
            return found

        outcomes = array("B")
        outcomes.frombytes((folder / "outcomes").read_bytes())
        return cls(
            started=values("started", "d"), seconds=values("seconds", "f"), outcomes=outcomes
        )
