"""FollowEntries: everything that was settled, once, in order."""

from __future__ import annotations

import pytest

from holdfast.authz.v1 import ledger_service_pb2 as rpc
from tests.authz_checks import approved, refused
from tests.authz_mesh import ACCOUNTS, ADMIN, NETWORK, AuthzMesh, capture_of

Positions = dict[int, int]


async def _follow(
    mesh: AuthzMesh, positions: Positions, page_size: int = 0
) -> rpc.FollowEntriesResponse:
    answer: rpc.FollowEntriesResponse = await mesh.ledger_service.FollowEntries(
        rpc.FollowEntriesRequest(
            after=[
                rpc.EntryPosition(partition=partition, pseq=pseq)
                for partition, pseq in positions.items()
            ],
            page_size=page_size,
        ),
        metadata=ACCOUNTS,
    )
    return answer


async def test_a_follower_meets_every_entry_once_in_order(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(100_000)
    card = await mesh.issue_card(account)
    for number in range(5):
        held = await approved(mesh, card, 1_000)
        await mesh.authorization.CaptureAuthorization(
            capture_of(held, 1_000, f"clearing-{number}"), metadata=ADMIN
        )
    await mesh.settle()
    positions: Positions = dict.fromkeys(range(64), 0)
    met, more = [], True
    while more:
        answer = await _follow(mesh, positions, page_size=64 * 3)
        for entry in answer.entries:
            assert entry.pseq == positions[entry.partition] + 1
            positions[entry.partition] = entry.pseq
            met.append(entry)
        more = answer.more
    mine = [entry for entry in met if entry.account_id == account]
    assert [entry.seq for entry in mine] == list(range(1, 13))
    assert all(entry.user_id or entry.company_id for entry in mine)
    assert mine[-1].root_card_id == card
    assert sum(line.amount.amount_minor for entry in mine for line in entry.lines) == 0
    assert sum(len(entry.lines) for entry in mine) == 10
    assert await _follow(mesh, positions) == rpc.FollowEntriesResponse()


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (rpc.FollowEntriesRequest(), ["after"]),
        (rpc.FollowEntriesRequest(after=[rpc.EntryPosition()] * 2), ["after"]),
        (
            rpc.FollowEntriesRequest(
                after=[rpc.EntryPosition(partition=64, pseq=-1)], page_size=2001
            ),
            ["after[0].partition", "after[0].pseq", "page_size"],
        ),
    ],
)
async def test_wrong_fields_are_named(
    mesh: AuthzMesh, request_: rpc.FollowEntriesRequest, fields: list[str]
) -> None:
    error = await refused(mesh.ledger_service.FollowEntries, request_, metadata=ACCOUNTS)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", fields)


async def test_only_what_changed_a_balance_with_the_merchant_of_its_purchase(
    mesh: AuthzMesh,
) -> None:
    account = await mesh.open_account(100_000)
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 1_000)
    await mesh.authorization.CaptureAuthorization(
        capture_of(held, 1_000, "posted-only"), metadata=NETWORK
    )
    await approved(mesh, card, 500)
    await mesh.settle()
    after = [rpc.EntryPosition(partition=partition) for partition in range(64)]
    request = rpc.FollowEntriesRequest(after=after, posted_only=True)
    answer = await mesh.ledger_service.FollowEntries(request, metadata=ACCOUNTS)
    (entry,) = answer.entries
    assert (entry.authorization_id, entry.amount.amount_minor) == (held, 1_000)
    assert (entry.merchant.descriptor, entry.merchant.category_code) == ("Corner shop", "5411")
    (reached,) = [one for one in answer.reached if one.partition == 10]
    assert reached.pseq == 5
    assert not answer.more
    request = rpc.FollowEntriesRequest(after=[reached], posted_only=True)
    assert await mesh.ledger_service.FollowEntries(request, metadata=ACCOUNTS) == type(answer)()
