"""Who checks identities and knows credit: interfaces, and a sandbox that needs nobody.

The sandbox answers by the last four digits of the tax number, so that every path can be walked:

| ends with | identity | watch list | credit |
|---|---|---|---|
| 0001 | not verified: documents are asked for | | 760 |
| 0002 | does not match | | 760 |
| 0003 | verified | hit | 760 |
| 0004 | verified | | no file |
| 0005 | verified | | 540, delinquencies and inquiries |
| 0006 | verified | | 700, bankruptcy |
| 0007 | the provider cannot be reached; it is asked again | | |
| 0008 | verified | | 650: a person looks |
| others | verified | | 780 |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from accounts.applications.scorecard import Identity


class ProviderUnavailable(Exception):
    """A provider gives no answer now; it is asked again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom providers are asked about. Never logged."""

    legal_name: str
    birth_date: str
    tax_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityReport:
    """What an identity check found."""

    identity: Identity
    watch_list: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditReport:
    """What a bureau knows. Amounts are of a month, in minor units."""

    bureau: str
    #: None: there is no file.
    score: int | None
    score_low: int = 300
    score_high: int = 850
    factors: tuple[str, ...] = ()
    delinquencies: int = 0
    inquiries: int = 0
    bankruptcy: bool = False
    debt_minor: int = 0


class IdentityProvider(Protocol):
    """Checks who somebody is. `reference` is the same when the same question is asked again."""

    async def identity(self, person: Person, *, reference: str) -> IdentityReport:
        """Raises ProviderUnavailable if there is no answer now."""
        ...


class CreditProvider(Protocol):
    """Knows how somebody has paid."""

    async def credit(self, person: Person, *, reference: str) -> CreditReport:
        """Raises ProviderUnavailable if there is no answer now."""
        ...


_BUREAU = "Sandbox Credit Bureau, 1 Example Street, Springfield"
_IDENTITIES = {
    "0001": IdentityReport(identity=Identity.UNVERIFIED, watch_list=False),
    "0002": IdentityReport(identity=Identity.MISMATCH, watch_list=False),
    "0003": IdentityReport(identity=Identity.VERIFIED, watch_list=True),
}
_CREDITS = {
    "0001": CreditReport(bureau=_BUREAU, score=760),
    "0002": CreditReport(bureau=_BUREAU, score=760),
    "0003": CreditReport(bureau=_BUREAU, score=760),
    "0004": CreditReport(bureau=_BUREAU, score=None),
    "0005": CreditReport(
        bureau=_BUREAU,
        score=540,
        factors=("Serious delinquency", "Too many recent inquiries"),
        delinquencies=3,
        inquiries=8,
        debt_minor=120_000,
    ),
    "0006": CreditReport(bureau=_BUREAU, score=700, bankruptcy=True),
    "0008": CreditReport(bureau=_BUREAU, score=650, factors=("Short history",), inquiries=3),
}
_UNREACHABLE = "0007"


class Sandbox:
    """Both providers, deterministic; see the table above."""

    async def identity(self, person: Person, *, reference: str) -> IdentityReport:
        """By the last four digits of the tax number."""
        del reference
        ending = person.tax_id[-4:]
        if ending == _UNREACHABLE:
            raise ProviderUnavailable("the sandbox plays dead")
        verified = IdentityReport(identity=Identity.VERIFIED, watch_list=False)
        return _IDENTITIES.get(ending, verified)

    async def credit(self, person: Person, *, reference: str) -> CreditReport:
        """The same."""
        del reference
        return _CREDITS.get(person.tax_id[-4:], CreditReport(bureau=_BUREAU, score=780))
