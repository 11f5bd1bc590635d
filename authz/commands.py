"""What the wire asked for, checked and frozen: the commands that the flows carry out."""

from __future__ import annotations

from authz.controls import NOWHERE, Place
from authz.decision import Purchase
from authz.outcome import EntryType
from runtime.record import record


@record
class Asked:
    """Who asks, under which id, and the request as it came."""

    principal: str
    request_id: str
    fingerprint: str
    raw: bytes


@record
class Authorize(Asked):
    """One purchase to decide, or (an advice) to book."""

    card_id: str
    purchase: Purchase
    network: str
    transaction_id: str
    authorization_code: str
    transmitted_at_ms: int | None
    #: AUTHORIZATION, FINANCIAL or ADVICE.
    kind: EntryType
    merchant_amount: str
    inquiry: bool

    @property
    def cash(self) -> bool:
        """True at a place that hands out cash."""
        place = self.purchase.place
        return place is not None and place.cash

    @property
    def merchant(self) -> str:
        """Its id and descriptor, as a card that is locked to one merchant remembers them."""
        place = self.purchase.place
        return f"{place.merchant_id}\n{place.descriptor.casefold()}" if place else ""


@record
class Target:
    """The authorization a later message names: by our id, or as the network knows it."""

    authorization_id: str
    card_id: str = ""
    network: str = ""

    @property
    def by_network(self) -> bool:
        """True if the message may come before its authorization."""
        return self.card_id != ""


@record
class Clearing:
    """A clearing's own identity: it posts once, whatever its request ids. No reference: none."""

    reference: str = ""
    sequence: int = 0
    fingerprint: str = ""


@record
class Later(Asked):
    """A message on an authorization. An admin may act on every principal's."""

    acts_for_all: bool
    target: Target


@record
class Capture(Later):
    """One clearing to post; CAPTURE or FORCE_POST."""

    kind: EntryType
    amount_minor: int
    currency_code: str
    final: bool
    clearing: Clearing
    merchant_amount: str
    #: True: of what was approved only; the authorization must be known.
    bounded: bool = False
    #: As far as it is known: limits of merchant categories count what is in them.
    place: Place = NOWHERE


@record
class Increment(Later):
    """More on an approved authorization."""

    amount_minor: int
    currency_code: str


@record
class Release(Later):
    """A hold to give back, REVERSAL or EXPIRY; `amount_minor` None means everything."""

    kind: EntryType
    amount_minor: int | None
    currency_code: str
    only_when_due: bool = False


@record
class Refund(Later):
    """A credit, or (REFUND_REVERSAL) one taken back. An empty authorization id: linked to none."""

    kind: EntryType
    amount_minor: int
    currency_code: str
    clearing: Clearing
    #: True: of what was captured and not given back, never more; the purchase must be known.
    bounded: bool


@record
class Post(Asked):
    """A fee, interest or an adjustment."""

    account_id: str
    kind: EntryType
    amount_minor: int
    currency_code: str


@record
class MovePayment(Asked):
    """A payment credited, released or returned, or a refund debited or put back; only a credit and
    a debit have an amount.
    """

    account_id: str
    #: Of the payment, or of the refund.
    payment_id: str
    kind: EntryType
    amount_minor: int = 0
    currency_code: str = ""


@record
class ApplyAccount:
    """An account's configuration at one version."""

    principal: str
    version: int
    account_id: str
    owner_id: str
    programme_id: str
    parent_account_id: str
    state: int
    currency_code: str
    limit_minor: int
    controls: bytes
    raw: bytes


@record
class ApplyCard:
    """A card's configuration at one version."""

    principal: str
    version: int
    card_id: str
    account_id: str
    root_card_id: str
    state: int
    expire_at_ms: int
    single_use: bool
    controls: bytes
    user_id: str
    #: What checks against fraud remember up to then is forgotten; 0: nothing is.
    suspicion_clear_ms: int
    raw: bytes


@record
class ApplyAccountUser:
    """What a user may use an account for, at one version."""

    principal: str
    version: int
    account_id: str
    user_id: str
    controls: bytes
    raw: bytes


@record
class ApplyRules:
    """The rules of a programme or of a company (one id is empty), at one version."""

    principal: str
    version: int
    programme_id: str
    company_id: str
    rules: bytes
    raw: bytes

    @property
    def scope_id(self) -> str:
        """Whose rules they are."""
        return self.programme_id or self.company_id
