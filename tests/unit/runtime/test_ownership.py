"""What managers and cardholders may call about: a table of callers, and of what they name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runtime.access import Policy
from runtime.errors import HoldfastError, InvalidArgument, NotFound, PermissionDenied
from runtime.identity import Claims, Identity
from runtime.ownership import Belongs, Lookup, OwnerRule


def _id(prefix: str, digit: int) -> str:
    return f"{prefix}_0a{str(digit) * 32}"


ANN, BEN, ACME, OTHER_COMPANY = _id("usr", 1), _id("usr", 2), _id("co", 1), _id("co", 2)
ANNS, ACMES, BENS, UNKNOWN = _id("acct", 1), _id("acct", 2), _id("acct", 3), _id("acct", 9)
#: Ann shares Acme's account.
OWNERS = {ANNS: ANN, ACMES: ACME, BENS: BEN}
SHARED = {(ACMES, ANN)}


async def _find(name: str, user_id: str) -> Belongs | None:
    if name not in OWNERS:
        return None
    return Belongs(owner_id=OWNERS[name], is_user=(name, user_id) in SHARED)


LOOKUPS = {"acct": Lookup(find=_find, not_found=lambda name: NotFound(f"no {name}"))}
EVERYBODY = frozenset({"admin", "auditor", "manager", "cardholder", "merchant", "network"})


def _who(*roles: str, subject: str = ANN, company: str = "") -> Identity:
    return Identity(principal=subject, roles=frozenset(roles), claims=Claims(company_id=company))


def _rule(*, users: bool = False, roles: frozenset[str] = EVERYBODY) -> OwnerRule:
    policy = Policy(
        path="/p.S/M", cluster="c", roles=roles, owner=("account_id", "owner_id"), users=users
    )
    return OwnerRule(policy, LOOKUPS)


def _asking(account_id: str = "", owner_id: str = "") -> SimpleNamespace:
    return SimpleNamespace(account_id=account_id, owner_id=owner_id)


NETWORK = Identity(principal="spiffe://holdfast.local/network/demo")


@pytest.mark.parametrize(
    ("who", "account_id", "owns"),
    [
        (_who("cardholder"), ANNS, True),
        (_who("cardholder"), BENS, NotFound),
        (_who("cardholder"), ACMES, NotFound),
        (_who("cardholder"), UNKNOWN, NotFound),
        (_who("cardholder", company=ACME), ACMES, NotFound),
        (_who("manager", company=ACME), ACMES, True),
        (_who("manager", company=ACME), ANNS, NotFound),
        (_who("manager", company=OTHER_COMPANY), ACMES, NotFound),
        (_who("manager"), ACMES, NotFound),
        (_who("manager", "cardholder", company=ACME), ACMES, True),
        (_who("manager", "cardholder", company=ACME), ANNS, True),
        (_who("admin"), BENS, False),
        (_who("admin", "cardholder"), BENS, False),
        (_who("auditor"), UNKNOWN, False),
        (_who("merchant"), ANNS, False),
        (_who("merchant", "cardholder"), ANNS, True),
        (_who("merchant", "cardholder"), BENS, False),
        (NETWORK, BENS, False),
        (_who(), ANNS, PermissionDenied),
        (_who("service"), ANNS, PermissionDenied),
    ],
)
async def test_who_owns(who: Identity, account_id: str, owns: bool | type[HoldfastError]) -> None:
    if isinstance(owns, bool):
        assert await _rule().check(_asking(account_id), who) is owns
    else:
        with pytest.raises(owns):
            await _rule().check(_asking(account_id), who)


async def test_only_roles_of_the_method_count() -> None:
    rule = _rule(roles=frozenset({"admin", "manager"}))
    for who in (_who("cardholder"), _who("auditor"), _who("merchant"), NETWORK):
        with pytest.raises(PermissionDenied):
            await rule.check(_asking(ANNS), who)


async def test_services_of_the_mesh_need_not_own() -> None:
    service = Identity(principal="spiffe://holdfast.local/service/accounts")
    rule = _rule(roles=frozenset({"cardholder", "service"}))
    assert await rule.check(_asking(BENS), service) is False


async def test_users_where_the_method_says_so() -> None:
    assert await _rule(users=True).check(_asking(ACMES), _who("cardholder")) is True
    with pytest.raises(NotFound):
        await _rule(users=True).check(_asking(ACMES), _who("cardholder", subject=BEN))
    with pytest.raises(NotFound):
        await _rule(users=True).check(_asking(ACMES), _who("manager", company=OTHER_COMPANY))


async def test_every_field_that_is_set_counts() -> None:
    assert await _rule().check(_asking(ANNS, ANN), _who("cardholder")) is True
    assert await _rule().check(_asking(owner_id=ANN), _who("cardholder")) is True
    for account_id, owner_id in ((ANNS, BEN), (BENS, ANN), ("", ACME)):
        with pytest.raises(NotFound):
            await _rule().check(_asking(account_id, owner_id), _who("cardholder"))


@pytest.mark.parametrize("account_id", ["", "x", "acct_", ANNS + "0", _id("card", 1), _id("zz", 1)])
async def test_what_is_no_id_reaches_nobody(account_id: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        await _rule().check(_asking(account_id), _who("cardholder"))
    assert [one.field for one in error.value.violations] == ["account_id"]


async def test_unknown_and_foreign_look_the_same() -> None:
    told = []
    for name in (BENS, UNKNOWN):
        with pytest.raises(NotFound) as error:
            await _rule().check(_asking(name), _who("cardholder"))
        told.append((error.value.reason, error.value.message.replace(name, "ID")))
    assert told[0] == told[1]
