"""What carries messages to users: one small interface for every channel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from notify.notices.kind import Kind
from notify.notices.wording import Words
from runtime.log import get_logger

logger = get_logger()


class NotCarried(Exception):
    """It could not be sent now. The message says why, and nothing of the user."""


class Refused(Exception):
    """It will never be taken: nobody is there. The message says nothing of the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one user."""

    #: The notification's: the same each time that it is sent.
    id: str
    kind: Kind
    user_id: str
    #: Address, phone number, or for apps the user's id.
    to: str = field(repr=False)
    words: Words = field(repr=False)
    #: Where a mail program takes its user off; empty: it cannot.
    unsubscribe: str = field(default="", repr=False)
    time_ms: int


class Carrier(Protocol):
    """Carries messages of one channel."""

    async def carry(self, message: Message) -> None:
        """Returns once somebody has taken it; raises NotCarried or Refused."""
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...


class LogCarrier:
    """For development: carries nothing, and writes into the log that it would have. Never what it
    says, nor to whom.
    """

    async def carry(self, message: Message) -> None:
        """Writes one line."""
        logger.info("notification_logged", notification_id=message.id, kind=str(message.kind))

    async def close(self) -> None:
        """Nothing is kept."""
