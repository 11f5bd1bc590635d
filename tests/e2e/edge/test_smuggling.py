"""Requests that two readers could take for two things: refused, or read in one way only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events
import pytest

from tests.e2e.edge.world import World

PATH = "/v1/authorizations/auth_1"
HIDDEN = "/v1/authorizations/auth_hidden"
#: How long to wait for an answer, and whether more comes after it.
PATIENCE_S, MORE_S = 0.3, 0.05


async def _exchange(world: World, request: bytes, patience_s: float = PATIENCE_S) -> bytes | None:
    """All that Envoy answers to these bytes; None if it closes without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.ports.edge_http)
    writer.write(request)
    answer = b""
    try:
        while part := await asyncio.wait_for(reader.read(65536), MORE_S if answer else patience_s):
            answer += part
    except TimeoutError:
        return answer
    except ConnectionResetError:
        return None
    finally:
        writer.close()
    return answer or None


def _statuses(answer: bytes | None) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer or b"")]


def _request(world: World, *lines: str, verb: str = "POST", body: str = "") -> bytes:
    """A request with a good token and these header lines, byte for byte."""
    token = world.token()
    head = (f"{verb} {PATH}:reverse HTTP/1.1", "host: edge", f"authorization: Bearer {token}")
    return "\r\n".join((*head, *lines, "", body)).encode("latin-1")


def _smuggled(world: World) -> str:
    """A whole request, with a good token: only for whom it hides from would it be one."""
    return f"GET {HIDDEN} HTTP/1.1\r\nhost: edge\r\nauthorization: Bearer {world.token()}\r\n\r\n"


#: Whose body ends where, in the eyes of whom?
FRAMINGS: dict[str, tuple[str, ...]] = {
    "length and chunks": ("content-length: 4", "transfer-encoding: chunked"),
    "chunks and length": ("transfer-encoding: chunked", "content-length: 4"),
    "two lengths": ("content-length: 0", "content-length: 4"),
    "a list of lengths": ("content-length: 0, 4",),
    "a signed length": ("content-length: +4",),
    "a length below zero": ("content-length: -1",),
    "a length in hexadecimal": ("content-length: 0x4",),
    "an unknown coding": ("transfer-encoding: xchunked",),
    "chunked, but not last": ("transfer-encoding: chunked, identity",),
    "a space before the colon": ("transfer-encoding : chunked",),
    "a zero byte": ("x-one: 1\0",),
}


@pytest.mark.parametrize("name", FRAMINGS)
async def test_a_body_has_one_end(world: World, name: str) -> None:
    """Refused, and nothing behind it is read as a request of its own."""
    body = f"0\r\n\r\n{_smuggled(world)}"
    answer = await _exchange(world, _request(world, *FRAMINGS[name], body=body))

    assert _statuses(answer) in ([400], [501], []), answer
    assert world.upstream.calls == []


#: Envoy reads these in its one way. Towards servers it speaks HTTP/2, where lines have no ends:
#: what it took for a request is one there, too, with the identity established for it alone.
LENIENT: dict[str, tuple[str, ...]] = {
    "a folded line": ("x-one: 1", " transfer-encoding: chunked"),
    "a bare line feed": ("x-one: 1\ntransfer-encoding: chunked",),
    "a bare carriage return": ("x-one: 1\rtransfer-encoding: chunked",),
}


@pytest.mark.parametrize("name", LENIENT)
async def test_odd_line_ends_lend_nobody_an_identity(world: World, name: str) -> None:
    hidden = f"GET {HIDDEN} HTTP/1.1\r\nhost: edge\r\nx-auth-subject: usr_root\r\n\r\n"
    answer = await _exchange(world, _request(world, *LENIENT[name], body=f"0\r\n\r\n{hidden}"))

    assert _statuses(answer) in ([400], [200, 400], [200, 401]), answer
    assert [call.identity.principal for call in world.upstream.calls] in ([], ["usr_alice"])


async def test_what_stands_in_a_body_is_no_request(world: World) -> None:
    """A second request within the length of the first is its body, and no JSON of ours."""
    inside = _smuggled(world)
    lines = ("content-type: application/json", f"content-length: {len(inside)}")
    answer = await _exchange(world, _request(world, *lines, body=inside))

    assert _statuses(answer) == [400]
    assert world.upstream.calls == []


@pytest.mark.parametrize(
    ("target", "lines", "status"),
    [
        (f"CONNECT {PATH} HTTP/1.1", (), (400, 403, 404)),
        (f"TRACE {PATH} HTTP/1.1", (), (400, 404, 405)),
        (f"GET {PATH}%00 HTTP/1.1", (), (400,)),
        (f"GET {PATH}#/v1/accounts HTTP/1.1", (), (400,)),
        (f"GET {PATH} HTTP/1.0", (), (426,)),
        (f"GET {PATH} HTTP/9.9", (), (400, 426)),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_odd_requests_are_refused(
    world: World, target: str, lines: Sequence[str], status: tuple[int, ...]
) -> None:
    head = (target, "host: edge", f"authorization: Bearer {world.token()}", *lines, "", "")
    answer = await _exchange(world, "\r\n".join(head).encode())

    [found] = _statuses(answer)
    assert found in status, answer
    assert world.upstream.calls == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # Hop by hop: what a proxy on the way must drop. Not what this one states itself.
        ("connection", "close, x-auth-subject, x-auth-roles"),
        ("te", "trailers, x-auth-subject"),
        ("upgrade", "h2c"),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/v1/accounts"),
        ("x-rewrite-url", "/v1/accounts"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-client-cert", "URI=spiffe://holdfast.local/network/demo"),
    ],
)
async def test_headers_for_other_proxies_change_nothing(
    world: World, name: str, value: str
) -> None:
    headers = {**world.bearer(roles="merchant"), name: value}
    answer = await world.web.get(PATH, headers=headers)

    # Refused or taken as it is; never another call, never another caller.
    assert answer.status_code in (200, 400, 403), answer.text
    for call in world.upstream.calls:
        assert (call.method, call.request.authorization_id) == ("GetAuthorization", "auth_1")
        assert call.identity.principal == "usr_alice"
        assert call.identity.roles == {"merchant"}
        assert call.values("x-forwarded-client-cert") == []


async def test_two_credentials_are_none(world: World) -> None:
    """One proxy would take the first, the next one the last."""
    tokens = [world.token(), world.token(sub="usr_bob")]
    headers = [("authorization", f"Bearer {token}") for token in tokens]
    answer = await world.web.get(PATH, headers=headers)

    assert answer.status_code == 401
    assert world.upstream.calls == []


#: What HTTP/2 can carry and HTTP/1 would split.
FORBIDDEN: dict[str, tuple[tuple[str, str], ...]] = {
    "a line feed": (("x-one", "1\r\nx-auth-subject: usr_root"),),
    "a header after a colon": (("x-one: 1\r\nx-auth-subject", "usr_root"),),
    "chunks": (("transfer-encoding", "chunked"),),
    "connection": (("connection", "x-auth-subject"),),
    "upper case": (("X-Auth-Subject", "usr_root"),),
    "two paths": ((":path", "/v1/accounts"),),
    "a late path": (("x-one", "1"), (":path", "/v1/accounts")),
    "a wrong length": (("content-length", "7"),),
}


async def _over_http2(world: World, *more: tuple[str, str]) -> list[h2.events.Event] | None:
    """What comes back for a call with these headers, too; None: the connection is closed."""
    config = h2.config.H2Configuration(
        client_side=True,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        header_encoding="utf-8",
    )
    connection = h2.connection.H2Connection(config=config)
    connection.initiate_connection()
    target = ((":method", "GET"), (":scheme", "http"), (":authority", "edge"), (":path", PATH))
    token = ("authorization", f"Bearer {world.token()}")
    connection.send_headers(1, [*target, token, *more], end_stream=True)
    # Envoy closes such a connection a second after it has found out.
    answer = await _exchange(world, connection.data_to_send(), patience_s=3)
    return None if answer is None else connection.receive_data(answer)


async def test_http2_headers_are_what_they_may_be(world: World) -> None:
    """A library without scruples sends them: the connection ends, and no call is made of it."""
    good = await _over_http2(world)
    assert good is not None
    assert any(isinstance(one, h2.events.ResponseReceived) for one in good)
    world.upstream.calls.clear()

    answers = await asyncio.gather(*(_over_http2(world, *more) for more in FORBIDDEN.values()))
    assert dict(zip(FORBIDDEN, answers, strict=True)) == dict.fromkeys(FORBIDDEN)
    assert world.upstream.calls == []
