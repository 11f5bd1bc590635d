"""An independent model of one account: plain sums over the events that were accepted.

It shares no code with authz/: where the two disagree, one of them is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tests.simulation.limits import (
    Left,
    ModelLimit,
    ModelLimits,
    ModelUse,
    count_more,
    give_back,
    left_of,
)

#: How long the hold of a plain purchase lasts.
HOLD_MS = 7 * 24 * 3_600_000
CLOSED = "AUTHORIZATION_CLOSED"


class ModelPlace(NamedTuple):
    """A merchant."""

    id: str = "m-1"
    descriptor: str = "Corner shop"
    category: str = "5411"


class Verdict(NamedTuple):
    """The answer to a purchase; reason '' is an approval."""

    reason: str = ""
    approved: int = 0
    #: The control that declined, and what it leaves.
    control: str = ""
    left: int | None = None
    left_count: int | None = None


@dataclass(slots=True, kw_only=True)
class ModelCard:
    """One card. A card and its replacement are one line, named by the first of them."""

    line: str
    single_use: bool = False
    frozen: bool = False
    #: To its first merchant.
    lock: bool = False


@dataclass(slots=True, kw_only=True)
class ModelAuthorization:
    """What happened to one authorization."""

    card: str = ""
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
    #: What of it counts in limits, and when it was counted.
    uses: list[ModelUse] = field(default_factory=list)

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

    @property
    def counted(self) -> int:
        """What of it is spent."""
        return self.held + self.captured

    def due(self, now: int) -> bool:
        return self.expire_at is not None and self.expire_at <= now


@dataclass(slots=True, kw_only=True)
class ModelPayment:
    """One payment."""

    amount: int
    state: str = "CREDITED"


@dataclass(slots=True, kw_only=True)
class ModelAccount:
    """One account with its cards."""

    limit: int
    cards: dict[str, ModelCard]
    limits: ModelLimits = field(default_factory=ModelLimits)
    #: Lines of single-use cards that were used, and the merchants that lines are locked to.
    used: set[str] = field(default_factory=set)
    locked: dict[str, ModelPlace] = field(default_factory=dict)
    authorizations: dict[str, ModelAuthorization] = field(default_factory=dict)
    payments: dict[str, ModelPayment] = field(default_factory=dict)
    #: Credit that is paid back.
    refunds: dict[str, ModelPayment] = field(default_factory=dict)
    #: Fees, interest, adjustments, refunds linked to nothing; credits are negative.
    postings: list[int] = field(default_factory=list)

    @property
    def posted(self) -> int:
        bought = sum(a.captured - sum(a.refunds) for a in self.authorizations.values())
        paid = sum(p.amount for p in self.payments.values() if p.state != "RETURNED")
        back = sum(r.amount for r in self.refunds.values() if r.state == "DEBITED")
        return bought + sum(self.postings) - paid + back

    @property
    def held(self) -> int:
        return sum(a.held for a in self.authorizations.values())

    @property
    def unreleased(self) -> int:
        return sum(p.amount for p in self.payments.values() if p.state == "CREDITED")

    @property
    def available(self) -> int:
        return self.limit - self.posted - self.held - self.unreleased

    def of(self, name: str, card: str = "") -> ModelAuthorization:
        """The authorization of this name, new if it was never heard of."""
        return self.authorizations.setdefault(name, ModelAuthorization(card=card))

    def limits_at(self, card: str, category: str | None) -> list[ModelLimit]:
        """The limits that purchases with this card count in."""
        return self.limits.at(self.cards[card].line, category)

    def left(self, limits: list[ModelLimit], now: int) -> list[Left]:
        """What these limits leave."""
        uses = [use for known in self.authorizations.values() for use in known.uses]
        return [left_of(limit, uses, now) for limit in limits]

    def _recount(
        self, known: ModelAuthorization, before: int, limits: list[ModelLimit], now: int
    ) -> None:
        """What is spent in more counts in these limits; what is spent in less is given back."""
        more = known.counted - before
        if more > 0:
            count_more(known.uses, limits, more, purchases=int(before == 0), now=now)
        if more < 0:
            give_back(known.uses, -more, whole=known.counted == 0)

    def authorize(
        self,
        name: str,
        amount: int,
        *,
        card: str,
        place: ModelPlace,
        partial: bool,
        now: int,
        financial: bool = False,
    ) -> Verdict:
        """Decides, and places the hold."""
        known, before = self.of(name, card), self.of(name).counted
        decided, known.decided = known.decided, True
        refused = self._forbidden(known, amount, decided=decided, card=card, place=place)
        if refused is not None:
            return refused
        covered = 0 if financial else sum(known.reversals) + known.captured
        need = max(amount - covered, 0)
        if not financial and known.closed:
            need = 0
        limits = self.limits_at(card, place.category)
        left = self.left(limits, now)
        exhausted = [one for one in left if one.count == 0]
        if need and not before and exhausted:
            return _beyond("VELOCITY_COUNT_EXCEEDED", exhausted[0])
        bounds = [one for one in left if one.amount is not None]
        tightest = min(bounds, key=lambda one: one.amount or 0, default=None)
        rest = self.available if tightest is None else min(self.available, tightest.amount or 0)
        if need == 0 or need <= rest:
            granted = amount
        elif partial and rest > 0:
            granted = rest + covered
        elif tightest is not None and need > (tightest.amount or 0):
            return _beyond("SPEND_LIMIT_EXCEEDED", tightest)
        else:
            return Verdict("INSUFFICIENT_CREDIT")
        known.approval, known.approved, known.expire_at = True, granted, now + HOLD_MS
        if financial:
            known.captures.append(granted)
            known.final = True
        self._recount(known, before, limits, now)
        self._learn(card, place, granted)
        return Verdict(approved=granted)

    def _forbidden(
        self,
        known: ModelAuthorization,
        amount: int,
        *,
        decided: bool,
        card: str,
        place: ModelPlace,
    ) -> Verdict | None:
        """The reasons that no amount of credit mends."""
        held = self.cards[card]
        if held.frozen:
            return Verdict("CARD_FROZEN")
        if decided:
            return Verdict("DUPLICATE_TRANSACTION")
        if known.void or (known.reversals and sum(known.reversals) >= amount):
            return Verdict("AUTHORIZATION_REVERSED")
        if held.single_use and held.line in self.used:
            return Verdict("SINGLE_USE_ALREADY_USED")
        first = self.locked.get(held.line)
        if held.lock and first is not None:
            name = first.descriptor.lower()
            if first.id != place.id and name != place.descriptor.lower():
                return Verdict("MERCHANT_NOT_ALLOWED", control="card/merchant_lock")
        return None

    def _learn(self, card: str, place: ModelPlace, granted: int) -> None:
        """An approved purchase uses a single-use card up, and locks one that locks."""
        held = self.cards[card]
        if granted and held.single_use:
            self.used.add(held.line)
        if granted and held.lock:
            self.locked.setdefault(held.line, place)

    def advise(
        self, name: str, amount: int, *, card: str, place: ModelPlace, sent: int, now: int
    ) -> None:
        """Books what the network approved; an older one changes nothing."""
        known, before = self.of(name, card), self.of(name).counted
        if sent >= known.advised_at:
            known.approved, known.advised_at = amount, sent
        known.decided = known.approval = True
        if known.expire_at is None:
            known.expire_at = now + HOLD_MS
        if self.cards[card].single_use:
            self.used.add(self.cards[card].line)
        self._recount(known, before, self.limits_at(card, place.category), now)

    def increment(self, name: str, amount: int, *, now: int) -> Verdict:
        """All or nothing; CLOSED is no answer."""
        known = self.of(name)
        if not known.approval or known.closed or known.due(now):
            return Verdict(CLOSED)
        if self.cards[known.card].frozen:
            return Verdict("CARD_FROZEN")
        # Its merchant is the purchase's: a limit of categories counts if that counted in it.
        counted = {use.key for use in known.uses}
        limits = [
            limit
            for limit in self.limits_at(known.card, None)
            if not limit.categories or limit.key in counted
        ]
        bounds = [one for one in self.left(limits, now) if one.amount is not None]
        tightest = min(bounds, key=lambda one: one.amount or 0, default=None)
        if tightest is not None and amount > (tightest.amount or 0):
            return _beyond("SPEND_LIMIT_EXCEEDED", tightest)
        if amount > self.available:
            return Verdict("INSUFFICIENT_CREDIT")
        before, gone = known.counted, sum(known.reversals) + known.captured
        known.approved = max(known.approved, gone) + amount
        self._recount(known, before, limits, now)
        return Verdict(approved=amount)

    def capture(
        self, name: str, amount: int, *, card: str, category: str, final: bool, now: int
    ) -> None:
        """Posts whatever the state. What was authorized counts where it counted then."""
        known, before = self.of(name, card), self.of(name).counted
        known.captures.append(amount)
        known.final = known.final or final
        limits = [] if known.uses else self.limits_at(card, category)
        self._recount(known, before, limits, now)

    def reverse(self, name: str, amount: int | None, *, card: str, now: int) -> int:
        """Returns what was released."""
        known, held = self.of(name, card), self.of(name).held
        before = known.counted
        if amount is None:
            known.void = True
        else:
            known.reversals.append(amount)
        self._recount(known, before, [], now)
        return held - known.held

    def expire(self, name: str, *, now: int) -> int:
        """Returns what was released."""
        known = self.of(name)
        held, before, known.expired = known.held, known.counted, True
        self._recount(known, before, [], now)
        return held

    def sweep(self, now: int) -> None:
        """Expires whatever is due and still holds something."""
        for name, known in self.authorizations.items():
            if known.held > 0 and known.due(now):
                self.expire(name, now=now)

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

    def debit_refund(self, refund: str, amount: int) -> str:
        """Returns why not, or ''."""
        if refund in self.refunds:
            return "REFUND_EXISTS"
        if amount > min(-self.posted - self.unreleased, self.available):
            return "CREDIT_BALANCE_EXCEEDED"
        self.refunds[refund] = ModelPayment(amount=amount, state="DEBITED")
        return ""

    def put_back(self, refund: str) -> str:
        """Returns why not, or ''."""
        known = self.refunds.get(refund)
        if known is None:
            return "REFUND_NOT_FOUND"
        if known.state != "DEBITED":
            return "REFUND_STATE"
        known.state = "PUT_BACK"
        return ""


def _beyond(reason: str, left: Left) -> Verdict:
    """Declined by a limit."""
    return Verdict(reason, control=left.limit.label, left=left.amount, left_count=left.count)
