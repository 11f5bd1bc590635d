"""Counts movements. No I/O, no clock, no grpc.

What is given back of something counts on the day of that something: a reversal on that of its
authorization, a return on that of its payment. The *origin* of each is remembered for that. If it
is not known (networks send messages in any order), the movement counts on its own day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from runtime.record import record
from stats import refunds, reversals
from stats.measures import Measures
from stats.movement import Movement, Place

#: ISO 18245 codes of cash at a counter and at a machine.
CASH_CODES = frozenset({"6010", "6011"})


class Cell(NamedTuple):
    """A day at one place, counted for one partition of the ledger."""

    partition: int
    day: date
    place: Place


@record
class Origin:
    """Something of which some may be given back later."""

    id: str
    partition: int
    day: date
    place: Place
    #: Of an authorization: approved. Of a refund or a payment: what is left of it; and how many
    #: refunds a purchase has (stats/refunds.py), and how much of an authorization was reversed
    #: (stats/reversals.py).
    amount_minor: int
    #: An authorization that has been counted; others are only known of. Of what was reversed of
    #: one: it has not expired.
    counted: bool


class Fold:
    """Counts one movement after the other, in the order of their partition. `origins` are those
    that are known of what the movements are about, by id.
    """

    def __init__(self, origins: dict[str, Origin]) -> None:
        self._origins = origins
        self.cells: dict[Cell, Measures] = {}
        #: What is new, or has changed.
        self.changed: dict[str, Origin] = {}
        #: Names of merchants.
        self.names: dict[str, str] = {}

    def take(self, one: Movement) -> None:
        """Counts a movement."""
        if one.merchant_name:
            self.names[one.place.merchant] = one.merchant_name
        _RULES[one.type](self, one)

    def decided(self, one: Movement) -> None:
        """An authorization, or more of it. It counts once, with what is approved in the end."""
        known = self._origin(one.authorization_id)
        day, place, counted, had_minor = one.day, one.place, False, 0
        if known is not None:
            counted, had_minor = known.counted, known.amount_minor
            # What was only known of counts where it was approved.
            if counted or one.type == "INCREMENT":
                day, place = known.day, known.place
        measures = self._at(one, day, _approved(place))
        measures.authorized_count += not counted
        measures.authorized_minor += one.approved_minor - had_minor
        if reversals.matter_to(one):
            # By reversals that came before: of those that come later, each entry says how much.
            known_minor, expired = self._reversed_of(one.authorization_id)
            if one.reversed_minor != known_minor and not expired:
                measures.reversed_count += not known_minor
                measures.reversed_minor += one.reversed_minor - known_minor
                self._keep_reversed(one, day, _approved(place), one.reversed_minor)
        if counted:
            self._correct(measures, one, day)
        self._keep(
            Origin(
                id=one.authorization_id,
                partition=known.partition if known else one.partition,
                day=day,
                place=place,
                amount_minor=one.approved_minor,
                counted=True,
            )
        )

    def declined(self, one: Movement) -> None:
        """A decline; its clearing may come all the same."""
        self._at(one, one.day, one.place).declined_count += 1
        if one.authorization_id and self._origin(one.authorization_id) is None:
            self._begin(one, one.authorization_id)

    def more_declined(self, one: Movement) -> None:
        """More of an authorization was declined; what is approved of it stays."""
        place = self._posted_at(one)._replace(decline_reason=one.place.decline_reason)
        self._at(one, one.day, place).declined_count += 1

    def single(self, one: Movement) -> None:
        """Authorized and posted at once."""
        self.decided(one)
        self.purchased(one)

    def given_back(self, one: Movement) -> None:
        """A reversal, or an expiry."""
        if not one.amount_minor:
            return
        origin = self._origin(one.authorization_id)
        if origin is None:
            measures = self._at(one, one.day, one.place)
        else:
            measures = self._at(one, origin.day, _approved(origin.place))
            self._correct(measures, one, origin.day)
        minor, expired = self._reversed_of(one.authorization_id)
        if one.type == "EXPIRY":
            measures.expired_count += 1
            measures.expired_minor += one.amount_minor
            expired = True
        else:
            measures.reversed_count += 1
            measures.reversed_minor += one.amount_minor
            minor += one.amount_minor
        if origin is not None:
            place = _approved(origin.place)
            self._keep_reversed(one, origin.day, place, minor, expired=expired)

    def purchased(self, one: Movement) -> None:
        """A clearing."""
        place = self._posted_at(one)
        measures = self._at(one, one.day, place)
        measures.purchase_count += 1
        measures.purchase_minor += one.amount_minor
        if place.category in CASH_CODES if one.cash is None else one.cash:
            measures.cash_count += 1
            measures.cash_minor += one.amount_minor
        measures.largest_minor = max(measures.largest_minor, one.amount_minor)
        if one.authorization_id and self._origin(one.authorization_id) is None:
            self._begin(one, one.authorization_id)

    def refunded(self, one: Movement) -> None:
        """A refund."""
        place = self._posted_at(one)
        measures = self._at(one, one.day, place)
        measures.refund_count += 1
        measures.refund_minor += one.amount_minor
        if one.authorization_id:
            number = self._refunds_of(one.authorization_id) + 1
            for name, amount_minor in (
                (refunds.name_of(one.authorization_id, number), one.amount_minor),
                (refunds.count_name(one.authorization_id), number),
            ):
                self._keep(self._origin_at(one, name, place, amount_minor))

    def refund_taken_back(self, one: Movement) -> None:
        """Corrects the days of the refunds; what is of none that is known counts on its own day."""
        names = refunds.names_of(one.authorization_id, self._refunds_of(one.authorization_id))
        known = [origin for name in names if (origin := self._origin(name)) is not None]
        left_minor = [origin.amount_minor for origin in known]
        rest = one.amount_minor
        for number, part in refunds.taken_back(left_minor, one.amount_minor):
            origin = known[number]
            measures = self._at(one, origin.day, origin.place)
            self._correct(measures, one, origin.day)
            measures.refund_count -= part == origin.amount_minor
            measures.refund_minor -= part
            self._keep(replace(origin, amount_minor=origin.amount_minor - part))
            rest -= part
        if rest:
            measures = self._at(one, one.day, self._posted_at(one))
            measures.refund_count -= rest == one.amount_minor
            measures.refund_minor -= rest

    def paid(self, one: Movement) -> None:
        """A payment."""
        measures = self._at(one, one.day, one.place)
        measures.payment_count += 1
        measures.payment_minor += one.amount_minor
        self._keep(self._origin_at(one, one.payment_id, one.place, one.amount_minor))

    def returned(self, one: Movement) -> None:
        """Corrects the day of the payment, which was returned or paid back."""
        measures, whole = self._taken_back(one, one.payment_id)
        measures.payment_count -= whole
        measures.payment_minor -= one.amount_minor

    def kept(self, one: Movement) -> None:
        """What was to be paid back was not: the payment counts again."""
        origin = self._origin(one.payment_id)
        if origin is None:
            measures, whole = self._at(one, one.day, one.place), True
        else:
            measures = self._at(one, origin.day, origin.place)
            self._correct(measures, one, origin.day)
            left = origin.amount_minor + one.amount_minor
            self._keep(replace(origin, amount_minor=left))
            whole = origin.amount_minor <= 0 < left
        measures.payment_count += whole
        measures.payment_minor += one.amount_minor

    def count(self, one: Movement, name: str) -> None:
        """One more of something, such as a fee."""
        measures = self._at(one, one.day, one.place)
        for measure, more in ((f"{name}_count", 1), (f"{name}_minor", one.amount_minor)):
            setattr(measures, measure, getattr(measures, measure) + more)

    def debited(self, one: Movement) -> None:
        """An adjustment that the customer owes."""
        measures = self._at(one, one.day, one.place)
        measures.adjustment_count += 1
        measures.adjustment_minor += one.amount_minor

    def credited(self, one: Movement) -> None:
        """An adjustment in the customer's favour."""
        measures = self._at(one, one.day, one.place)
        measures.adjustment_count += 1
        measures.adjustment_minor -= one.amount_minor

    def _at(self, one: Movement, day: date, place: Place) -> Measures:
        return self._in(Cell(one.partition, day, place))

    def _in(self, cell: Cell) -> Measures:
        found = self.cells.get(cell)
        if found is None:
            found = self.cells[cell] = Measures()
        return found

    def _origin(self, name: str) -> Origin | None:
        return self._origins.get(name) if name else None

    def _refunds_of(self, authorization_id: str) -> int:
        """How many refunds are known of a purchase."""
        counted = authorization_id and self._origin(refunds.count_name(authorization_id))
        return counted.amount_minor if counted else 0

    def _reversed_of(self, authorization_id: str) -> tuple[int, bool]:
        """How much of an authorization counts as reversed, and whether it has expired."""
        known = authorization_id and self._origin(reversals.name_of(authorization_id))
        return (known.amount_minor, not known.counted) if known else (0, False)

    def _keep_reversed(
        self, one: Movement, day: date, place: Place, minor: int, *, expired: bool = False
    ) -> None:
        name = reversals.name_of(one.authorization_id)
        self._keep(replace(self._origin_at(one, name, place, minor), day=day, counted=not expired))

    def _keep(self, origin: Origin) -> None:
        if origin.id:
            self._origins[origin.id] = self.changed[origin.id] = origin
            # The row of its place is needed, whatever counts there.
            self._in(Cell(origin.partition, origin.day, origin.place))

    def _begin(self, one: Movement, name: str) -> None:
        self._keep(replace(self._origin_at(one, name, one.place, 0), counted=False))

    def _origin_at(self, one: Movement, name: str, place: Place, amount_minor: int) -> Origin:
        return Origin(
            id=name,
            partition=one.partition,
            day=one.day,
            place=place,
            amount_minor=amount_minor,
            counted=True,
        )

    def _posted_at(self, one: Movement) -> Place:
        """The place of a posting: what it leaves out is that of its authorization."""
        place, origin = one.place, self._origin(one.authorization_id)
        if origin is None:
            return place._replace(merchant_currency=place.merchant_currency or place.currency)
        known, names_one = origin.place, bool(place.merchant)
        return place._replace(
            card_id=place.card_id or known.card_id,
            merchant=place.merchant if names_one else known.merchant,
            category=place.category or ("" if names_one else known.category),
            country=place.country or ("" if names_one else known.country),
            channel=place.channel or known.channel,
            merchant_currency=place.merchant_currency or known.merchant_currency,
        )

    def _taken_back(self, one: Movement, name: str) -> tuple[Measures, bool]:
        """Where it counts, and whether nothing is left of it."""
        origin = self._origin(name)
        if origin is None:
            return self._at(one, one.day, one.place), True
        measures = self._at(one, origin.day, origin.place)
        self._correct(measures, one, origin.day)
        left = origin.amount_minor - one.amount_minor
        self._keep(replace(origin, amount_minor=left))
        return measures, left <= 0 < origin.amount_minor

    def _correct(self, measures: Measures, one: Movement, day: date) -> None:
        """What comes on a later day corrects an earlier one, and the day says so."""
        if one.day > day:
            measures.correction_count += 1
            measures.corrected_ms = max(measures.corrected_ms, one.record_time_ms)


def _approved(place: Place) -> Place:
    """The place of something that was declined first and approved later."""
    return place._replace(decline_reason="") if place.decline_reason else place


def _counts_as(name: str) -> Callable[[Fold, Movement], None]:
    """It counts on its own day, and nothing is ever given back of it."""

    def count(fold: Fold, one: Movement) -> None:
        fold.count(one, name)

    return count


_RULES: dict[str, Callable[[Fold, Movement], None]] = {
    "AUTHORIZATION": Fold.decided,
    "ADVICE": Fold.decided,
    "INCREMENT": Fold.decided,
    "DECLINE": Fold.declined,
    "INCREMENT_DECLINE": Fold.more_declined,
    "FINANCIAL": Fold.single,
    "REVERSAL": Fold.given_back,
    "EXPIRY": Fold.given_back,
    "CAPTURE": Fold.purchased,
    "FORCE_POST": Fold.purchased,
    "REFUND": Fold.refunded,
    "REFUND_REVERSAL": Fold.refund_taken_back,
    "PAYMENT_CREDIT": Fold.paid,
    "PAYMENT_RETURN": Fold.returned,
    "PAYMENT_REFUND": Fold.returned,
    "PAYMENT_REFUND_REVERSAL": Fold.kept,
    "FEE": _counts_as("fee"),
    "INTEREST": _counts_as("interest"),
    "ADJUSTMENT_DEBIT": Fold.debited,
    "PROVISIONAL_CREDIT_REVERSAL": Fold.debited,
    "ADJUSTMENT_CREDIT": Fold.credited,
    "PROVISIONAL_CREDIT": Fold.credited,
    "CHARGE_OFF": _counts_as("charge_off"),
    "RECOVERY": _counts_as("recovery"),
}
