"""Behind the scenes: what operators of a mesh do with its home and its stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import asyncpg
import httpx
from rich.console import Console
from rich.text import Text

from authz.reconcile_flow import Books, drain
from authz.reconcile_store import open_store
from gateway.token_keys import TokenKeys
from runtime import moved_clock
from runtime.audit import log
from runtime.audit.entry import Written
from runtime.audit.verify import verify
from runtime.cli.reconcile import reconcile
from runtime.clock import Clock, SystemClock, datetime_of
from runtime.devstack import stripe
from runtime.devstack.supervisor import Devstack
from runtime.pages import TOP

_SETTLE_TIMEOUT_S = 30.0
_ENTRIES_SHOWN = 10
#: The emulator asks for some test key.
_FORM_KEY = "sk_test_demo"


class Backstage:
    """An operator at the machine that a mesh runs on."""

    def __init__(self, stack: Devstack, console: Console) -> None:
        self._stack = stack
        self._console = console

    @property
    def key_signs_after_s(self) -> float:
        """How long a new token key is published before it signs."""
        return self._token_keys.publish_ms / 1000

    def rotate_token_key(self) -> None:
        """Makes a new key: `holdfast keys rotate`."""
        self._token_keys.rotate()

    @property
    def clock(self) -> Clock:
        """The clock of the books."""
        return moved_clock.clock_of_home(self._stack.settings.home)

    def today(self) -> date:
        """The day (UTC) of the books."""
        return datetime_of(self.clock.now_ms()).date()

    async def move_clock(self, to_ms: int) -> None:
        """Moves it ahead: `holdfast clock --ahead`. Nothing is under way meanwhile."""
        await self.unsettled()
        by_ms = to_ms - self.clock.now_ms()
        moved_clock.move_ahead(self._stack.settings.home, by_ms)
        await asyncio.sleep(2 * moved_clock.LOOK_S)

    async def card_token(self, number: str) -> str:
        """What Stripe's form in a browser makes of a card number: the number itself never comes
        here.
        """
        url = self._stack.processes[stripe.INSTANCE].spec.listens
        card = {"number": number, "exp_month": "12", "exp_year": "2040", "cvc": "123"}
        fields = {"type": "card", **{f"card[{name}]": value for name, value in card.items()}}
        async with httpx.AsyncClient(base_url=url, auth=(_FORM_KEY, ""), trust_env=False) as form:
            made = await form.post("/v1/payment_methods", data=fields)
        name: str = made.json()["id"]
        return name

    async def unsettled(self) -> int:
        """Waits until everything is settled; returns the entries that are not."""
        async with open_store(self._stack.settings) as store:
            return await drain(store, timeout_s=_SETTLE_TIMEOUT_S)

    def mails(self, to: str) -> list[EmailMessage]:
        """Mails to somebody: files, because this mesh has no mail server."""
        found = []
        for path in (self._stack.settings.home / "mails").glob("*.eml"):
            mail = message_from_bytes(path.read_bytes(), policy=policy.default)
            if isinstance(mail, EmailMessage) and mail["To"] == to:
                found.append(mail)
        return found

    async def reconciled(self) -> Books:
        """Compares Valkey and ledger: `holdfast reconcile`."""
        return await reconcile(
            self._stack.settings,
            settle_timeout_s=_SETTLE_TIMEOUT_S,
            on_difference=lambda one: self._console.print(Text(f"   {one}", style="red")),
        )

    async def verified(self) -> tuple[int, str]:
        """Links of all chains, and what is wrong with the first bad row of each: `holdfast audit
        verify`.
        """
        async with self._owner() as connection:
            key = self._stack.settings.secret("audit-seal").encode()
            chains = await verify(connection, key=key)
        faults = [
            f"{chain.service}, row {chain.fault.entry_id}: {chain.fault.what}"
            for chain in chains
            if chain.fault is not None
        ]
        return sum(chain.links for chain in chains), "; ".join(faults)

    async def audited(self, target: str) -> list[Written]:
        """What was done to a resource, oldest first: `holdfast audit list --target`."""
        filters = ("", "", target, "", "", False)
        async with self._owner() as connection:
            rows = await connection.fetch(log.SQL["list_entries"], TOP, 0, _ENTRIES_SHOWN, *filters)
        return [log.written_of(row) for row in reversed(rows)]

    async def tampered(self) -> int:
        """Gives a sealed entry another actor, behind everybody's back; returns its row."""
        async with self._owner() as connection:
            row: int = await connection.fetchval(
                "UPDATE audit.entry SET actor = 'usr_nobody'"
                " WHERE id = (SELECT entry_id FROM audit.link ORDER BY number LIMIT 1)"
                " RETURNING id"
            )
        return row

    @property
    def _token_keys(self) -> TokenKeys:
        return TokenKeys(self._stack.settings, SystemClock())

    @asynccontextmanager
    async def _owner(self) -> AsyncIterator[Any]:
        """A connection as the owner of the database, whom no role keeps from anything."""
        connection = await asyncpg.connect(self._stack.owner_dsn)
        try:
            yield connection
        finally:
            await connection.close()
