"""The status of an answer is what hpack says it is, in whatever form it was written."""

from __future__ import annotations

import hpack
import pytest

from loadtest.answer_headers import AnswerHeaders
from loadtest.outcome import Outcome

TRACE_ID = ("x-request-id", "0f4c2a51-7b3e-4c55-9a4e-5d1f3b9a7c10")
EXHAUSTED = 8


@pytest.mark.parametrize("huffman", [False, True])
@pytest.mark.parametrize("code", range(17))
def test_every_code_is_read(code: int, *, huffman: bool) -> None:
    headers = [(":status", "200"), TRACE_ID, ("grpc-status", str(code)), ("server", "holdfast")]
    block = hpack.Encoder().encode(headers, huffman=huffman)
    assert AnswerHeaders().status(block, ends=True) == code


@pytest.mark.parametrize("ends", [False, True])
def test_an_answer_without_a_status_is_good_only_if_http_says_so(*, ends: bool) -> None:
    good = hpack.Encoder().encode([(":status", "200"), TRACE_ID])
    bad = hpack.Encoder().encode([(":status", "503"), TRACE_ID])
    assert AnswerHeaders().status(good, ends=ends) == 0
    assert AnswerHeaders().status(bad, ends=ends) == Outcome.HTTP_ERROR


def test_a_code_that_has_no_short_form_is_decoded() -> None:
    block = hpack.Encoder().encode([(":status", "200"), ("grpc-status", f"0{EXHAUSTED}")])
    assert AnswerHeaders().status(block, ends=True) == EXHAUSTED
