"""The stage of the demonstration: shows each step, checks it, and remembers it for JSON."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.text import Text

from runtime.demo.backstage import Backstage
from runtime.mesh_client import MeshClient
from runtime.money import format_minor

CURRENCY = "USD"


class DemoFailedError(Exception):
    """What was shown is not what should have happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A cardholder of the demonstration."""

    name: str
    account_id: str
    card_id: str
    limit_minor: int


@dataclass(slots=True, kw_only=True)
class Person:
    """Somebody who has registered and logged in."""

    user_id: str
    tokens: dict[str, Any]
    #: Made up here, for one mesh that lives for a minute.
    password: str = field(default="", repr=False)

    @property
    def bearer(self) -> dict[str, str]:
        """Headers of a call of theirs."""
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}


@dataclass(slots=True, kw_only=True)
class Stage:
    """What every scene needs: the mesh, the audience, the cast."""

    mesh: MeshClient
    backstage: Backstage
    console: Console
    holders: dict[str, Holder] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    #: Authorizations that a later scene comes back to, by name.
    authorizations: dict[str, str] = field(default_factory=dict)
    #: Cards that a later scene comes back to, by whose they are.
    cards: dict[str, str] = field(default_factory=dict)
    #: What is shown, for programs: one list of facts per scene.
    scenes: list[dict[str, Any]] = field(default_factory=list)
    #: The same of what was measured and added up.
    document: dict[str, Any] = field(default_factory=dict)

    def part(self, title: str) -> None:
        """Begins some scenes that belong together."""
        self.console.print()
        self.console.rule(Text(title, style="bold"), align="left")

    def scene(self, title: str) -> None:
        """Begins a scene."""
        self.scenes.append({"scene": title, "facts": []})
        text = Text(f"\n{len(self.scenes)}. {title}", style="bold cyan")
        self.console.print(text, soft_wrap=True)

    def tell(self, text: str, *, style: str = "", **facts: Any) -> None:
        """Shows one step, and keeps its facts."""
        self.scenes[-1]["facts"].append({"text": text, **facts})
        for line in text.splitlines():
            self.console.print(Text(f"   {line}", style=style), soft_wrap=True)

    def check(self, what: str, *, found: object, expected: object) -> None:
        """Ends the demonstration unless what happened is what should have."""
        if found != expected:
            raise DemoFailedError(f"{what}: expected {expected!r}, found {found!r}")

    def request_id(self) -> str:
        """An id for a request that was not made before."""
        return f"demo-{uuid.uuid4().hex}"


def money(amount_minor: int) -> str:
    """An amount as people read it."""
    return format_minor(amount_minor, CURRENCY)
