"""State machines: a table each of what leads from where. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=StrEnum)
T = TypeVar("T", bound=StrEnum)


class Step(NamedTuple, Generic[S]):
    """Where a transition leads, and the states it starts from. From its target, and where it is
    `done` already, it changes nothing.
    """

    target: S
    sources: frozenset[S]
    done: frozenset[S] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class IllegalTransition:
    """Refusal: `allowed` are the states that can be reached from `source`."""

    #: What refuses, e.g. `card`.
    subject: str
    source: str
    target: str
    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine(Generic[S, T]):
    """The states of one kind of thing."""

    subject: str
    steps: Mapping[T, Step[S]]

    def move(self, state: S, transition: T) -> S | IllegalTransition:
        """The next state; the same one where the transition changes nothing."""
        step = self.steps[transition]
        if state is step.target or state in step.done:
            return state
        if state in step.sources:
            return step.target
        return IllegalTransition(
            subject=self.subject, source=state, target=step.target, allowed=self.reachable(state)
        )

    def reachable(self, state: S) -> tuple[S, ...]:
        """The states that some transition leads to from here, each once."""
        found = (step.target for step in self.steps.values() if state in step.sources)
        return tuple(dict.fromkeys(found))
