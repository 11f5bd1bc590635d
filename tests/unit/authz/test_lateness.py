"""What is to be reviewed because its account or card had ended."""

from __future__ import annotations

import pytest

from authz.lateness import Late, lateness
from authz.snapshot import AccountState, CardState


@pytest.mark.parametrize("account", AccountState)
@pytest.mark.parametrize("card", [None, *CardState])
def test_lateness(account: AccountState, card: CardState | None) -> None:
    ended = card in (CardState.CLOSED, CardState.LOST, CardState.STOLEN)
    expected = Late.CARD_CLOSED if ended else Late.NOT
    if account is AccountState.CLOSED:
        expected = Late.ACCOUNT_CLOSED
    assert lateness(account, card) is expected
