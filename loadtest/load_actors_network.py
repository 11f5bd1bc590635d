"""Actors on the network's side: shoppers, merchants that clear, a network that repeats itself."""

from __future__ import annotations

from typing import ClassVar

import gevent
from locust import User, task

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2
from loadtest.load_acts import Acts
from loadtest.load_network import Network
from loadtest.load_samples import AUTHORIZE
from loadtest.load_scenario import Phase
from loadtest.load_town import Purchase, Town, money, purchase_of

#: Pause of an actor on an ordinary day, shortest and longest.
_PAUSE_S = (0.1, 0.5)
#: Pauses of those who are in a hurry are this much of it.
_HURRY = 0.2
#: Pause of those who have nothing to do.
_IDLE_S = 0.5
#: Clearings that a merchant sends in a row at night.
_BATCH = 20

_TIP_SHARE = 0.1
_PARTIAL_CAPABLE_SHARE = 0.3
_SPLIT_SHARE = 0.2
_OVER_SHARE = 0.1
_REPEATED_CLEARING_SHARE = 0.02
_REFUND_SHARE = 0.1
#: What is cleared above the authorized amount, in percent: by a tip, by an estimate that was low.
_TIP_PERCENT = 20
_OVER_PERCENT = 15


class NetworkActor(User):
    """An actor who speaks through a card network."""

    abstract = True
    town: ClassVar[Town]
    network: ClassVar[Network]
    acts: ClassVar[Acts]

    #: Phases in which the actor hurries, and those in which there is nothing to do.
    hurries: ClassVar[frozenset[Phase]] = frozenset({Phase.BURST})
    rests: ClassVar[frozenset[Phase]] = frozenset({Phase.NIGHT})

    def wait_time(self) -> float:
        """Pause before the next task, by the time of day."""
        pause_s = self.town.random.uniform(*_PAUSE_S)
        return pause_s * _HURRY if self.town.phase() in self.hurries else pause_s

    def at_rest(self) -> bool:
        """True after a rest, if there is nothing to do at this time of day."""
        if self.town.phase() not in self.rests:
            return False
        gevent.sleep(_IDLE_S)
        return True


class Shopper(NetworkActor):
    """Buys, now and then where a tip is left, or where part of the amount is taken, too."""

    weight = 6

    @task
    def shop(self) -> None:
        """One purchase, while the shops are open."""
        if not self.at_rest():
            self.acts.do(self._buy)

    def _buy(self) -> None:
        """On a card that is frozen for certain, nothing must be approved."""
        town = self.town
        holder = town.holder()
        tip = town.chance(_TIP_SHARE)
        request = town.purchase(holder, tip=tip)
        request.point_of_sale.partial_approval_capable = town.chance(_PARTIAL_CAPABLE_SHARE)
        freeze = town.frozen.get(holder.card_id)
        answer = self.network.send(AUTHORIZE, self.network.stub.Authorize, request)
        if answer is None:
            return
        still = freeze is not None and town.frozen.get(holder.card_id) is freeze
        if still and answer.decision == pb.DECISION_APPROVED:
            self.network.wrong(AUTHORIZE, "approved on a frozen card")
        town.remember(holder, answer, tip=tip)


class Merchant(NetworkActor):
    """Clears what was bought: a little by day, all that is left at night. Refunds some of it."""

    weight = 2
    hurries = frozenset({Phase.NIGHT})
    rests = frozenset()

    @task
    def clear(self) -> None:
        """One clearing by day, a batch at night."""
        self.acts.do(self._clear_some)

    def _clear_some(self) -> None:
        for _ in range(_BATCH if self.town.phase() is Phase.NIGHT else 1):
            if not self.town.waiting:
                return
            purchase = self.town.waiting.popleft()
            if self._clear(purchase):
                self._settle(purchase)

    def _clear(self, purchase: Purchase) -> bool:
        """Whether the purchase is cleared in full."""
        amount_minor = purchase.amount_minor
        if purchase.tip:
            amount_minor += amount_minor * _TIP_PERCENT // 100
        elif self.town.chance(_OVER_SHARE):
            amount_minor += amount_minor * _OVER_PERCENT // 100
        elif self.town.chance(_SPLIT_SHARE) and amount_minor > 1:
            first_minor = amount_minor // 2
            sent = self._capture(purchase, first_minor, final=False)
            return sent and self._capture(purchase, amount_minor - first_minor, final=True)
        return self._capture(purchase, amount_minor, final=True)

    def _capture(self, purchase: Purchase, amount_minor: int, *, final: bool) -> bool:
        request = rpc.CaptureAuthorizationRequest(
            request_id=self.town.request_id(),
            authorization_id=purchase.authorization_id,
            amount=money(amount_minor),
            final=final,
            clearing_reference=self.town.request_id(),
        )
        method = self.network.stub.CaptureAuthorization
        answer = self.network.send("Capture", method, request)
        if answer is None:
            return False
        self.town.answers.captured(answer)
        if self.town.chance(_REPEATED_CLEARING_SHARE):
            # The same clearing in another message posts no second time.
            request.request_id = self.town.request_id()
            self.network.send_again("Capture", method, request, answer)
        return True

    def _settle(self, purchase: Purchase) -> None:
        """A purchase that is cleared: kept, or given back in part."""
        if not self.town.chance(_REFUND_SHARE):
            self.town.cleared.append(purchase)
            return
        request = movement_pb2.RefundRequest(
            request_id=self.town.request_id(),
            authorization_id=purchase.authorization_id,
            amount=money(self.town.random.randint(1, purchase.amount_minor)),
            clearing_reference=self.town.request_id(),
        )
        answer = self.network.send("Refund", self.network.stub.Refund, request)
        if answer is not None:
            self.town.answers.refunded(answer)


class RepeatingNetwork(NetworkActor):
    """A network that got no answer in time: it sends again, and takes back what it gave up."""

    weight = 1

    @task(3)
    def repeat(self) -> None:
        """The same purchase again and again."""
        if not self.at_rest():
            self.acts.do(self._repeat)

    @task(1)
    def reverse_late(self) -> None:
        """A reversal that comes after the clearing: accepted, and gives nothing back."""
        if not self.at_rest() and self.town.cleared:
            purchase = self.town.cleared.popleft()
            self.acts.do(lambda: self._reverse(purchase))

    def _repeat(self) -> None:
        """Twice at once and once later: one decision. Then it is taken back."""
        town, network = self.town, self.network
        holder = town.holder()
        request = town.purchase(holder)
        method = network.stub.Authorize
        twins = [
            gevent.spawn(network.send, name, method, request)
            for name in (AUTHORIZE, f"{AUTHORIZE} again")
        ]
        first, second = (twin.get() for twin in twins)
        answer = first if first is not None else second
        if answer is None:
            return
        if second is not None and second != answer:
            network.wrong(f"{AUTHORIZE} again", "two decisions on one request")
        network.send_again(AUTHORIZE, method, request, answer)
        town.answers.authorized(holder.account_id, answer)
        if answer.decision == pb.DECISION_APPROVED:
            self._reverse(purchase_of(answer))

    def _reverse(self, purchase: Purchase) -> None:
        request = rpc.ReverseAuthorizationRequest(
            request_id=self.town.request_id(), authorization_id=purchase.authorization_id
        )
        method = self.network.stub.ReverseAuthorization
        answer = self.network.send("Reverse", method, request)
        if answer is None:
            return
        self.town.answers.reversed(answer)
        self.network.send_again("Reverse", method, request, answer)
