"""The issuer's own service has the last word: asked when, told what, waited for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError
from redis.asyncio import Redis

from authz.settings import AuthzSettings
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import ledger_pb2
from holdfast.authz.v1 import ledger_service_pb2 as ledger_rpc
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from tests import authz_messages as messages
from tests.authz_audit import audit, repeats
from tests.authz_checks import answered, approved, balance, network_purchase, usd
from tests.authz_mesh import ADMIN, NETWORK, AuthzMesh, authz_mesh, capture_of, purchase
from tests.databases import Database
from tests.external_service import (
    APPROVES,
    DECLINES,
    SLOW,
    Answering,
    Issuer,
    failing,
    garbage,
    issuer,
    saying,
)

TIMEOUT_MS = 250


@asynccontextmanager
async def asking(
    ledger: Database, money: Redis, running: Issuer, default: str = "decline", **more: Any
) -> AsyncIterator[AuthzMesh]:
    """An authorizer that asks this service."""
    async with authz_mesh(
        ledger,
        money,
        external_decision_target=running.target,
        external_decision_timeout_ms=TIMEOUT_MS,
        external_decision_default=default,
        **more,
    ) as mesh:
        yield mesh


async def told(mesh: AuthzMesh, authorization_id: str, metadata: Any = ADMIN) -> pb.Authorization:
    request = rpc.GetAuthorizationRequest(authorization_id=authorization_id)
    found = await mesh.authorization.GetAuthorization(request, metadata=metadata)
    return found.authorization


def reason_of(answer: rpc.AuthorizeResponse) -> str:
    return DeclineReason.Name(answer.decline_reason).removeprefix("DECLINE_REASON_")


async def entry_of(mesh: AuthzMesh, authorization_id: str) -> ledger_pb2.Entry:
    """The first settled entry of an authorization."""
    await mesh.settle()
    found = await told(mesh, authorization_id)
    request = ledger_rpc.ListEntriesRequest(account_id=found.account_id)
    entries = await mesh.ledger_service.ListEntries(request, metadata=ADMIN)
    return next(one for one in reversed(entries.entries) if one.authorization_id == found.id)


@pytest.mark.parametrize(
    ("answer", "default", "reason", "decider"),
    [
        (APPROVES, "decline", "UNSPECIFIED", "external"),
        (DECLINES, "approve", "EXTERNAL_DECLINED", "external"),
        (SLOW, "decline", "DECISION_TIMEOUT", "external_timeout"),
        (SLOW, "approve", "UNSPECIFIED", "external_timeout"),
        (None, "decline", "DECISION_TIMEOUT", "external_error"),
        (None, "approve", "UNSPECIFIED", "external_error"),
        (failing, "decline", "DECISION_TIMEOUT", "external_error"),
        (failing, "approve", "UNSPECIFIED", "external_error"),
        (garbage, "decline", "EXTERNAL_DECLINED", "external_error"),
        (garbage, "approve", "UNSPECIFIED", "external_error"),
        (saying(0), "decline", "EXTERNAL_DECLINED", "external_error"),
        (saying(99), "approve", "UNSPECIFIED", "external_error"),
    ],
)
async def test_what_each_answer_means(
    ledger: Database,
    money: Redis,
    *,
    answer: Answering | None,
    default: str,
    reason: str,
    decider: str,
) -> None:
    """None: the service is dead. Whose word it was is journaled, and seen before and after it is
    settled; the answer is the same whenever it is asked for, and the books agree.
    """
    async with issuer() as running, asking(ledger, money, running, default) as mesh:
        if answer is None:
            await running.server.stop(0)
        else:
            running.answer = answer
        account = await mesh.open_account()
        card = await mesh.issue_card(account)
        request = purchase(card, 700)
        began = time.monotonic()
        first = await mesh.authorization.Authorize(request, metadata=NETWORK)
        assert time.monotonic() - began < TIMEOUT_MS / 1000 + 0.5
        assert reason_of(first) == reason
        assert (first.decision == pb.DECISION_APPROVED) == (reason == "UNSPECIFIED")
        held = 700 if reason == "UNSPECIFIED" else 0
        assert await balance(mesh, account) == (0, held, 100_000 - held)
        assert (await told(mesh, first.authorization_id)).decider == decider
        asked = len(running.questions)
        assert await answered(mesh.authorization.Authorize, request) == (first, True)
        assert (await entry_of(mesh, first.authorization_id)).decider == decider
        assert (await told(mesh, first.authorization_id)).decider == decider
        assert len(running.questions) == asked, "a replay asks nobody"
        await audit(mesh, account)


async def test_the_issuer_s_words_are_kept_for_the_issuer(ledger: Database, money: Redis) -> None:
    """Bounded, without control characters; neither the network is told, nor the cardholder."""
    async with issuer() as running, asking(ledger, money, running) as mesh:
        running.answer = saying(pb.DECISION_DECLINED, "too | many;\n pumps\x00" + "é" * 100)
        account = await mesh.open_account()
        answer = await mesh.authorization.Authorize(
            purchase(await mesh.issue_card(account), 1), metadata=NETWORK
        )
        words = "too | many; pumps" + "é" * 47
        assert len(words) == 64
        for _ in range(2):
            assert (await told(mesh, answer.authorization_id)).external_reason == words
            assert (await told(mesh, answer.authorization_id, NETWORK)).external_reason == ""
            assert (await entry_of(mesh, answer.authorization_id)).external_reason == words
        owner_id = running.questions[0].owner_id
        holder = (("x-auth-subject", owner_id), ("x-auth-roles", "cardholder"))
        assert (await told(mesh, answer.authorization_id, holder)).external_reason == ""
        entries = await mesh.ledger_service.ListEntries(
            ledger_rpc.ListEntriesRequest(account_id=account), metadata=holder
        )
        assert entries.entries
        assert "pumps" not in str(entries)
        assert "pumps" not in str(answer)


async def test_what_is_passed(ledger: Database, money: Redis) -> None:
    """The purchase and whose it is: no wallet token, no trace number, no caller's id."""
    async with issuer() as running, asking(ledger, money, running) as mesh:
        account = await mesh.open_account()
        card = await mesh.issue_card(account)
        request = network_purchase(card, 700, "t-1", "my-id")
        request.wallet.type, request.wallet.token_id = "apple_pay", "DNITHE302"
        request.network_data.stan = "123456"
        request.merchant_amount.CopyFrom(messages.money(640, "EUR"))
        request.conversion_rate = "1.09"
        request.point_of_sale.card_present = True
        request.verification.cvv = pb.CHECK_RESULT_MATCH
        request.transaction_time.FromSeconds(1_800_000_000)
        await mesh.authorization.Authorize(request, metadata=NETWORK)
        (question,) = running.questions
        assert (question.card_id, question.account_id) == (card, account)
        assert question.root_card_id == card
        assert (question.owner_id[:4], question.programme_id) == ("usr_", "prog_standard")
        assert (question.amount, question.merchant_amount.amount_minor) == (usd(700), 640)
        assert question.merchant == request.merchant
        assert question.point_of_sale.card_present
        assert question.verification.cvv == pb.CHECK_RESULT_MATCH
        assert question.transaction_time.seconds == 1_800_000_000
        assert (question.network, question.network_transaction_id) == ("visa", "t-1")
        assert question.request_id == (await mesh_entry_id(mesh))
        passed = question.SerializeToString()
        for private in (b"DNITHE302", b"123456", b"my-id", b"spiffe"):
            assert private not in passed


async def mesh_entry_id(mesh: AuthzMesh) -> str:
    await mesh.settle()
    found: str = await mesh.ledger.fetchval("SELECT id FROM journal_entry WHERE type = 'A'")
    return found


async def test_only_what_would_be_approved_is_asked_about(ledger: Database, money: Redis) -> None:
    """Not: what Holdfast declines itself, advice, inquiries, what happens later."""
    async with issuer() as running, asking(ledger, money, running) as mesh:
        card = await mesh.card()
        frozen = await mesh.card()
        account = (await told(mesh, await approved(mesh, frozen, 1))).account_id
        state = projection.CARD_STATE_FROZEN
        await mesh.apply_card(frozen, account, version=2, state=state)
        running.questions.clear()
        declined = await mesh.authorization.Authorize(purchase(frozen, 1), metadata=NETWORK)
        assert reason_of(declined) == "CARD_FROZEN"
        assert (await told(mesh, declined.authorization_id)).decider == "holdfast"
        inquiry = purchase(card, 0)
        inquiry.message_type = pb.MESSAGE_TYPE_BALANCE_INQUIRY
        await mesh.authorization.Authorize(inquiry, metadata=NETWORK)
        advice = messages.advice(card, 5)
        booked = await mesh.authorization.Authorize(advice, metadata=NETWORK)
        assert (await told(mesh, booked.authorization_id)).decider == "network"
        assert running.questions == []
        held = await approved(mesh, card, 10)
        await mesh.authorization.Authorize(messages.withdrawal(card, 10), metadata=NETWORK)
        await mesh.authorization.Authorize(purchase(card, 0), metadata=NETWORK)
        assert len(running.questions) == 3
        increment = messages.increment_of(held, 5)
        await mesh.authorization.IncrementAuthorization(increment, metadata=NETWORK)
        await mesh.authorization.CaptureAuthorization(capture_of(held, 5), metadata=NETWORK)
        assert len(running.questions) == 3


async def test_credit_is_checked_after_an_approval(ledger: Database, money: Redis) -> None:
    """What the issuer approved and the credit does not cover, Holdfast has declined."""
    async with issuer() as running, asking(ledger, money, running) as mesh:
        card = await mesh.card(100)
        answer = await mesh.authorization.Authorize(purchase(card, 101), metadata=NETWORK)
        assert reason_of(answer) == "INSUFFICIENT_CREDIT"
        assert len(running.questions) == 1
        assert (await told(mesh, answer.authorization_id)).decider == "holdfast"
        assert (await entry_of(mesh, answer.authorization_id)).decider == "holdfast"


async def test_a_repetition_is_the_same_answer_for_ever(ledger: Database, money: Redis) -> None:
    async with issuer() as running, asking(ledger, money, running) as mesh:
        running.answer = DECLINES
        request = purchase(await mesh.card(), 5)
        request.transmission_time.CopyFrom(messages.at_ms(mesh.clock.now_ms() - 24 * 3_600_000))
        altered = rpc.AuthorizeRequest()
        altered.CopyFrom(request)
        altered.amount.amount_minor = 6
        await repeats(mesh, mesh.authorization.Authorize, request, altered)
        assert len(running.questions) == 1


async def test_two_at_once_are_decided_once(ledger: Database, money: Redis) -> None:
    """A retry in flight may ask again; the script decides which answer stands."""
    async with issuer() as running, asking(ledger, money, running) as mesh:
        running.answer = saying(pb.DECISION_APPROVED, after_s=0.05)
        account = await mesh.open_account()
        request = purchase(await mesh.issue_card(account), 100)
        answers = await asyncio.gather(
            *(mesh.authorization.Authorize(request, metadata=NETWORK) for _ in range(5))
        )
        assert {answer.SerializeToString() for answer in answers} == {
            answers[0].SerializeToString()
        }
        assert {question.request_id for question in running.questions} == {
            running.questions[0].request_id
        }
        assert await balance(mesh, account) == (0, 100, 99_900)


async def test_a_stale_snapshot_asks_again_only_if_the_question_differs(
    ledger: Database, money: Redis
) -> None:
    """The card changes while the issuer thinks: the script sends the decision back."""
    async with issuer() as running, asking(ledger, money, running) as mesh:
        account = await mesh.open_account()
        card = await mesh.issue_card(account)
        root = await mesh.issue_card(account)
        changes: list[dict[str, Any]] = [
            {"version": 2, "controls": SpendControls(blocked_countries=["FR"])},
            {"version": 3, "root_card_id": root},
            {"version": 4, "state": projection.CARD_STATE_FROZEN},
        ]
        seen = []
        for change in changes:
            running.questions.clear()
            waiting = [change]

            async def changing(question: Any, waiting: list[dict[str, Any]] = waiting) -> bytes:
                for one in waiting:
                    await mesh.apply_card(card, account, **one)
                waiting.clear()
                return await APPROVES(question)

            running.answer = changing
            answer = await mesh.authorization.Authorize(purchase(card, 10), metadata=NETWORK)
            seen.append((reason_of(answer), len(running.questions)))
        assert seen == [("UNSPECIFIED", 1), ("UNSPECIFIED", 2), ("CARD_FROZEN", 1)]
        assert await balance(mesh, account) == (0, 20, 99_980)


async def test_all_questions_about_a_purchase_share_one_deadline(
    ledger: Database, money: Redis
) -> None:
    async with issuer() as running, asking(ledger, money, running) as mesh:
        account = await mesh.open_account()
        card = await mesh.issue_card(account)
        roots = [await mesh.issue_card(account) for _ in range(5)]

        async def changing(question: Any) -> bytes:
            number = len(running.questions)
            root = roots[number % 5]
            await mesh.apply_card(card, account, version=number + 1, root_card_id=root)
            await asyncio.sleep(TIMEOUT_MS / 1000 * 0.6)
            return await APPROVES(question)

        running.answer = changing
        began = time.monotonic()
        answer = await mesh.authorization.Authorize(purchase(card, 10), metadata=NETWORK)
        assert reason_of(answer) == "DECISION_TIMEOUT"
        assert time.monotonic() - began < TIMEOUT_MS / 1000 + 0.5
        assert len(running.questions) == 2
        first_s, second_s = running.deadlines_s
        assert first_s is not None
        assert second_s is not None
        assert second_s < first_s * 0.6


async def test_an_answer_that_comes_late_leaves_no_hold(ledger: Database, money: Redis) -> None:
    """It approves after the decline was answered: nobody hears it, and it was told its deadline."""
    async with issuer() as running, asking(ledger, money, running) as mesh:
        running.answer = saying(pb.DECISION_APPROVED, after_s=TIMEOUT_MS / 1000 + 0.2)
        account = await mesh.open_account()
        card = await mesh.issue_card(account)
        answer = await mesh.authorization.Authorize(purchase(card, 10), metadata=NETWORK)
        assert reason_of(answer) == "DECISION_TIMEOUT"
        await asyncio.sleep(0.4)
        assert running.given_up == 1
        assert running.deadlines_s[0] is not None
        assert running.deadlines_s[0] <= TIMEOUT_MS / 1000 + 0.05
        assert await balance(mesh, account) == (0, 0, 100_000)
        found = await told(mesh, answer.authorization_id)
        assert found.state == pb.Authorization.STATE_DECLINED
        # The service is as good as ever for the next purchase.
        running.answer = APPROVES
        await approved(mesh, card, 10)


async def test_a_caller_that_gives_up_leaves_nothing(ledger: Database, money: Redis) -> None:
    """Its deadline passes while the issuer thinks; repeated, the request is decided."""
    async with issuer() as running, asking(ledger, money, running) as mesh:
        running.answer = saying(pb.DECISION_APPROVED, after_s=0.15)
        account = await mesh.open_account()
        request = purchase(await mesh.issue_card(account), 10)
        with pytest.raises(grpc.aio.AioRpcError):
            await mesh.authorization.Authorize(request, metadata=NETWORK, timeout=0.05)
        await asyncio.sleep(0.3)
        assert await balance(mesh, account) == (0, 0, 100_000)
        answer, replayed = await answered(mesh.authorization.Authorize, request)
        assert (answer.decision, replayed) == (pb.DECISION_APPROVED, False)


def _certificate() -> tuple[bytes, bytes]:
    """Key and self-signed certificate of `localhost`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(encoding)


async def test_by_tls_to_whom_the_certificate_names(
    ledger: Database, money: Redis, tmp_path: Path
) -> None:
    """One that is not trusted has no say."""
    key, certificate = _certificate()
    _, another = _certificate()
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    deciders = []
    async with issuer(credentials=credentials) as running:
        for trusted in (certificate, another):
            (tmp_path / "ca.pem").write_bytes(trusted)
            async with asking(
                ledger, money, running, external_decision_ca=tmp_path / "ca.pem"
            ) as mesh:
                answer = await mesh.authorization.Authorize(
                    purchase(await mesh.card(), 1), metadata=NETWORK
                )
                deciders.append((await told(mesh, answer.authorization_id)).decider)
    assert deciders[0] == "external"
    assert deciders[1] in ("external_error", "external_timeout")
    assert len(running.questions) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"external_decision_timeout_ms": 501},
        {"external_decision_timeout_ms": 0},
        {"external_decision_default": "maybe"},
        {"external_decision_target": "localhost:50051"},
        {"external_decision_target": "http://localhost:50051"},
        {"external_decision_target": "tls://localhost"},
    ],
)
def test_settings_that_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AuthzSettings(**wrong)
