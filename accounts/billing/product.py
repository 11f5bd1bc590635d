"""Terms of a programme, with what follows from them for one account. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from accounts.billing.calendar import Rhythm, day_of, months_after
from accounts.billing.delinquency import Bucket
from accounts.billing.terms import Category, Promotion, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One version of a programme's terms."""

    version: int
    terms: Terms
    zone: ZoneInfo
    #: 0: the day of the month on which an account was opened.
    closing_day: int
    due_days: int
    #: Category, rate, months from the opening.
    offers: tuple[tuple[Category, int, int], ...] = ()
    #: From here on purchases are declined.
    blocked_from: Bucket = Bucket.DAYS_30

    def day(self, instant_ms: int) -> date:
        """The day on which something happened, for the account."""
        return day_of(instant_ms, self.zone)

    def rhythm(self, opened_on: date) -> Rhythm:
        """When an account's cycles close."""
        return Rhythm(closing_day=self.closing_day or opened_on.day, due_days=self.due_days)

    def promotions(self, opened_on: date) -> tuple[Promotion, ...]:
        """What a new account is offered, and until when."""
        return tuple(
            Promotion(category=category, apr_bp=apr_bp, until=months_after(opened_on, months))
            for category, apr_bp, months in self.offers
        )
