"""A life in which any charge may be disputed, credited, and won or lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from accounts.billing.account import Booked, Charge
from accounts.billing.aside import ended, opened
from accounts.billing.balances import Change
from accounts.billing.disputed import Disputed
from accounts.billing.product import Product
from tests.unit.accounts.billing.life import ACCOUNT, PRODUCT, Life, at_ms

CHARGES = ("CAPTURE", "FINANCIAL")


class DisputingLife(Life):
    """Keeps what is disputed, as DisputeService does."""

    def __init__(self, product: Product = PRODUCT) -> None:
        super().__init__(product)
        self.open = dict[str, Disputed]()
        #: Provisional credit by dispute.
        self.credits = dict[str, int]()

    @property
    def charges(self) -> list[Booked]:
        """All that may be disputed."""
        return [one for one in self.entries.values() if one.type in CHARGES]

    def dispute(self, day: date, charge: Booked, amount_minor: int = 0) -> str:
        """A charge is disputed, all that is left of it by default; '' if nothing is."""
        earlier = [*self.open.values(), *self.ended]
        if any(one.entry_id == charge.entry_id for one in self.open.values()):
            return ""
        about = [one.amount_minor for one in earlier if one.entry_id == charge.entry_id]
        left = charge.amount_minor - sum(about)
        amount_minor = min(amount_minor or left, left)
        if not amount_minor:
            return ""
        dispute = Disputed(
            dispute_id=f"disp_{len(earlier)}",
            entry_id=charge.entry_id,
            category=charge.category,
            amount_minor=amount_minor,
            on=self.product.day(charge.value_ms),
            since=day,
        )
        number = self.entries[charge.entry_id].number
        shown = next((one for one in self.made if one.number == number), None)
        due = shown.closed.cycle.due if shown else None
        self.account = self._kept(opened(self.account, dispute, self.product, shown_due=due))
        self.open[dispute.dispute_id] = dispute
        self.credits[dispute.dispute_id] = 0
        return dispute.dispute_id

    def credit(self, day: date, name: str, amount_minor: int = 0) -> None:
        """Provisional credit; less of it if negative; all of it by default."""
        dispute = self.open[name]
        wanted = self.credits[name] + (amount_minor or dispute.amount_minor)
        self._credited(day, dispute, min(max(wanted, 0), dispute.amount_minor))

    def end(self, day: date, name: str, won_minor: int) -> None:
        """It ends; what was credited becomes what was won."""
        dispute = self.open.pop(name)
        self.account = self._kept(ended(self.account, name, on=day, won_minor=won_minor))
        self.ended += [one for one in self.account.disputes if one.dispute_id == name]
        self._credited(day, dispute, won_minor)

    def posted(self, *kinds: Charge) -> list[int]:
        """Amounts that were posted for these reasons."""
        return [one.amount_minor for one in self.postings if one.charge in kinds]

    def fees_of(self, charge_ids: Sequence[str]) -> int:
        """What some charges have cost in fees, less what was given back of them."""
        left = self._fees_left()
        return sum(left.get(one, 0) for one in charge_ids)

    def _credited(self, day: date, dispute: Disputed, credited_minor: int) -> None:
        change = credited_minor - self.credits[dispute.dispute_id]
        self.credits[dispute.dispute_id] = credited_minor
        if not change:
            return
        self._book(
            Booked(
                entry_id=f"ent_{len(self.entries)}",
                account_id=ACCOUNT,
                seq=len(self.entries),
                type="PROVISIONAL_CREDIT" if change > 0 else "PROVISIONAL_CREDIT_REVERSAL",
                change=Change.CREDIT if change > 0 else Change.DEBIT,
                category=dispute.category,
                amount_minor=abs(change),
                value_ms=at_ms(day),
                post_ms=at_ms(day),
                related_entry_id=dispute.entry_id,
            )
        )
