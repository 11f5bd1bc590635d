"""What users were answered, added up; and held against authorizations of the ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2
from loadtest.load_answers import Answered, Answers
from loadtest.load_books import compare
from loadtest.load_results import Results
from loadtest.load_samples import Samples
from loadtest.load_scenario import Holder, Phase, Scenario
from loadtest.load_town import money

_ACCOUNT = "acct_1"


def _approved(name: str, amount_minor: int) -> rpc.AuthorizeResponse:
    return rpc.AuthorizeResponse(
        authorization_id=name,
        decision=pb.DECISION_APPROVED,
        approved_amount=money(amount_minor),
    )


def _captured(name: str, posted: int, captured: int, held: int) -> rpc.CaptureAuthorizationResponse:
    return rpc.CaptureAuthorizationResponse(
        authorization_id=name,
        posted_amount=money(posted),
        captured_amount=money(captured),
        held_amount=money(held),
    )


def _answers() -> Answers:
    """Cleared in two parts and refunded in part; reversed; open; declined."""
    answers = Answers()
    for name in ("cleared", "reversed", "open"):
        answers.authorized(_ACCOUNT, _approved(name, 1_000))
    declined = rpc.AuthorizeResponse(authorization_id="declined", decision=pb.DECISION_DECLINED)
    answers.authorized(_ACCOUNT, declined)
    answers.captured(_captured("cleared", 400, 400, 600))
    answers.captured(_captured("cleared", 800, 1_200, 0))
    answers.reversed(
        rpc.ReverseAuthorizationResponse(authorization_id="reversed", released_amount=money(1_000))
    )
    answers.refunded(
        movement_pb2.RefundResponse(
            authorization_id="cleared", posted_amount=money(50), refunded_amount=money(50)
        )
    )
    return answers


def test_answers_add_up() -> None:
    """Goal: posted is what was cleared less what was refunded; held is what is open."""
    answers = _answers()
    assert answers.posted_minor == {_ACCOUNT: 1_150}
    assert answers.held_minor() == {_ACCOUNT: 1_000}
    assert not answers.authorizations["declined"].approved


def test_one_request_makes_one_authorization() -> None:
    """Goal: the same decision told twice is a mistake of the actors, not a second purchase."""
    answers = _answers()
    with pytest.raises(AssertionError):
        answers.authorized(_ACCOUNT, _approved("open", 1_000))


def test_results_survive_their_file(tmp_path: Path) -> None:
    """Goal: what one process writes is what the other reads."""
    samples = Samples()
    samples.add("Authorize", 12.5, measured=True, error="UNAVAILABLE: gone")
    answers = _answers()
    answers.unanswered["load-1"] = "Capture"
    written = Results.of(samples, answers, ["KeyError: auth"], [0.001])
    written.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == written


_ONE = Answered(
    account_id=_ACCOUNT,
    approved=True,
    authorized_minor=1_000,
    held_minor=0,
    captured_minor=1_200,
    refunded_minor=50,
)
_ROW = pb.Authorization(
    id="auth",
    decision=pb.DECISION_APPROVED,
    authorized_amount=money(1_000),
    captured_amount=money(1_200),
    held_amount=money(0),
    refunded_amount=money(50),
)


def test_what_agrees() -> None:
    """Goal: no difference between an authorization and its answers."""
    assert compare({"auth": _ONE}, {"auth": _ROW}) == []


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"approved": False}, "approved is True, answered was False"),
        ({"authorized_minor": 999}, "authorized is 1000, answered was 999"),
        ({"captured_minor": 1_199}, "captured is 1200, answered was 1199"),
        ({"held_minor": 1}, "held is 0, answered was 1"),
        ({"refunded_minor": 51}, "refunded is 50, answered was 51"),
    ],
)
def test_what_differs(changed: dict[str, Any], difference: str) -> None:
    """Goal: one cent more or less in any amount is told, and nothing else."""
    assert compare({"auth": replace(_ONE, **changed)}, {"auth": _ROW}) == [f"auth: {difference}"]


def test_what_only_one_side_knows() -> None:
    """Goal: an answer without an entry is a loss; an entry without an answer is a theft."""
    assert compare({"auth": _ONE}, {}) == ["auth: answered, not in the ledger"]
    assert compare({}, {"auth": _ROW}) == ["auth: in the ledger, nobody was answered"]


def test_the_day(tmp_path: Path) -> None:
    """Goal: the phases follow each other, users come during the warm-up, a burst doubles them."""
    scenario = Scenario(
        run_id="load-1",
        network_port=1,
        edge_port=2,
        results=tmp_path / "results.json",
        seconds=100,
        users=30,
        holders=(Holder("acct", "card"),),
    )
    phases = [scenario.phase(second) for second in (0, 14.9, 15, 59.9, 60, 74.9, 75, 99.9, 100)]
    warm_up, plateau, burst, night = Phase
    assert phases == [*(warm_up,) * 2, *(plateau,) * 2, *(burst,) * 2, *(night,) * 2, None]
    assert scenario.crowd(warm_up) == (30, 2.0)
    assert [scenario.crowd(phase).users for phase in (plateau, burst, night)] == [30, 60, 30]
    scenario.write(tmp_path / "scenario.json")
    assert Scenario.read(tmp_path / "scenario.json") == scenario
