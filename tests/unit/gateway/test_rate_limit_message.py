"""What is written to Envoy by hand, read as Envoy reads it; what Envoy asks, known by its bytes."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from envoy_wire import rate_limit_pb2 as pb
from gateway.limiter import Taken
from gateway.limits import Kind, Limit, Limits
from gateway.rate_limit_message import QUESTIONS_MAX, Question, Questions, allowed, refused
from runtime.errors import InvalidArgument


def _request(**told: str) -> bytes:
    request = pb.RateLimitRequest(domain="edge")
    descriptor = request.descriptors.add()
    for key, value in told.items():
        descriptor.entries.add(key=key, value=value)
    return request.SerializeToString()


@given(
    per_minute=st.integers(1, 600_000),
    remaining=st.integers(0, 600_000),
    wait_ms=st.integers(0, 60_001),
    lives=st.booleans(),
)
def test_an_answer_says_what_was_taken(
    *, per_minute: int, remaining: int, wait_ms: int, lives: bool
) -> None:
    limit = Limit(kind=Kind.CALLER, whose="usr_1", per_minute=per_minute)
    answer = pb.RateLimitResponse.FromString(allowed(limit, Taken(True, remaining, wait_ms, lives)))
    expected = pb.RateLimitResponse(overall_code=pb.RateLimitResponse.OK)
    status = expected.statuses.add(code=pb.RateLimitResponse.OK, limit_remaining=remaining)
    status.current_limit.requests_per_unit = per_minute
    status.current_limit.unit = pb.RateLimitResponse.RateLimit.MINUTE
    status.duration_until_reset.seconds = -(-wait_ms // 1000)
    if lives:
        expected.dynamic_metadata.update({"session": "lives"})
    assert answer == expected


@pytest.mark.parametrize("as_json", [True, False])
def test_a_refusal_says_when_to_try_again(*, as_json: bool) -> None:
    limit = Limit(kind=Kind.KEY, whose="key_1", per_minute=100)
    answer = pb.RateLimitResponse.FromString(
        refused(limit, Taken(False, 0, 1_500), as_json=as_json)
    )
    assert answer.overall_code == pb.RateLimitResponse.OVER_LIMIT
    assert answer.statuses[0].duration_until_reset.seconds == 2
    headers = {one.key: one.value for one in answer.response_headers_to_add}
    assert headers["retry-after"] == "2"
    assert ("grpc-status-details-bin" in headers) is not as_json
    assert answer.raw_body.startswith(b"{") is as_json


def test_a_question_is_read_once_and_forgotten_in_time() -> None:
    questions = Questions(Limits(caller=100))
    asked = _request(subject="usr_1", method="/s/Get", session="ses_1", json="GET")
    limit = Limit(kind=Kind.CALLER, whose="usr_1", per_minute=100)
    assert questions.read(asked) == Question(limit, "ses_1", as_json=True)
    assert questions.read(asked) is questions.read(asked)
    for number in range(QUESTIONS_MAX):
        questions.read(_request(subject=f"usr_{number}"))
    assert len(questions._known) <= QUESTIONS_MAX


def test_what_envoy_does_not_ask_is_refused() -> None:
    questions = Questions(Limits())
    with pytest.raises(DecodeError):
        questions.read(b"\xff")
    with pytest.raises(InvalidArgument):
        questions.read(b"")
