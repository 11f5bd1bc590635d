"""The scripts on a server in trouble: whatever is wrong, they write all or nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from authz import keys
from holdfast.type.v1.default_rules_pb2 import (
    DefaultRules,
    FraudChecks,
    RepetitionCheck,
)
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from runtime.errors import Unavailable
from runtime.script import Script
from tests.authz_checks import approved, dump, network_purchase, nothing_written, refused, usd
from tests.authz_mesh import (
    ACCOUNTS,
    NETWORK,
    AuthzMesh,
    capture_of,
    purchase,
    reversal_of,
)
from tests.authz_messages import advice, credit, forced, increment_of, refund_of
from tests.rpc.authz.test_spend_limits import daily

USER, COMPANY = "usr_0b" + "1" * 32, "co_0a" + "1" * 32
MAXIMUM = SpendControls(transaction_maximum=usd(5))
SUSPECTED_MS = 1_000_000_000_000

Call = tuple[Script, Sequence[str], Sequence[str | bytes]]


async def _authorize(mesh: AuthzMesh) -> Awaitable[object]:
    card = await mesh.issue_card(await mesh.open_account(), single_use=True)
    return mesh.authorization.Authorize(network_purchase(card, 10, "t-1"), metadata=NETWORK)


async def _authorize_new(mesh: AuthzMesh) -> Awaitable[object]:
    card = await mesh.issue_card(await mesh.open_account(), single_use=True)
    return mesh.authorization.Authorize(purchase(card, 10), metadata=NETWORK)


async def _capture(mesh: AuthzMesh) -> Awaitable[object]:
    request = capture_of(await approved(mesh, await mesh.card(), 100), 10)
    request.clearing_reference = "arn-1"
    return mesh.authorization.CaptureAuthorization(request, metadata=NETWORK)


async def _reverse(mesh: AuthzMesh) -> Awaitable[object]:
    checks = FraudChecks(repetition=RepetitionCheck())
    await mesh.apply_rules("prog_standard", DefaultRules(fraud_checks=checks))
    request = reversal_of(await approved(mesh, await mesh.card(), 100))
    return mesh.authorization.ReverseAuthorization(request, metadata=NETWORK)


async def _advise(mesh: AuthzMesh) -> Awaitable[object]:
    card = await mesh.issue_card(await mesh.open_account(), single_use=True)
    request = advice(card, 10)
    request.network_data.network, request.network_data.transaction_id = "visa", "t-1"
    return mesh.authorization.Authorize(request, metadata=NETWORK)


async def _increment(mesh: AuthzMesh) -> Awaitable[object]:
    request = increment_of(await approved(mesh, await mesh.card(), 100), 10)
    return mesh.authorization.IncrementAuthorization(request, metadata=NETWORK)


async def _refund(mesh: AuthzMesh) -> Awaitable[object]:
    held = await approved(mesh, await mesh.card(), 100)
    request = refund_of(held, 10)
    request.clearing_reference = "arn-1"
    return mesh.authorization.Refund(request, metadata=NETWORK)


async def _credit(mesh: AuthzMesh) -> Awaitable[object]:
    account = await mesh.open_account()
    request = credit(account, mesh.ids.new("pay", 10), 10)
    return mesh.posting.CreditPayment(request, metadata=ACCOUNTS)


async def _apply_account(mesh: AuthzMesh) -> Awaitable[object]:
    return mesh.apply_account(await mesh.open_account(), version=2)


async def _apply_card(mesh: AuthzMesh) -> Awaitable[object]:
    """One that clears a suspicion: what was learned is read only then."""
    account = await mesh.open_account()
    return mesh.apply_card(
        await mesh.issue_card(account), account, version=2, clear_ms=SUSPECTED_MS
    )


async def _apply_account_user(mesh: AuthzMesh) -> Awaitable[object]:
    account = await mesh.open_account()
    return mesh.apply_account_user(account, USER, controls=MAXIMUM)


async def _apply_rules(mesh: AuthzMesh) -> Awaitable[object]:
    return mesh.apply_rules(COMPANY, DefaultRules(card_controls=MAXIMUM))


MOVEMENTS: dict[str, Callable[[AuthzMesh], Awaitable[Awaitable[object]]]] = {
    "place_hold": _authorize,
    "place_hold:new": _authorize_new,
    "capture_hold": _capture,
    "book_advice": _advise,
    "increment_hold": _increment,
    "release_hold": _reverse,
    "post_entry": _refund,
    "move_payment": _credit,
    "apply_account": _apply_account,
    "apply_card": _apply_card,
    "apply_account_user": _apply_account_user,
    "apply_rules": _apply_rules,
}


#: What a script answers that did something.
DONE = ("PLACED", "BOOKED", "INCREMENTED", "POSTED", "RELEASED", "MOVED", "APPLIED")


async def _script_call(mesh: AuthzMesh, name: str) -> Call:
    """What the worker would send for a movement that has not happened yet."""
    prepared = await MOVEMENTS[name](mesh)
    calls: list[Call] = []
    run = mesh.worker.pipe.run

    async def record(
        script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]
    ) -> list[Any]:
        calls.append((script, keys, arguments))
        raise Unavailable("recorded")

    mesh.worker.pipe.run = record  # type: ignore[method-assign]
    with pytest.raises(Exception, match="recorded"):
        await prepared
    mesh.worker.pipe.run = run  # type: ignore[method-assign]
    assert len(calls) == 1
    assert calls[0][0].name == name.partition(":")[0]
    return calls[0]


@pytest.mark.parametrize("name", MOVEMENTS)
async def test_key_of_another_type_is_refused_and_nothing_is_written(
    mesh: AuthzMesh, name: str
) -> None:
    """Goal: no script fails after its first write. Method: each key in turn has a wrong type."""
    script, names, arguments = await _script_call(mesh, name)
    for key in names:
        if name.endswith(":new") and ":hold:" in key:
            continue  # its id was made for this call
        content = await mesh.money.dump(key)
        await mesh.money.delete(key)
        if ":req:" in key or ":clr:" in key:
            await mesh.money.rpush(key, "x")
        else:
            await mesh.money.set(key, "x")
        async with nothing_written(mesh.money):
            with pytest.raises(ResponseError, match="WRONGTYPE"):
                await mesh.worker.pipe.run(script, names, arguments)
        await mesh.money.delete(key)
        if content is not None:
            await mesh.money.restore(key, 0, content)
    answer = await mesh.worker.pipe.run(script, names, arguments)
    assert answer[0] in DONE


async def _counted(mesh: AuthzMesh, name: str) -> tuple[Any, Any]:
    """A movement that counts in a limit, or gives back."""
    account, card = await mesh.open_account(), mesh.ids.new("card", 10)
    await mesh.apply_card(card, account, controls=SpendControls(limits=[daily(9_000)]))
    held, stub = await approved(mesh, card, 100), mesh.authorization
    return {
        "place_hold": (stub.Authorize, purchase(card, 10)),
        "book_advice": (stub.Authorize, advice(card, 10)),
        "force post": (stub.ForcePost, forced(card, 10)),
        "increment_hold": (stub.IncrementAuthorization, increment_of(held, 10)),
        "capture_hold": (stub.CaptureAuthorization, capture_of(held, 10, final=True)),
        "release_hold": (stub.ReverseAuthorization, reversal_of(held, 10)),
    }[name]


@pytest.mark.parametrize("damage", ["type", "content"])
@pytest.mark.parametrize(
    "name",
    [
        *("place_hold", "book_advice", "force post"),
        *("increment_hold", "capture_hold", "release_hold"),
    ],
)
async def test_broken_window_is_refused_and_nothing_is_written(
    mesh: AuthzMesh, name: str, damage: str
) -> None:
    """Goal: what a limit counts in is never guessed. Method: a key of another type, or a slot whose
    content is no `amount|count`.
    """
    method, request = await _counted(mesh, name)
    (window,) = [key async for key in mesh.money.scan_iter(match="*:win:*")]
    (slot,) = await mesh.money.hkeys(window)
    await mesh.money.delete(window)
    if damage == "type":
        await mesh.money.set(window, "x")
    else:
        await mesh.money.hset(window, slot, "x")
    async with nothing_written(mesh.money):
        error = await refused(method, request)
    assert (error.code.name, error.reason) == ("UNAVAILABLE", "VALKEY_REFUSED")
    assert mesh.server.serving


@pytest.mark.parametrize("name", MOVEMENTS)
async def test_full_memory_is_refused_and_nothing_is_written(mesh: AuthzMesh, name: str) -> None:
    script, names, arguments = await _script_call(mesh, name)
    before = (await mesh.money.config_get("maxmemory"))["maxmemory"]
    await mesh.money.config_set("maxmemory", 1_000_000)
    try:
        async with nothing_written(mesh.money):
            with pytest.raises(OutOfMemoryError):
                await mesh.worker.pipe.run(script, names, arguments)
    finally:
        await mesh.money.config_set("maxmemory", before or "0")
    assert (await mesh.worker.pipe.run(script, names, arguments))[0] != "STALE"


@pytest.mark.parametrize("name", MOVEMENTS)
async def test_other_epoch_is_refused_and_nothing_is_written(mesh: AuthzMesh, name: str) -> None:
    script, names, arguments = await _script_call(mesh, name)
    async with nothing_written(mesh.money):
        answer = await mesh.worker.pipe.run(script, names, ("7", *arguments[1:]))
    assert answer == ["WRONG_EPOCH", ""]


async def test_all_keys_of_a_script_share_one_hash_tag(mesh: AuthzMesh) -> None:
    for name in MOVEMENTS:
        _, names, _ = await _script_call(mesh, name)
        assert {key[:4] for key in names} == {"{0a}"}
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("damage", ["type", "content"])
async def test_one_broken_key_closes_the_gate_for_nobody(mesh: AuthzMesh, damage: str) -> None:
    """A caller that repeats a movement on it must not stop all others."""
    account = await mesh.open_account()
    broken, sound = await mesh.issue_card(account), await mesh.card()
    held = await approved(mesh, broken, 10)
    if damage == "type":
        await mesh.money.delete(keys.hold(held))
        await mesh.money.set(keys.hold(held), "x")
    else:
        await mesh.money.hdel(keys.account(account), "posted")
    for _ in range(3):
        async with nothing_written(mesh.money):
            error = await refused(mesh.authorization.CaptureAuthorization, capture_of(held, 10))
        assert (error.code.name, error.reason) == ("UNAVAILABLE", "VALKEY_REFUSED")
        await approved(mesh, sound, 1)
        assert mesh.server.serving


async def test_full_memory_refuses_what_writes_and_answers_what_reads(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    before = (await mesh.money.config_get("maxmemory"))["maxmemory"]
    await mesh.money.config_set("maxmemory", 1_000_000)
    try:
        error = await refused(mesh.authorization.Authorize, purchase(card, 1))
        assert (error.code.name, error.reason) == ("UNAVAILABLE", "VALKEY_REFUSED")
        assert await mesh.worker.store.balance(account) is not None
    finally:
        await mesh.money.config_set("maxmemory", before or "0")
    await approved(mesh, card, 1)


async def test_version_zero_stands_for_absent_only(mesh: AuthzMesh) -> None:
    """A card that appears between look and script is seen: the decision is made again."""
    card = mesh.ids.new("card", 10)
    account = await mesh.open_account()
    read = mesh.worker.store.snapshot
    seen: list[object] = []

    async def late(card_id: str) -> Any:
        found = await read(card_id)
        seen.append(found)
        if len(seen) == 1:
            await mesh.apply_card(card, account)
        return found

    mesh.worker.store.snapshot = late  # type: ignore[method-assign]
    answer = await mesh.authorization.Authorize(purchase(card, 10), metadata=NETWORK)
    assert (len(seen), answer.approved_amount) == (2, usd(10))


async def test_configuration_that_changes_all_the_time_is_unavailable(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    read = mesh.worker.store.snapshot
    version = 1

    async def changing(card_id: str) -> Any:
        nonlocal version
        found = await read(card_id)
        version += 1
        await mesh.apply_card(card, account, version=version)
        return found

    mesh.worker.store.snapshot = changing  # type: ignore[method-assign]
    before = await dump(mesh.money)
    error = await refused(mesh.authorization.Authorize, purchase(card, 10))
    assert (error.code.name, error.reason) == ("UNAVAILABLE", "SNAPSHOT_STALE")
    assert set(await dump(mesh.money)) == set(before)
