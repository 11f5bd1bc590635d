"""An independent model of one account: plain sums over the events that were accepted.

It shares no code with authz/: where the two disagree, one of them is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: How long the hold of a plain purchase lasts.
HOLD_MS = 7 * 24 * 3_600_000
CLOSED = "AUTHORIZATION_CLOSED"


@dataclass(slots=True, kw_only=True)
class ModelAuthorization:
    """What happened to one authorization."""

    decided: bool = False
    approval: bool = False
    approved: int = 0
    reversals: list[int] = field(default_factory=list)
    captures: list[int] = field(default_factory=list)
    refunds: list[int] = field(default_factory=list)
    final: bool = False
    void: bool = False
    expired: bool = False
    expire_at: int | None = None
    advised_at: int = 0

    @property
    def captured(self) -> int:
        return sum(self.captures)

    @property
    def closed(self) -> bool:
        return self.final or self.void or self.expired

    @property
    def held(self) -> int:
        if self.closed:
            return 0
        return max(self.approved - sum(self.reversals) - self.captured, 0)

    def due(self, now: int) -> bool:
        return self.expire_at is not None and self.expire_at <= now


@dataclass(slots=True, kw_only=True)
class ModelPayment:
    """One payment."""

    amount: int
    state: str = "CREDITED"


@dataclass(slots=True, kw_only=True)
class ModelAccount:
    """One account with one card."""

    limit: int
    frozen: bool = False
    authorizations: dict[str, ModelAuthorization] = field(default_factory=dict)
    payments: dict[str, ModelPayment] = field(default_factory=dict)
    #: Fees, interest, adjustments, refunds linked to nothing; credits are negative.
    postings: list[int] = field(default_factory=list)

    @property
    def posted(self) -> int:
        bought = sum(a.captured - sum(a.refunds) for a in self.authorizations.values())
        paid = sum(p.amount for p in self.payments.values() if p.state != "RETURNED")
        return bought + sum(self.postings) - paid

    @property
    def held(self) -> int:
        return sum(a.held for a in self.authorizations.values())

    @property
    def unreleased(self) -> int:
        return sum(p.amount for p in self.payments.values() if p.state == "CREDITED")

    @property
    def available(self) -> int:
        return self.limit - self.posted - self.held - self.unreleased

    def of(self, name: str) -> ModelAuthorization:
        """The authorization of this name, new if it was never heard of."""
        return self.authorizations.setdefault(name, ModelAuthorization())

    def authorize(
        self, name: str, amount: int, *, partial: bool, now: int, financial: bool = False
    ) -> tuple[str, int]:
        """Returns (reason, approved amount); reason '' is an approval."""
        known = self.of(name)
        decided, known.decided = known.decided, True
        if self.frozen:
            return "CARD_FROZEN", 0
        if decided:
            return "DUPLICATE_TRANSACTION", 0
        if known.void or (known.reversals and sum(known.reversals) >= amount):
            return "AUTHORIZATION_REVERSED", 0
        covered = 0 if financial else sum(known.reversals) + known.captured
        need = max(amount - covered, 0)
        if not financial and known.closed:
            need = 0
        available = self.available
        if need == 0 or need <= available:
            granted = amount
        elif partial and available > 0:
            granted = available + covered
        else:
            return "INSUFFICIENT_CREDIT", 0
        known.approval, known.approved, known.expire_at = True, granted, now + HOLD_MS
        if financial:
            known.captures.append(granted)
            known.final = True
        return "", granted

    def advise(self, name: str, amount: int, *, sent: int, now: int) -> None:
        """Books what the network approved; an older one changes nothing."""
        known = self.of(name)
        if sent >= known.advised_at:
            known.approved, known.advised_at = amount, sent
        known.decided = known.approval = True
        if known.expire_at is None:
            known.expire_at = now + HOLD_MS

    def increment(self, name: str, amount: int, *, now: int) -> str:
        """Returns the reason it was declined, or CLOSED; '' is an approval."""
        known = self.of(name)
        if not known.approval or known.closed or known.due(now):
            return CLOSED
        if self.frozen:
            return "CARD_FROZEN"
        if amount > self.available:
            return "INSUFFICIENT_CREDIT"
        gone = sum(known.reversals) + known.captured
        known.approved = max(known.approved, gone) + amount
        return ""

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

    def expire(self, name: str) -> int:
        """Returns what was released."""
        known = self.of(name)
        before, known.expired = known.held, True
        return before

    def sweep(self, now: int) -> None:
        """Expires whatever is due and still holds something."""
        for known in self.authorizations.values():
            if known.held > 0 and known.due(now):
                known.expired = True

    def credit(self, payment: str, amount: int) -> str:
        """Returns why not, or ''."""
        if payment in self.payments:
            return "PAYMENT_EXISTS"
        self.payments[payment] = ModelPayment(amount=amount)
        return ""

    def move(self, payment: str, state: str) -> str:
        """Releases or returns; returns why not, or ''."""
        known = self.payments.get(payment)
        if known is None:
            return "PAYMENT_NOT_FOUND"
        if known.state in ("RETURNED", state):
            return "PAYMENT_STATE"
        known.state = state
        return ""
