"""A person is told: through the edge, from an event to a mail, and what a mail leads to."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from holdfast.authz.v1.authorization_pb2 import Merchant
from holdfast.authz.v1.authorization_service_pb2 import AuthorizeRequest
from holdfast.type.v1.money_pb2 import Money
from runtime import pki
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient, connect
from tests.mailbox import mail, mails, reset_token, text_of

PASSWORD, NEW = "correct horse battery", "another long password"
USD = "USD"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
async def web(full_mesh: Devstack) -> AsyncIterator[httpx.AsyncClient]:
    """A client that trusts the mesh, and has nothing else."""
    url = f"https://localhost:{full_mesh.ports['edge_https']}"
    trust = ssl.create_default_context(cafile=str(pki.ca_path(full_mesh.settings)))
    async with httpx.AsyncClient(base_url=url, verify=trust, timeout=10) as client:
        yield client


async def send(
    web: httpx.AsyncClient, path: str, *, bearer: str = "", status: int = 200, **body: Any
) -> Any:
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    sent = {"request_id": uuid.uuid4().hex, **body}
    answer = await web.post(path, json=sent, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


async def declined(staff: MeshClient, user_id: str) -> None:
    """A purchase of the user that is declined."""
    limit = {"currency_code": USD, "amount_minor": "1000"}
    opened = await send(staff.web, "/v1/accounts", owner_id=user_id, credit_limit=limit)
    made = {"account_id": opened["account"]["id"], "kind": "KIND_VIRTUAL", "user_id": user_id}
    issued = await send(staff.web, "/v1/cards", **made)
    answer = await staff.network.Authorize(
        AuthorizeRequest(
            request_id=uuid.uuid4().hex,
            card_id=issued["card"]["id"],
            amount=Money(currency_code=USD, amount_minor=1_234),
            merchant=Merchant(descriptor="Corner Coffee", category_code="5814", country_code="US"),
        ),
        timeout=10,
    )
    assert answer.decline_reason


async def test_from_a_purchase_to_a_mail_and_out_again(
    full_mesh: Devstack, web: httpx.AsyncClient
) -> None:
    home, email = full_mesh.settings.home, f"{uuid.uuid4().hex}@example.com"
    registered = await send(web, "/v1/users:register", email=email, password=PASSWORD, name="Ada")
    user_id = registered["user_id"]
    login = await send(web, "/v1/sessions:login", email=email, password=PASSWORD)
    token = login["tokens"]["access_token"]
    mine = {"authorization": f"Bearer {token}"}
    async with connect(full_mesh.settings, full_mesh.ports) as staff:
        await declined(staff, user_id)
    told = await mail(home, email, lambda one: "declined" in one["Subject"])
    assert text_of(told).startswith(
        "Hello Ada,\n\nA purchase of 12.34 USD was declined: insufficient credit."
    )
    path = f"/v1/users/{user_id}/notification-preferences"

    async def channels(kind: str) -> list[str]:
        found = (await web.get(path, headers=mine)).json()["preferences"]
        chosen = {one["kind"]: one.get("channels", []) for one in found["choices"]}
        return list(chosen[f"NOTIFICATION_KIND_{kind}"])

    link = urlsplit(told["List-Unsubscribe"].strip("<>"))
    assert told["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = f"{link.path}?{link.query}"
    # Scanners open links, and try what they find; none of that is a click.
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
        opened = await web.request(method, url)
        assert opened.status_code >= 400, method
    assert await channels("PURCHASE_DECLINED") == ["NOTIFICATION_CHANNEL_EMAIL"]
    forged = await web.post(f"{url[:-4]}AAAA", data=ONE_CLICK)
    assert forged.status_code == 400, forged.text
    assert await channels("PURCHASE_DECLINED") == ["NOTIFICATION_CHANNEL_EMAIL"]
    # One click of a mail program: a form of either kind, without any login, perhaps twice. Then
    # what the page behind the link does, without a body.
    for sent in (
        {"data": ONE_CLICK},
        {"files": {name: (None, one) for name, one in ONE_CLICK.items()}},
        {},
    ):
        clicked = await web.post(url, **sent)
        assert clicked.status_code == 200, clicked.text
        assert clicked.json()["kind"] == "NOTIFICATION_KIND_PURCHASE_DECLINED"
        assert await channels("PURCHASE_DECLINED") == []
    assert await channels("SECURITY") == ["NOTIFICATION_CHANNEL_EMAIL"]
    changed = await send(
        web,
        f"{path}:update",
        bearer=token,
        preferences={
            "choices": [{"kind": "NOTIFICATION_KIND_LOW_CREDIT", "channels": []}],
            "quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "America/New_York"},
            "large_purchase_minor": "2500",
        },
    )
    assert changed["preferences"]["large_purchase_minor"] == "2500"
    listed = await web.get(f"/v1/users/{user_id}/notifications", headers=mine)
    (one,) = listed.json()["notifications"]
    assert (one["topic"], one["state"]) == ("authorization.declined", "STATE_SENT")
    stranger = f"/v1/users/usr_0a{uuid.uuid4().hex}/notifications"
    assert (await web.get(stranger, headers=mine)).status_code == 404


async def test_a_forgotten_password(full_mesh: Devstack, web: httpx.AsyncClient) -> None:
    home, email = full_mesh.settings.home, f"{uuid.uuid4().hex}@example.com"
    await send(web, "/v1/users:register", email=email, password=PASSWORD, name="Ada")
    stranger = f"{uuid.uuid4().hex}@example.com"
    for address in (email, stranger):
        assert await send(web, "/v1/users:requestPasswordReset", email=address) == {}
    token = await reset_token(home, email)
    path = "/v1/users:resetPassword"
    wrong = await send(web, path, token="x" + token, new_password=NEW, status=401)
    assert wrong["details"][0]["reason"] == "WRONG_RESET_TOKEN"
    await send(web, path, token=token, new_password=NEW)
    await send(web, path, token=token, new_password=NEW, status=401)
    await send(web, "/v1/sessions:login", email=email, password=PASSWORD, status=401)
    await send(web, "/v1/sessions:login", email=email, password=NEW)
    await mail(home, email, lambda one: one["Subject"] == "Your password was changed")
    assert not mails(home, stranger)
