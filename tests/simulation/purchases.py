"""Every movement of purchases, sent to the authorizer and told to the model."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from hypothesis import strategies as st

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from tests.authz_mesh import capture_of, purchase, reversal_of
from tests.authz_messages import (
    advice,
    expiry_of,
    forced,
    increment_of,
    refund_of,
    withdrawal,
)
from tests.simulation.machine import Machine, move
from tests.simulation.model import CLOSED, ModelPlace, Verdict

AMOUNTS = st.one_of(st.integers(1, 60), st.sampled_from([1, 100, 250, 1_000]))
#: Mostly 0: the network names nothing, or the message is about a purchase that is known.
EARLY = st.sampled_from([0] * 9 + [1, 2, 3, 4, 5, 6])
SELDOM = st.sampled_from([False, False, False, True])
#: The merchant category of a cash machine.
CASH = "6011"


def _reason(answer: Any) -> str:
    name = DeclineReason.Name(answer.decline_reason).removeprefix("DECLINE_REASON_")
    return "" if name == "UNSPECIFIED" else name


def verdict_of(answer: Any, approved: int) -> Verdict:
    """An answer as the model gives it."""
    control = answer.control
    return Verdict(
        reason=_reason(answer),
        approved=approved,
        control=control.control_id,
        left=control.left_amount.amount_minor if control.HasField("left_amount") else None,
        left_count=control.left_count if control.HasField("left_count") else None,
    )


class PurchaseMachine(Machine):
    """Everything that happens to purchases, with the card in hand at the merchant of the moment."""

    #: What was answered, in all histories: a test that never saw a thing has not shown it.
    seen: ClassVar[Counter[str]]
    place = ModelPlace()

    def name_of(self, request: Any, network: int) -> str:
        """The model's name of a new purchase, which the network names, too, or does not."""
        name = f"net-{network}" if network else f"own-{next(self.numbers)}"
        if network:
            request.network_data.CopyFrom(pb.NetworkData(network="visa", transaction_id=name))
            request.card_id = self.card_of(name)
        merchant_id, descriptor, _ = self.place
        request.merchant.id, request.merchant.descriptor = merchant_id, descriptor
        return name

    @move(14, amount=AMOUNTS, partial=st.booleans(), network=EARLY, cash=SELDOM)
    def authorize(self, amount: int, partial: bool, network: int, cash: bool) -> None:
        request = withdrawal(self.card_id, amount) if cash else purchase(self.card_id, amount)
        request.point_of_sale.partial_approval_capable = partial
        name = self.name_of(request, network)
        place = self.place._replace(category=CASH if cash else self.place.category)
        request.merchant.category_code = place.category
        verdict = self.model.authorize(
            name,
            amount,
            card=request.card_id,
            place=place,
            partial=partial,
            now=self.mesh.clock.now_ms(),
            financial=cash,
        )
        answer = self.first(request)
        assert verdict_of(answer, answer.approved_amount.amount_minor) == verdict
        self.seen[verdict.reason or ("approved" if verdict.approved == amount else "part")] += 1
        assert answer.available_credit.amount_minor == self.model.available
        assert self.names.setdefault(name, answer.authorization_id) == answer.authorization_id

    @move(2, amount=AMOUNTS, network=EARLY, age=st.integers(0, 3))
    def advise(self, amount: int, network: int, age: int) -> None:
        now = self.mesh.clock.now_ms()
        request = advice(self.card_id, amount, sent_ms=now - age * 60_000)
        name = self.name_of(request, network)
        request.merchant.category_code = self.place.category
        self.model.advise(
            name,
            amount,
            card=request.card_id,
            place=self.place,
            sent=now - age * 60_000,
            now=now,
        )
        answer = self.first(request)
        assert self.names.setdefault(name, answer.authorization_id) == answer.authorization_id
        assert answer.available_credit.amount_minor == self.model.available

    @move(4, amount=AMOUNTS, early=EARLY)
    def increment(self, amount: int, early: int) -> None:
        name = self.pick(early)
        if name is None:
            return
        request = increment_of("", amount)
        self.target(request, name)
        if name not in self.names:
            self.refused(request, "AUTHORIZATION_NOT_FOUND")
            return
        verdict = self.model.increment(name, amount, now=self.mesh.clock.now_ms())
        if verdict.reason == CLOSED:
            self.refused(request, CLOSED)
            return
        answer = self.first(request)
        assert verdict_of(answer, verdict.approved) == verdict
        self.seen[f"increment {verdict.reason or 'approved'}"] += 1
        assert answer.held_amount.amount_minor == self.model.of(name).held
        assert answer.available_credit.amount_minor == self.model.available

    @move(4, amount=AMOUNTS, final=SELDOM, early=EARLY, arn=st.booleans())
    def capture(self, amount: int, final: bool, early: int, arn: bool) -> None:
        name = self.pick(early)
        if name is None:
            return
        request = capture_of("", amount, final=final)
        request.clearing_reference = f"arn-{self.request_id()}" if arn else ""
        self.target(request, name)
        now, card = self.mesh.clock.now_ms(), self.card_of(name)
        self.model.capture(name, amount, card=card, category="", final=final, now=now)
        answer = self.first(request)
        self.names.setdefault(name, answer.authorization_id)
        assert answer.posted_amount.amount_minor == amount
        assert answer.captured_amount.amount_minor == self.model.of(name).captured
        assert answer.held_amount.amount_minor == self.model.of(name).held
        assert answer.available_credit.amount_minor == self.model.available

    @move(2, amount=AMOUNTS, network=EARLY, arn=st.booleans())
    def force_post(self, amount: int, network: int, arn: bool) -> None:
        request = forced(self.card_id, amount)
        request.clearing_reference = f"arn-{self.request_id()}" if arn else ""
        name = self.name_of(request, network)
        request.merchant.category_code = category = self.place.category
        now, card = self.mesh.clock.now_ms(), request.card_id
        self.model.capture(name, amount, card=card, category=category, final=False, now=now)
        answer = self.first(request)
        assert self.names.setdefault(name, answer.authorization_id) == answer.authorization_id
        assert answer.available_credit.amount_minor == self.model.available

    @move(3, amount=st.none() | AMOUNTS, early=EARLY)
    def reverse(self, amount: int | None, early: int) -> None:
        name = self.pick(early)
        if name is None:
            return
        request = reversal_of("", amount)
        self.target(request, name)
        now = self.mesh.clock.now_ms()
        released = self.model.reverse(name, amount, card=self.card_of(name), now=now)
        answer = self.first(request)
        self.names.setdefault(name, answer.authorization_id)
        assert answer.released_amount.amount_minor == released
        assert answer.available_credit.amount_minor == self.model.available

    @move()
    def expire(self) -> None:
        name = self.pick(0)
        if name is None:
            return
        released = self.model.expire(name, now=self.mesh.clock.now_ms())
        answer = self.first(expiry_of(self.names[name]))
        assert answer.released_amount.amount_minor == released

    @move(
        2,
        amount=AMOUNTS,
        early=EARLY,
        linked=st.booleans(),
        kind=st.tuples(st.booleans(), st.booleans()),
    )
    def refund(
        self,
        amount: int,
        early: int,
        linked: bool,
        kind: tuple[bool, bool],
    ) -> None:
        reversal, arn = kind
        signed = -amount if reversal else amount
        name = self.pick(early) if linked else None
        request = refund_of("", amount, reversal=reversal)
        request.clearing_reference = f"arn-{self.request_id()}" if arn else ""
        if name is None:
            request.card_id = self.card_id
            self.model.postings.append(-signed)
        else:
            self.target(request, name)
            self.model.of(name, self.card_of(name)).refunds.append(signed)
        answer = self.first(request)
        if name is not None:
            self.names.setdefault(name, answer.authorization_id)
            assert answer.refunded_amount.amount_minor == sum(self.model.of(name).refunds)
        assert answer.available_credit.amount_minor == self.model.available
