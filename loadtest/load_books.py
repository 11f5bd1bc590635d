"""Holds what the users were answered against what Valkey counts and the ledger has, once everything
is settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from loadtest.load_answers import Answered, Answers
from runtime.mesh_client import CALL_TIMEOUT_S, MeshClient
from runtime.paging import PAGE_SIZE_MAX
from runtime.replay.checking import read_ledger

#: Accounts that are asked for at the same time.
_IN_FLIGHT_MAX = 8


async def differences(mesh: MeshClient, answers: Answers, accounts: Iterable[str]) -> list[str]:
    """Everything that was answered and is not in the ledger, or otherwise, and the reverse."""
    room = asyncio.Semaphore(_IN_FLIGHT_MAX)
    held_minor = answers.held_minor()
    expected: dict[str, dict[str, Answered]] = {account_id: {} for account_id in accounts}
    for name, one in answers.authorizations.items():
        expected[one.account_id][name] = one

    async def of_account(account_id: str) -> list[str]:
        async with room:
            ledger = await read_ledger(mesh, account_id)
            rows = {row.id: row async for row in _authorizations(mesh, account_id)}
        posted_minor = answers.posted_minor[account_id]
        sums = (
            ("posted", ledger.posted_minor, posted_minor),
            ("owed in the ledger", ledger.owed_minor, posted_minor),
            ("held", ledger.held_minor, held_minor[account_id]),
        )
        return [
            *(
                f"{account_id}: {what} is {found}, answered was {answered}"
                for what, found, answered in sums
                if found != answered
            ),
            *compare(expected[account_id], rows),
        ]

    found = await asyncio.gather(*(of_account(account_id) for account_id in expected))
    return [one for ones in found for one in ones]


def compare(answered: Mapping[str, Answered], rows: Mapping[str, pb.Authorization]) -> list[str]:
    """The authorizations of one account: those that users know, and those that the ledger has."""
    found = [f"{name}: in the ledger, nobody was answered" for name in rows.keys() - answered]
    for name, one in answered.items():
        row = rows.get(name)
        if row is None:
            found.append(f"{name}: answered, not in the ledger")
            continue
        facts = (
            ("approved", row.decision == pb.DECISION_APPROVED, one.approved),
            ("authorized", row.authorized_amount.amount_minor, one.authorized_minor),
            ("captured", row.captured_amount.amount_minor, one.captured_minor),
            ("held", row.held_amount.amount_minor, one.held_minor),
            ("refunded", row.refunded_amount.amount_minor, one.refunded_minor),
        )
        found += [
            f"{name}: {what} is {is_}, answered was {was}" for what, is_, was in facts if is_ != was
        ]
    return found


async def _authorizations(mesh: MeshClient, account_id: str) -> AsyncIterator[pb.Authorization]:
    token = ""
    while True:
        page = await mesh.authorizations.ListAuthorizations(
            rpc.ListAuthorizationsRequest(
                account_id=account_id, page_size=PAGE_SIZE_MAX, page_token=token
            ),
            timeout=CALL_TIMEOUT_S,
        )
        for one in page.authorizations:
            yield one
        token = page.next_page_token
        if not token:
            return
