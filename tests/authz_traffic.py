"""Random traffic of every kind of movement, repeatable by its seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import posting_service_pb2 as postings
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.type.v1.default_rules_pb2 import (
    CardTestingCheck,
    DefaultRules,
    FirstAbroadCheck,
    FraudChecks,
    RepetitionCheck,
)
from holdfast.type.v1.money_pb2 import Money
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from tests import authz_controls as controls
from tests import authz_messages as messages
from tests.authz_checks import UNKNOWN_CARD, by_network, network_purchase
from tests.authz_mesh import ACCOUNTS, ADMIN, NETWORK, AuthzMesh, capture_of, purchase, reversal_of

PARTITIONS = (3, 10, 63)
#: Whose cards they are.
USER = "usr_0b" + "2" * 32
#: All of them on, so that each remembers something.
CHECKS = FraudChecks(
    card_testing=CardTestingCheck(declines=3, window=Duration(seconds=60)),
    first_abroad=FirstAbroadCheck(home_country="US", wait=Duration(seconds=1)),
    repetition=RepetitionCheck(window=Duration(seconds=1)),
)
#: What a random message may be refused with: it came too late, or twice, or is about nothing.
REFUSALS = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ALREADY_EXISTS,
    }
)


@dataclass(slots=True, kw_only=True)
class Traffic:
    """Sends messages and keeps what was answered."""

    mesh: AuthzMesh
    seed: int
    random: random.Random = field(init=False)
    accounts: list[str] = field(default_factory=list)
    cards: list[str] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    rules: DefaultRules = field(default_factory=DefaultRules)
    #: Since when the limits of accounts and cards count.
    since_ms: dict[str, int] = field(default_factory=dict)
    authorizations: list[str] = field(default_factory=list)
    transactions: list[tuple[str, str]] = field(default_factory=list)
    payments: list[tuple[str, str]] = field(default_factory=list)
    answers: list[tuple[Any, Message, Any, Message]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    async def open(self, accounts: int = 9) -> None:
        """Accounts with three cards each: with limits, locked to a merchant, for one purchase."""
        for number in range(accounts):
            partition = PARTITIONS[number % len(PARTITIONS)]
            account = self.mesh.ids.new("acct", partition)
            self.accounts.append(account)
            await self._apply_account(account, 20_000)
            for _ in range(3):
                card = self.mesh.ids.new("card", partition)
                self.cards.append(card)
                self.owners[card] = account
                await self._apply_card(card, projection.CARD_STATE_ACTIVE)

            await self.mesh.apply_account_user(account, USER, controls=self._user())
        self.rules = DefaultRules(card_controls=self._programme(), fraud_checks=CHECKS)
        await self.mesh.apply_rules("prog_standard", self.rules)
        self.versions |= {account + USER: 1 for account in self.accounts} | {"prog_standard": 1}

    def _user(self) -> SpendControls:
        return SpendControls(transaction_maximum=self._maximum(), limits=controls.of_user())

    def _programme(self) -> SpendControls:
        return SpendControls(transaction_maximum=self._maximum(), limits=controls.of_programme())

    def _maximum(self) -> Money:
        return Money(currency_code="USD", amount_minor=self.random.choice((7_000, 30_000)))

    async def run(self, messages_count: int) -> None:
        """So many random messages; the clock goes on in between."""
        kinds = (
            (self._purchase, 6), (self._network_purchase, 4), (self._withdrawal, 1),
            (self._advice, 2), (self._increment, 2), (self._capture, 5), (self._late_capture, 2),
            (self._reverse, 3), (self._early_reverse, 2), (self._expire, 1), (self._force, 2),
            (self._refund, 2), (self._credit, 2), (self._move_payment, 2), (self._post, 2),
            (self._configure, 1), (self._repeat, 2),
        )  # fmt: skip
        chosen: list[Callable[[], Awaitable[None]]] = self.random.choices(
            [kind for kind, _ in kinds], [weight for _, weight in kinds], k=messages_count
        )
        for kind in chosen:
            self.mesh.clock.advance(self.random.randint(1, 50))
            await kind()

    async def _send(self, method: Any, request: Message, metadata: Any = NETWORK) -> Any:
        name = type(request).__name__.removesuffix("Request")
        try:
            answer = await method(request, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() not in REFUSALS:
                raise
            self.counts[f"{name} refused"] += 1
            return None
        self.counts[name] += 1
        if not isinstance(answer, projection.ApplyAccountResponse | projection.ApplyCardResponse):
            self.answers.append((method, request, metadata, answer))
        return answer

    def _amount(self) -> int:
        return self.random.choice((0, 1, 150, 999, 2_500, 7_000, 30_000))

    def _foreign(self, request: Any) -> Any:
        """Now and then the merchant counts in another currency."""
        if self.random.random() < 0.4:
            unit, factor = self.random.choice((("EUR", 90), ("JPY", 150), ("KWD", 3)))
            minor = request.amount.amount_minor * factor // 100
            request.merchant_amount.CopyFrom(Money(currency_code=unit, amount_minor=minor))
            request.conversion_rate = "1.25"
        return request

    async def _authorize(self, request: rpc.AuthorizeRequest) -> None:
        answer = await self._send(self.mesh.authorization.Authorize, self._foreign(request))
        if answer is not None:
            self.counts[pb.Decision.Name(answer.decision)] += 1
            self.authorizations.append(answer.authorization_id)

    def _card(self) -> str:
        return self.random.choice([*self.cards, UNKNOWN_CARD])

    async def _purchase(self) -> None:
        request = purchase(self._card(), self._amount(), messages.request_id())
        request.merchant.id, request.merchant.descriptor = self.random.choice(
            (("m-1", "Corner shop"), ("m-1", "Corner shop"), ("m-2", "Straße 5"), ("", "CAFÉ"))
        )
        request.point_of_sale.partial_approval_capable = self.random.random() < 0.3
        request.merchant.country_code = self.random.choices(("US", "FR", "DE"), (8, 1, 1))[0]
        await self._authorize(self._guessed(request))

    def _guessed(self, request: rpc.AuthorizeRequest) -> rpc.AuthorizeRequest:
        """Now and then the CVV is wrong."""
        if self.random.random() < 0.2:
            request.verification.cvv = pb.CHECK_RESULT_MISMATCH
        return request

    def _transaction(self) -> tuple[str, str]:
        if self.transactions and self.random.random() < 0.5:
            return self.random.choice(self.transactions)
        found = (self.random.choice(self.cards), f"t-{len(self.transactions)}")
        self.transactions.append(found)
        return found

    async def _network_purchase(self) -> None:
        card, transaction = self._transaction()
        amount = self._amount()
        request = network_purchase(card, amount, transaction, messages.request_id())
        await self._authorize(self._guessed(request))

    async def _withdrawal(self) -> None:
        await self._authorize(messages.withdrawal(self._card(), self._amount()))

    async def _advice(self) -> None:
        card, transaction = self._transaction()
        sent_ms = self.mesh.clock.now_ms() - self.random.choice((0, 500, 5_000))
        sent = self.random.choice((None, sent_ms))
        await self._authorize(messages.advice(card, self._amount(), transaction, sent_ms=sent))

    def _held(self) -> str:
        return self.random.choice(self.authorizations or ["auth_0a" + "0" * 32])

    async def _increment(self) -> None:
        request = messages.increment_of(self._held(), max(self._amount(), 1))
        await self._send(self.mesh.authorization.IncrementAuthorization, request)

    async def _capture(self) -> None:
        final = self.random.random() < 0.3
        request = capture_of(
            self._held(), max(self._amount(), 1), messages.request_id(), final=final
        )
        request.clearing_reference = self.random.choice(("", f"c-{self.random.randrange(30)}"))
        method = self.mesh.authorization.CaptureAuthorization
        await self._send(method, self._foreign(request))

    async def _late_capture(self) -> None:
        card, transaction = self._transaction()
        request = capture_of("", max(self._amount(), 1), messages.request_id())
        by_network(request, card, transaction)
        method = self.mesh.authorization.CaptureAuthorization
        await self._send(method, self._foreign(request))

    async def _reverse(self) -> None:
        amount = self.random.choice((None, 100, 2_500))
        request = reversal_of(self._held(), amount, messages.request_id())
        await self._send(self.mesh.authorization.ReverseAuthorization, request)

    async def _early_reverse(self) -> None:
        card, transaction = self._transaction()
        amount = self.random.choice((None, 150))
        request = by_network(reversal_of("", amount, messages.request_id()), card, transaction)
        await self._send(self.mesh.authorization.ReverseAuthorization, request)

    async def _expire(self) -> None:
        request = messages.expiry_of(self._held())
        await self._send(self.mesh.authorization.ExpireAuthorization, request, ADMIN)

    async def _force(self) -> None:
        card, transaction = self._transaction()
        transaction = self.random.choice((transaction, ""))
        reference = self.random.choice(("", f"f-{self.random.randrange(10)}"))
        request = messages.forced(card, max(self._amount(), 1), transaction, reference)
        await self._send(self.mesh.authorization.ForcePost, self._foreign(request))

    async def _refund(self) -> None:
        linked = self.random.random() < 0.6
        request = messages.refund_of(
            self._held() if linked else "",
            max(self._amount(), 1),
            card_id="" if linked else self.random.choice(self.cards),
            reference=self.random.choice(("", f"r-{self.random.randrange(10)}")),
            reversal=self.random.random() < 0.2,
        )
        await self._send(self.mesh.authorization.Refund, request)

    async def _credit(self) -> None:
        account = self.random.choice(self.accounts)
        payment = self.mesh.ids.new("pay", int(account[5:7], 16))
        self.payments.append((account, payment))
        request = messages.credit(account, payment, max(self._amount(), 1))
        await self._send(self.mesh.posting.CreditPayment, request, ACCOUNTS)

    async def _move_payment(self) -> None:
        if not self.payments:
            return
        payment = self.random.choice(self.payments)
        if self.random.random() < 0.5:
            await self._send(self.mesh.posting.ReleasePayment, messages.release(*payment), ACCOUNTS)
        else:
            await self._send(self.mesh.posting.ReturnPayment, messages.returned(*payment), ACCOUNTS)

    async def _post(self) -> None:
        kind = self.random.choice(
            (
                postings.POSTING_KIND_FEE,
                postings.POSTING_KIND_INTEREST,
                postings.POSTING_KIND_ADJUSTMENT_CREDIT,
            )
        )
        request = messages.posting(self.random.choice(self.accounts), kind, 77)
        await self._send(self.mesh.posting.PostEntry, request, ACCOUNTS)

    async def _configure(self) -> None:
        """Another credit limit, other rules, or a frozen card thawed and frozen; some limits begin
        anew.
        """
        if self.random.random() < 0.3:
            account = self.random.choice(self.accounts)
            self.versions[account + USER] += 1
            version = self.versions[account + USER]
            await self.mesh.apply_account_user(
                account, USER, version=version, controls=self._user()
            )
            self.versions["prog_standard"] += 1
            version = self.versions["prog_standard"]
            self.rules = DefaultRules(account_controls=self._programme(), fraud_checks=CHECKS)
            await self.mesh.apply_rules("prog_standard", self.rules, version=version)
        if self.random.random() < 0.5:
            account = self.random.choice(self.accounts)
            await self._apply_account(account, self.random.choice((5_000, 20_000, 50_000)))
            return
        states = (projection.CARD_STATE_ACTIVE, projection.CARD_STATE_FROZEN)
        state = self.random.choices(states, (3, 1))[0]
        await self._apply_card(self.random.choice(self.cards), state)

    def _since_ms(self, subject_id: str) -> int:
        if self.random.random() < 0.3:
            self.since_ms[subject_id] = self.mesh.clock.now_ms()
        return self.since_ms.setdefault(subject_id, 1)

    async def _apply_account(self, account: str, limit_minor: int) -> None:
        self.versions[account] = self.versions.get(account, 0) + 1
        await self.mesh.apply_account(
            account,
            version=self.versions[account],
            limit_minor=limit_minor,
            controls=controls.of_account(self._since_ms(account)),
        )

    async def _apply_card(self, card: str, state: projection.CardState.ValueType) -> None:
        self.versions[card] = self.versions.get(card, 0) + 1
        number = self.cards.index(card)
        await self.mesh.apply_card(
            card,
            self.owners[card],
            version=self.versions[card],
            single_use=number % 3 == 2,
            user_id=USER,
            state=state,
            controls=controls.of_card(number, self._since_ms(card)),
        )

    async def _repeat(self) -> None:
        """An earlier request again: the same answer."""
        if self.answers:
            method, request, metadata, answer = self.random.choice(self.answers)
            assert await method(request, metadata=metadata) == answer
