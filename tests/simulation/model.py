"""An independent model of one account: plain sums over the events that were accepted.

It shares no code with authz/: where the two disagree, one of them is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class ModelAuthorization:
    """What happened to one authorization."""

    decided: bool = False
    approved: int = 0
    reversals: list[int] = field(default_factory=list)
    captures: list[int] = field(default_factory=list)
    final: bool = False
    void: bool = False

    @property
    def captured(self) -> int:
        return sum(self.captures)

    @property
    def held(self) -> int:
        if self.final or self.void:
            return 0
        return max(self.approved - sum(self.reversals) - self.captured, 0)


@dataclass(slots=True, kw_only=True)
class ModelAccount:
    """One account with one card."""

    limit: int
    frozen: bool = False
    authorizations: dict[str, ModelAuthorization] = field(default_factory=dict)

    @property
    def posted(self) -> int:
        return sum(a.captured for a in self.authorizations.values())

    @property
    def held(self) -> int:
        return sum(a.held for a in self.authorizations.values())

    @property
    def available(self) -> int:
        return self.limit - self.posted - self.held

    def of(self, name: str) -> ModelAuthorization:
        """The authorization of this name, new if it was never heard of."""
        return self.authorizations.setdefault(name, ModelAuthorization())

    def authorize(self, name: str, amount: int, *, partial: bool) -> tuple[str, int]:
        """Returns (reason, approved amount); reason '' is an approval."""
        if self.frozen:
            known = self.of(name)
            known.decided = True
            return "CARD_FROZEN", 0
        known = self.of(name)
        if known.decided:
            return "DUPLICATE_TRANSACTION", 0
        if known.void or (known.reversals and sum(known.reversals) >= amount):
            known.decided = True
            return "AUTHORIZATION_REVERSED", 0
        given_back = sum(known.reversals) + known.captured
        need = 0 if known.final else max(amount - given_back, 0)
        known.decided = True
        available = self.available
        if need == 0 or need <= available:
            known.approved = amount
        elif partial and available > 0:
            known.approved = available + given_back
        else:
            return "INSUFFICIENT_CREDIT", 0
        return "", known.approved

    def capture(self, name: str, amount: int, *, final: bool) -> None:
        """Posts whatever the state."""
        known = self.of(name)
        known.captures.append(amount)
        known.final = known.final or final

    def reverse(self, name: str, amount: int | None) -> int:
        """Returns what was released."""
        known = self.of(name)
        before = known.held
        if amount is None:
            known.void = True
        else:
            known.reversals.append(amount)
        return before - known.held
