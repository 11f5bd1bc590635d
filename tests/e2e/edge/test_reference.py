"""What the edge serves to whoever asks: its OpenAPI document, and a page to read."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256

from runtime.openapi import document
from tests.e2e.edge.world import World


async def test_the_document_is_the_contracts(world: World) -> None:
    answer = await world.web.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads(json.dumps(document()))


async def test_the_page_needs_nothing_else(world: World) -> None:
    """Every operation is on it, and nothing is fetched or run for it."""
    answer = await world.web.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(r"<(script|link|img|iframe)|(src|href)=.https?:", answer.text)
    for verbs in document()["paths"].values():
        for operation in verbs.values():
            assert f'id="{operation["operationId"]}"' in answer.text


async def test_the_page_of_a_report_runs_its_own_script_only(world: World) -> None:
    """And asks nobody but the edge; no other page shows it within itself."""
    answer = await world.web.get("/reports")
    assert answer.status_code == 200
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = dict(
        one.split(" ", 1) for one in answer.headers["content-security-policy"].split("; ")
    )
    assert policy == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert not re.search(r"<(link|img|iframe)|src=|https?://|innerHTML|\son\w+=", answer.text)
    paths = set(document()["paths"])
    for path in ("/v1/sessions:login", "/v1/sessions:logout", "/v1/reports/{report_id}:download"):
        assert path in paths
        assert path.replace("{report_id}", "${report}") in script


async def test_they_are_all_that_is_served(world: World) -> None:
    """No other method, and no other path, without a token."""
    for verb, path in (
        ("POST", "/openapi.json"),
        ("POST", "/reports"),
        ("GET", "/docs/x"),
        ("GET", "/openapi.json/x"),
    ):
        answer = await world.web.request(verb, path)
        assert answer.status_code == 401, (verb, path)
    assert (await world.web.get("/docs/x", headers=world.bearer())).status_code == 404
