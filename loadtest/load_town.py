"""What the actors of a load test share: the mesh, the cardholders, what waits to be cleared.

Runs in Locust's process, where greenlets take turns only while they wait: what happens between two
waits happens at once.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from loadtest.load_answers import Answers
from loadtest.load_scenario import Holder, Phase, Scenario

_CURRENCY = "USD"
#: Purchases that wait to be cleared, and cleared ones that may be refunded or reversed. Older ones
#: are left as they are: an open hold, a purchase that stays.
_WAITING_MAX = 100_000
_CLEARED_MAX = 1_000

_GROCER = pb.Merchant(descriptor="Green Valley Grocers", category_code="5411", country_code="US")
_RESTAURANT = pb.Merchant(descriptor="Blue Door Kitchen", category_code="5812", country_code="US")
_SHOPS = (
    _GROCER,
    pb.Merchant(descriptor="Corner Coffee", category_code="5814", country_code="US"),
    pb.Merchant(descriptor="Second Chapter Books", category_code="5942", country_code="US"),
)
_AMOUNTS_MINOR = (199, 450, 1_250, 2_999, 8_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """An approved purchase. Whoever has it is the only one who acts on it."""

    authorization_id: str
    amount_minor: int
    #: The guest leaves one: more is cleared than was authorized.
    tip: bool


@dataclass(slots=True, kw_only=True)
class Town:
    """One load test under way."""

    scenario: Scenario
    random: random.Random
    answers: Answers = field(default_factory=Answers)
    #: Approved, not cleared yet.
    waiting: deque[Purchase] = field(default_factory=lambda: deque(maxlen=_WAITING_MAX))
    #: Cleared in full.
    cleared: deque[Purchase] = field(default_factory=lambda: deque(maxlen=_CLEARED_MAX))
    #: Cards that are frozen for certain: the freeze was answered, no thaw was asked for. The value
    #: tells one freeze from the next.
    frozen: dict[str, object] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _began: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """The first user comes."""
        self._began = time.monotonic()

    def phase(self) -> Phase | None:
        """What is going on; None when it is over."""
        return self.scenario.phase(time.monotonic() - self._began)

    def request_id(self) -> str:
        """An id for a new request; no other run has used it."""
        return f"{self.scenario.run_id}-{next(self._numbers)}"

    def holder(self) -> Holder:
        """Somebody."""
        return self.random.choice(self.scenario.holders)

    def chance(self, share: float) -> bool:
        """True in this share of all cases."""
        return self.random.random() < share

    def purchase(self, holder: Holder, *, tip: bool = False) -> rpc.AuthorizeRequest:
        """A purchase at some shop; with a tip to come, at the restaurant."""
        return rpc.AuthorizeRequest(
            request_id=self.request_id(),
            card_id=holder.card_id,
            amount=money(self.random.choice(_AMOUNTS_MINOR)),
            merchant=_RESTAURANT if tip else self.random.choice(_SHOPS),
        )

    def remember(self, holder: Holder, answer: rpc.AuthorizeResponse, *, tip: bool = False) -> None:
        """Keeps a decision; what was approved waits to be cleared."""
        self.answers.authorized(holder.account_id, answer)
        if answer.decision == pb.DECISION_APPROVED:
            self.waiting.append(purchase_of(answer, tip=tip))


def purchase_of(answer: rpc.AuthorizeResponse, *, tip: bool = False) -> Purchase:
    """What was approved."""
    return Purchase(
        authorization_id=answer.authorization_id,
        amount_minor=answer.approved_amount.amount_minor,
        tip=tip,
    )


def money(amount_minor: int) -> Money:
    """An amount on the wire."""
    return Money(currency_code=_CURRENCY, amount_minor=amount_minor)
