"""Tells the authorizer what was decided here: accounts and their users, cards, rules, each with its
version; the gateway, who may sign in, and who runs which company; and payments, whose owner was
erased.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import grpc

from accounts.account import Account, AccountState
from accounts.account_user import AccountUser
from accounts.card import Card, CardKind, CardState
from accounts.company import Member, Role
from accounts.rules import Rules
from accounts.user import User, UserState
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1.projection_service_pb2_grpc import ProjectionServiceStub
from holdfast.gateway.v1.session_service_pb2 import SetMembershipRequest, SetSignInRequest
from holdfast.gateway.v1.session_service_pb2_grpc import SessionServiceStub
from holdfast.payments.v1.erasure_service_pb2 import ForgetAccountRequest
from holdfast.payments.v1.erasure_service_pb2_grpc import ErasureServiceStub
from holdfast.type.v1.default_rules_pb2 import DefaultRules
from holdfast.type.v1.money_pb2 import Money
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from runtime import ids
from runtime.outbox import DELIVERY_TIMEOUT_S, DeliveryFailed, Message, Row
from runtime.validate import timestamp

ACCOUNT_TOPIC = "account"
CARD_TOPIC = "card"
ACCOUNT_USER_TOPIC = "account_user"
RULES_TOPIC = "rules"
SIGN_IN_TOPIC = "sign_in"
ADDRESS_TOPIC = "sign_in_address"
MEMBERSHIP_TOPIC = "membership"
#: An account whose owner was erased, for payments.
FORGET_TOPIC = "forget_account"
#: Many accounts and cards in one message.
ALL_TOPIC = "all"
#: So many of them: the authorizer has them in some ten milliseconds.
ALL_MAX = 250


_SIGN_INS = {
    UserState.UNVERIFIED: SetSignInRequest.SIGN_IN_ALLOWED,
    UserState.ACTIVE: SetSignInRequest.SIGN_IN_ALLOWED,
    UserState.SUSPENDED: SetSignInRequest.SIGN_IN_BARRED,
    UserState.CLOSED: SetSignInRequest.SIGN_IN_BARRED,
}


def account_request(account: Account) -> projection.ApplyAccountRequest:
    """An account's version, for the authorizer."""
    return projection.ApplyAccountRequest(
        version=account.version,
        account_id=account.id,
        owner_id=account.owner_id,
        programme_id=account.programme_id,
        state=projection.AccountState.Value(f"ACCOUNT_STATE_{account.state}"),
        credit_limit=Money(
            currency_code=account.currency_code, amount_minor=account.credit_limit_minor
        ),
        parent_account_id=account.parent_account_id or "",
        controls=SpendControls.FromString(account.controls) if account.controls else None,
    )


def account_message(account: Account) -> Message:
    """The outbox message of an account's version."""
    request = account_request(account)
    return Message(topic=ACCOUNT_TOPIC, key=account.id, payload=request.SerializeToString())


def card_request(card: Card) -> projection.ApplyCardRequest:
    """A card's version, for the authorizer."""
    cleared_ms = card.suspicion_clear_time_ms
    stopped = card.holder_suspended and card.state is CardState.ACTIVE
    state = "SUSPENDED" if stopped else card.state
    return projection.ApplyCardRequest(
        version=card.version,
        card_id=card.id,
        account_id=card.account_id,
        root_card_id=card.root_card_id,
        state=projection.CardState.Value(f"CARD_STATE_{state}"),
        single_use=card.kind is CardKind.SINGLE_USE,
        expiry_month=card.expiry_month,
        expiry_year=card.expiry_year,
        controls=SpendControls.FromString(card.controls) if card.controls else None,
        user_id=card.user_id,
        suspicion_clear_time=timestamp(cleared_ms) if cleared_ms else None,
    )


def card_message(card: Card, *, key: str = "") -> Message:
    """The outbox message of a card's version; ordered behind its account's unless there is a key:
    nothing is lost by that, receivers go by versions.
    """
    request = card_request(card)
    return Message(
        topic=CARD_TOPIC, key=key or card.account_id, payload=request.SerializeToString()
    )


def all_messages(
    accounts: Sequence[Account], cards: Sequence[Card], *, key: str
) -> Iterator[Message]:
    """The outbox messages of many new accounts and their cards, the accounts first. A later change
    of one of them does not wait for them: receivers go by versions.
    """
    everything: Sequence[Account | Card] = (*accounts, *cards)
    for start in range(0, len(everything), ALL_MAX):
        some = everything[start : start + ALL_MAX]
        request = projection.ApplyAllRequest(
            accounts=[account_request(one) for one in some if isinstance(one, Account)],
            cards=[card_request(one) for one in some if isinstance(one, Card)],
        )
        yield Message(topic=ALL_TOPIC, key=key, payload=request.SerializeToString())


def account_user_message(user: AccountUser, *, key: str = "") -> Message:
    """The outbox message of what a user may use an account for; ordered as `card_message`."""
    request = projection.ApplyAccountUserRequest(
        version=user.version,
        account_id=user.account_id,
        user_id=user.user_id,
        controls=SpendControls.FromString(user.controls) if user.controls else None,
    )
    payload = request.SerializeToString()
    return Message(topic=ACCOUNT_USER_TOPIC, key=key or user.account_id, payload=payload)


def rules_message(rules: Rules) -> Message:
    """The outbox message of a programme's or company's rules."""
    request = projection.ApplyRulesRequest(
        version=rules.version,
        rules=DefaultRules.FromString(rules.rules) if rules.rules else None,
    )
    if ids.is_programme_id(rules.scope_id):
        request.programme_id = rules.scope_id
    else:
        request.company_id = rules.scope_id
    return Message(topic=RULES_TOPIC, key=rules.scope_id, payload=request.SerializeToString())


def sign_in_message(user: User) -> Message:
    """The outbox message of what a person's version means for signing in."""
    sign_in = _SIGN_INS[user.state]
    if user.erase_time_ms is not None:
        sign_in = SetSignInRequest.SIGN_IN_FORGOTTEN
    request = SetSignInRequest(user_id=user.id, version=user.version, sign_in=sign_in)
    return Message(topic=SIGN_IN_TOPIC, key=user.id, payload=request.SerializeToString())


def address_message(user_id: str) -> Message:
    """The outbox message of an address that has changed; it does not say to what."""
    return Message(topic=ADDRESS_TOPIC, key=user_id, payload=b"")


def forget_message(account_id: str) -> Message:
    """The outbox message of an account whose owner was erased; nothing else waits for it."""
    payload = ForgetAccountRequest(account_id=account_id).SerializeToString()
    return Message(topic=FORGET_TOPIC, key=f"{account_id}.payments", payload=payload)


def membership_message(member: Member) -> Message:
    """The outbox message of what a member's version means for the roles of the user."""
    request = SetMembershipRequest(
        user_id=member.user_id,
        company_id=member.company_id,
        version=member.version,
        manages=member.active and member.role is not Role.EMPLOYEE,
    )
    payload = request.SerializeToString()
    return Message(topic=MEMBERSHIP_TOPIC, key=member.company_id, payload=payload)


class Projector:
    """Delivers outbox rows to `holdfast.authz.v1.ProjectionService`, those about people to
    `holdfast.gateway.v1.SessionService`, erasures to `holdfast.payments.v1.ErasureService`. Safe to
    repeat: versions; what is forgotten stays so. `address` delivers rows that do not say themselves
    what they are about.
    """

    def __init__(
        self, channel: grpc.aio.Channel, address: Callable[[Row], Awaitable[None]] | None = None
    ) -> None:
        self._address = address
        stub = ProjectionServiceStub(channel)
        sessions = SessionServiceStub(channel)
        erasures: Any = ErasureServiceStub(channel)
        self._forget_account = erasures.ForgetAccount
        self._get_epoch = stub.GetEpoch
        self._apply_account = stub.ApplyAccount
        self._apply_all = stub.ApplyAll
        self._topics: dict[str, tuple[Any, Any]] = {
            ACCOUNT_TOPIC: (projection.ApplyAccountRequest, stub.ApplyAccount),
            CARD_TOPIC: (projection.ApplyCardRequest, stub.ApplyCard),
            ACCOUNT_USER_TOPIC: (projection.ApplyAccountUserRequest, stub.ApplyAccountUser),
            RULES_TOPIC: (projection.ApplyRulesRequest, stub.ApplyRules),
            SIGN_IN_TOPIC: (SetSignInRequest, sessions.SetSignIn),
            MEMBERSHIP_TOPIC: (SetMembershipRequest, sessions.SetMembership),
        }

    async def deliver(self, row: Row) -> None:
        """Applies one row; raises DeliveryFailed unless its version or a higher one counts."""
        if row.topic == ADDRESS_TOPIC:
            assert self._address is not None, "whoever changes addresses says how they are told"
            await self._address(row)
            return
        try:
            if row.topic == FORGET_TOPIC:
                request = ForgetAccountRequest.FromString(row.payload)
                await self._forget_account(request, timeout=DELIVERY_TIMEOUT_S)
                return
            pairs = await (self._all if row.topic == ALL_TOPIC else self._one)(row)
        except grpc.aio.AioRpcError as error:
            raise DeliveryFailed(f"{error.code().name}: {error.details()}") from None
        for asked, applied in pairs:
            if applied < asked:
                raise DeliveryFailed(f"version {asked} was answered with version {applied}")

    async def finish(self, account: Account) -> bool:
        """Applies an account that is CLOSED; False while something is owed, held or unreleased.

        Raises grpc's error if the authorizer has not answered: it may have closed the account.
        """
        assert account.state is AccountState.CLOSED, "nothing else can be refused"
        request = account_request(account)
        try:
            answer = await self._apply_account(request, timeout=DELIVERY_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                return False
            raise
        return bool(answer.version >= account.version)

    async def epoch(self) -> int:
        """The life of the authorizer's store; raises grpc's error if it does not serve."""
        request = projection.GetEpochRequest()
        answer = await self._get_epoch(request, timeout=DELIVERY_TIMEOUT_S)
        return int(answer.epoch)

    async def _one(self, row: Row) -> list[tuple[int, int]]:
        """Returns the version asked for and the one that counts there now."""
        kind, method = self._topics[row.topic]
        request = kind.FromString(row.payload)
        answer = await method(request, timeout=DELIVERY_TIMEOUT_S)
        return [(request.version, answer.version)]

    async def _all(self, row: Row) -> list[tuple[int, int]]:
        """The same of many."""
        request = projection.ApplyAllRequest.FromString(row.payload)
        answer = await self._apply_all(request, timeout=DELIVERY_TIMEOUT_S)
        asked = [one.version for one in request.accounts]
        asked += [one.version for one in request.cards]
        applied = (*answer.account_versions, *answer.card_versions)
        if len(applied) != len(asked):
            raise DeliveryFailed(f"{len(asked)} versions were answered with {len(applied)}")
        return list(zip(asked, applied, strict=True))
