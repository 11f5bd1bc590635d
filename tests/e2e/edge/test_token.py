"""Who gets past the edge: every way a token can be wrong, over JSON and over gRPC."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.authz.v1 import authorization_service_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as pb_grpc
from runtime.identity import Claims
from tests.e2e.edge.world import ENDED_SESSION, World, until

PATH = "/v1/authorizations/auth_1"


def _unsigned(world: World) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, world.claims())
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts
    ]
    return f"{encoded[0]}.{encoded[1]}."


def _hs256_with_public_key(world: World) -> str:
    """The classic confusion: the public key as the secret of a symmetric algorithm."""
    key = world.keys.read()[0]
    public = key.private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header = {"alg": "HS256", "typ": "JWT", "kid": key.kid}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, world.claims())
    ]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        b".".join(parts), public
    )
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def _foreign_key(world: World, kid: str | None = None) -> str:
    own = world.keys.read()[0].kid
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(world.claims(), key, algorithm="ES256", headers={"kid": kid or own})


def _key_of_its_own(world: World) -> str:
    """Says by which key it is to be checked: within, and where to fetch it."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    kid = world.keys.read()[0].kid
    header = {"kid": kid, "jwk": public, "jku": "https://evil.example/keys", "x5u": "file:///k"}
    return jwt.encode(world.claims(), key, algorithm="ES256", headers=header)


def _other_claims(world: World) -> str:
    """The signature of one good token under the claims of another."""
    head, _, signature = world.token(roles="merchant").split(".")
    return ".".join((head, world.token(sub="usr_root").split(".")[1], signature))


def _ago(seconds: int) -> int:
    return int(time.time()) - seconds


BAD: dict[str, Callable[[World], str]] = {
    "expired": lambda w: w.token(iat=_ago(900), nbf=_ago(900), exp=_ago(60)),
    "not yet valid": lambda w: w.token(nbf=_ago(-120)),
    "without expiry": lambda w: w.token(exp=None),
    "far too long-lived": lambda w: w.token(exp=_ago(-7200)),
    "for another audience": lambda w: w.token(aud="somebody-else"),
    "for nobody": lambda w: w.token(aud=None),
    "from another issuer": lambda w: w.token(iss="https://evil.example"),
    "not signed": _unsigned,
    "signed with the public key": _hs256_with_public_key,
    "signed with a foreign key": _foreign_key,
    "with an unknown kid": lambda w: _foreign_key(w, "nobody"),
    "with a path as kid": lambda w: _foreign_key(w, "../../../../dev/null"),
    "with a key of its own": _key_of_its_own,
    "with another's claims": _other_claims,
    "not a token": lambda _: "junk",
    "empty": lambda _: "",
    "changed": lambda w: w.token()[:-4] + "AAAA",
}
#: Envoy knows who this is, and says that the token was made for somebody else.
FORBIDDEN = ("for another audience", "for nobody")


@pytest.mark.parametrize("name", BAD)
async def test_json_is_refused(world: World, name: str) -> None:
    header = f"Bearer {BAD[name](world)}".strip()
    answer = await world.web.get(PATH, headers={"authorization": header})

    assert answer.status_code == (403 if name in FORBIDDEN else 401)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["code"] == (7 if name in FORBIDDEN else 16)
    assert answer.json()["details"] == []
    assert answer.json()["message"]
    assert world.upstream.calls == []


@pytest.mark.parametrize("name", BAD)
async def test_grpc_is_refused(world: World, name: str) -> None:
    async with world.edge_channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await pb_grpc.AuthorizationServiceStub(channel).GetAuthorization(
                pb.GetAuthorizationRequest(authorization_id="auth_1"),
                metadata=[("authorization", f"Bearer {BAD[name](world)}")],
            )
    denied, unknown = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
    assert error.value.code() is (denied if name in FORBIDDEN else unknown)
    assert world.upstream.calls == []


@pytest.mark.parametrize(
    "path",
    [PATH, "/nowhere", "/", "/holdfast.authz.v1.ProjectionService/ApplyAccount"],
)
async def test_no_path_is_open_without_a_token(world: World, path: str) -> None:
    answer = await world.web.get(path)
    assert (answer.status_code, answer.json()["code"]) == (401, 16)


async def test_a_token_in_the_url_is_no_token(world: World) -> None:
    answer = await world.web.get(PATH, params={"access_token": world.token()})
    assert answer.status_code == 401


async def test_a_good_token_names_the_caller(world: World) -> None:
    answer = await world.web.get(PATH, headers=world.bearer(roles="auditor merchant"))

    assert answer.status_code == 200
    call = world.upstream.last
    assert call.identity.principal == "usr_alice"
    assert call.identity.roles == {"auditor", "merchant"}
    assert call.request.authorization_id == "auth_1"
    # The token itself goes no further.
    assert call.values("authorization") == []


async def test_what_else_a_token_says(world: World) -> None:
    company = f"co_2a{'0' * 32}"
    claims = {"company": company, "sid": "ses-1", "mfa_time": 1_700_000_000}
    answer = await world.web.get(PATH, headers=world.bearer(**claims))

    assert answer.status_code == 200
    found = world.upstream.last.identity.claims
    assert found == Claims(company_id=company, session_id="ses-1", mfa_time_s=1_700_000_000)


async def test_a_token_of_an_ended_session_is_refused(world: World) -> None:
    answer = await world.web.get(PATH, headers=world.bearer(sid=ENDED_SESSION))
    assert answer.status_code == 401
    assert answer.json()["details"][0]["reason"] == "SESSION_ENDED"
    assert world.upstream.calls == []


@pytest.mark.parametrize(
    "changes",
    [{"sub": None}, {"sub": ""}],
)
async def test_a_token_without_subject_is_nobody(world: World, changes: dict[str, Any]) -> None:
    answer = await world.web.get(PATH, headers=world.bearer(**changes))
    assert answer.status_code == 401
    assert answer.json()["code"] == 16


async def test_the_key_set_is_public_and_complete(world: World) -> None:
    """Public, and its caller is `anonymous` whatever it claims to be."""
    answer = await world.web.get("/.well-known/jwks.json", headers={"x-auth-subject": "usr_root"})

    assert answer.status_code == 200
    keys = answer.json()["keys"]
    assert {key["alg"] for key in keys} == {"ES256"}
    assert set(keys[0]) == {"kty", "kid", "use", "alg", "crv", "x", "y"}


async def test_a_key_made_later_is_published(world: World) -> None:
    kid = world.keys.rotate()

    async def published() -> bool:
        answer = await world.web.get("/.well-known/jwks.json")
        return kid in [one["kid"] for one in answer.json()["keys"]]

    await until(published)
