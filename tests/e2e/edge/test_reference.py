"""What the edge serves to whoever asks: its OpenAPI document, and a page to read."""

from __future__ import annotations

import json
import re

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
    assert not re.search(r"<(script|link|img|iframe)|https?://", answer.text)
    for verbs in document()["paths"].values():
        for operation in verbs.values():
            assert f'id="{operation["operationId"]}"' in answer.text


async def test_they_are_all_that_is_served(world: World) -> None:
    """No other method, and no other path, without a token."""
    for verb, path in (("POST", "/openapi.json"), ("GET", "/docs/x"), ("GET", "/openapi.json/x")):
        answer = await world.web.request(verb, path)
        assert answer.status_code == 401, (verb, path)
    assert (await world.web.get("/docs/x", headers=world.bearer())).status_code == 404
