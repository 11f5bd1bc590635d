"""kill -9 of accounts in the night in which cycles close: every statement once, nothing twice.

Method: the benchmark's night (loadtest/closings.py) with fewer accounts. Accounts is killed while
it closes cycles, posts interest through the authorizer and issues statements; then every statement
is held against its lines and the ledger.
"""

from __future__ import annotations

import pytest

from loadtest.closings import Billed, night_on
from loadtest.mesh import Mesh
from runtime.cli.reconcile import reconcile
from runtime.devstack.supervisor import Devstack
from tests.crash.test_kill_approvals import stack

__all__ = ["stack"]

ACCOUNTS = 1_500


@pytest.mark.timeout(120)
async def test_accounts_killed_in_the_night(stack: Devstack) -> None:
    async with night_on(Mesh(stack)) as night:
        await night.fall(ACCOUNTS)
        killed = await night.end(kill_at=(0, ACCOUNTS // 10, ACCOUNTS // 3))
        billed = await night.billed()
    assert killed == 3, "the kills must have come before the end"
    assert billed == Billed(accounts=ACCOUNTS, issued=ACCOUNTS, double_billed=0, wrong=0)
    differences = list[str]()
    books = await reconcile(
        stack.settings,
        settle_timeout_s=10,
        on_difference=lambda one: differences.append(str(one)),
    )
    assert (books.differences, differences) == (0, [])
