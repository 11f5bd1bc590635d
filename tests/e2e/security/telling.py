"""One person tells a mesh secrets and what is personal, in every way that there is.

It signs up, signs in, changes the password, sets up a second factor, sees a card's number, applies
for credit and is approved, is invited, has everything exported; staff looks people up and makes an
API key.
"""

from __future__ import annotations

import base64
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx

from accounts.vault.pan import is_pan
from gateway.totp import code_at
from holdfast.accounts.v1.vault_service_pb2 import ResolvePanRequest
from holdfast.accounts.v1.vault_service_pb2_grpc import VaultServiceStub
from holdfast.authz.v1 import authorization_pb2
from holdfast.authz.v1 import authorization_service_pb2 as authorizations
from holdfast.type.v1.money_pb2 import Money
from runtime import pki
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.e2e.edge.world import until
from tests.mailbox import reset_token

NAME = "Wilhelmina Featherstonehaugh"
EMAIL = f"w.featherstonehaugh.{uuid.uuid4().hex[:8]}@example.com"
GUEST = f"guest.of.featherstonehaugh.{uuid.uuid4().hex[:8]}@example.com"
PASSWORD, SECOND_PASSWORD = "umbrella-Kestrel-quartz-58", "lantern-Osprey-basalt-61"
THIRD_PASSWORD = "harbour-Heron-marble-93"
WRONG_PASSWORD = "wrong-Kestrel-granite-77"
PHONE, BIRTH_DATE, TAX_ID = "+12025550143", "1951-02-27", "519-37-4862"
STREET = "4417 Quince Orchard Lane"
NOTE = "called back, spoke of the divorce"
DOCUMENT = b"%PDF-1.7 Featherstonehaugh passport P7731902"


@dataclass
class Told:
    """What must not be found, by what it is; and of whom it was."""

    user_id: str = ""
    card_id: str = ""
    application_id: str = ""

    secret: dict[str, str | bytes] = field(default_factory=dict)
    #: Secrets that mails carry, and nothing else.
    mailed: dict[str, str | bytes] = field(default_factory=dict)
    personal: dict[str, str | bytes] = field(
        default_factory=lambda: {
            "the name": NAME,
            "the email": EMAIL,
            "the invited address": GUEST,
            "the phone": PHONE.lstrip("+"),
            "the birth date": BIRTH_DATE,
            "the tax id": TAX_ID,
            "the tax id's digits": TAX_ID.replace("-", ""),
            "the street": STREET,
            "the note": NOTE,
            "the document": DOCUMENT,
        }
    )


class Person:
    """Whoever uses the edge; remembers all that is secret."""

    def __init__(self, web: httpx.AsyncClient, told: Told) -> None:
        self.web = web
        self.told = told
        self.token = ""
        self.user_id = ""

    async def post(self, path: str, *, status: int = 200, **body: Any) -> Any:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        sent = {"request_id": uuid.uuid4().hex, **body}
        answer = await self.web.post(path, json=sent, headers=headers)
        assert answer.status_code == status, (path, answer.text)
        return answer.json()

    def keep(self, **secrets: str) -> None:
        names = {f"{name} {len(self.told.secret)}": one for name, one in secrets.items()}
        self.told.secret.update(names)

    async def sign_up(self) -> None:
        self.keep(password=PASSWORD, wrong=WRONG_PASSWORD, later=SECOND_PASSWORD)
        made = await self.post("/v1/users:register", email=EMAIL, password=PASSWORD, name=NAME)
        self.user_id = self.told.user_id = made["user_id"]
        await self.post("/v1/sessions:login", status=401, email=EMAIL, password=WRONG_PASSWORD)
        await self.sign_in(PASSWORD)
        await self.post("/v1/users:changePassword", password=PASSWORD, new_password=SECOND_PASSWORD)
        await self.sign_in(SECOND_PASSWORD)
        # What cannot be read is not repeated in a log either.
        broken = f'{{"password": "{SECOND_PASSWORD}", "email": "{EMAIL}"'
        answer = await self.web.post("/v1/sessions:login", content=broken)
        assert answer.status_code == 400

    async def forget_the_password(self, home: Path) -> None:
        """A token comes by mail; it is in no other place, and the mail is for one person."""
        self.token = ""
        self.keep(latest=THIRD_PASSWORD)
        await self.post("/v1/users:requestPasswordReset", email=EMAIL)
        token = self.told.mailed["reset token"] = await reset_token(home, EMAIL)
        await self.post("/v1/users:resetPassword", token=token, new_password=THIRD_PASSWORD)
        await self.sign_in(THIRD_PASSWORD)

    async def sign_in(self, password: str) -> None:
        self.token = ""
        found = (await self.post("/v1/sessions:login", email=EMAIL, password=password))["tokens"]
        self.take(found)
        body = {"refresh_token": found["refresh_token"]}
        self.take((await self.post("/v1/sessions:refresh", **body))["tokens"])

    def take(self, tokens: dict[str, str]) -> None:
        self.keep(access=tokens["access_token"], refresh=tokens["refresh_token"])
        self.keep(signature=tokens["access_token"].rpartition(".")[2])
        self.token = tokens["access_token"]

    async def second_factor(self) -> None:
        enrolled = await self.post("/v1/secondFactors:enroll", password=THIRD_PASSWORD)
        self.keep(totp=enrolled["secret"], uri=enrolled["uri"])
        padded = enrolled["secret"] + "=" * (-len(enrolled["secret"]) % 8)
        secret = base64.b32decode(padded)
        self.told.secret["the raw TOTP secret"] = secret
        code = code_at(secret, int(time.time()) // 30)
        confirmed = await self.post("/v1/secondFactors:confirm", code=code)
        codes = confirmed["recovery_codes"]
        self.keep(**{f"recovery {number}": one for number, one in enumerate(codes)})
        shown = await self.post("/v1/secondFactors:verify", code=codes[0])
        self.token = shown["access_token"]
        self.keep(fresh=self.token)


class Staff:
    """An operator at the edge."""

    def __init__(self, client: MeshClient, person: Person) -> None:
        self.client = client
        self.person = person

    async def send(self, verb: str, path: str, **body: Any) -> Any:
        sent = {"request_id": uuid.uuid4().hex, **body}
        answer = await self.client.web.request(verb, path, json=sent)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    async def look_people_up(self) -> None:
        path = f"/v1/users/{self.person.user_id}"

        async def arrived() -> bool:
            return (await self.client.web.get(path)).status_code == 200

        await until(arrived)
        address = {
            "line1": STREET,
            "city": "Gaithersburg",
            "region": "MD",
            "postal_code": "20878",
            "country_code": "US",
        }
        known = {"phone": PHONE, "birth_date": BIRTH_DATE, "tax_id": TAX_ID, "address": address}
        await self.send("PATCH", path, **known, tax_country_code="US")
        for wanted in ({"email": EMAIL}, {"phone": PHONE}, {"tax_id": TAX_ID}):
            found = await self.send("POST", "/v1/users:search", **wanted)
            assert [one["id"] for one in found["users"]] == [self.person.user_id]
        shown = await self.client.web.get(path, params={"view": "VIEW_FULL"})
        assert shown.json()["user"]["tax_id"] == TAX_ID, "it is known, only not in clear"

    async def card(self) -> str:
        limit = {"currency_code": "USD", "amount_minor": "100000"}
        made = {"owner_id": self.person.user_id, "credit_limit": limit}
        account = (await self.send("POST", "/v1/accounts", **made))["account"]
        asked = {"account_id": account["id"], "kind": "KIND_VIRTUAL"}
        issued = (await self.send("POST", "/v1/cards", **asked))["card"]
        request = authorizations.AuthorizeRequest(
            request_id=uuid.uuid4().hex,
            card_id=issued["id"],
            amount=Money(currency_code="USD", amount_minor=1_234),
            merchant=authorization_pb2.Merchant(
                descriptor="Corner Coffee", category_code="5814", country_code="US"
            ),
        )
        await self.client.network.Authorize(request, timeout=10)
        card_id: str = issued["id"]
        return card_id

    async def api_key(self) -> None:
        made = {"owner_id": "mer_sweep", "scopes": ["authorizations:read"]}
        created = await self.send("POST", "/v1/api-keys", **made)
        rotated = await self.send("POST", f"/v1/api-keys/{created['api_key']['id']}:rotate")
        path = f"/v1/authorizations/auth_0a{'1' * 32}"
        for secret in (created["secret"], rotated["secret"]):
            self.person.keep(api_key=secret, api_key_part=secret.rpartition("_")[2])
            for headers in ({"x-api-key": secret}, {"authorization": f"Bearer {secret}"}):
                answer = await self.person.web.get(path, headers=headers)
                assert answer.status_code == 404, answer.text


async def see_the_card(mesh: Devstack, person: Person, card_id: str) -> None:
    """The holder sees the number; a network asks whose it is."""
    shown = await person.post(f"/v1/cards/{card_id}:reveal")
    assert is_pan(shown["pan"])
    person.keep(pan=shown["pan"], spaced=" ".join(shown["pan"][n : n + 4] for n in range(0, 16, 4)))
    person.told.secret["number and CVV"] = shown["pan"] + shown["cvv"]
    person.told.secret["a JSON CVV"] = f'"cvv": "{shown["cvv"]}"'
    identity = pki.load_credentials(mesh.settings, "network-demo")
    mutual = grpc.ssl_channel_credentials(identity.ca, identity.private_key, identity.certificate)
    target = f"localhost:{mesh.ports['network']}"
    async with grpc.aio.secure_channel(target, mutual) as channel:
        resolved = await VaultServiceStub(channel).ResolvePan(
            ResolvePanRequest(pan=shown["pan"]), timeout=5
        )
    assert resolved.pan_token


async def approve(person: Person, staff: Staff, path: str) -> None:
    """Staff approves what waits for it; the holder sees the number of the card that came of it."""
    mine = {"authorization": f"Bearer {person.token}"}

    async def waits() -> bool:
        found = (await person.web.get(path, headers=mine)).json()["application"]
        return bool(found["state"] == "STATE_IN_REVIEW")

    await until(waits)
    await staff.send("POST", f"/v1/users/{person.user_id}:verify")
    approved = (await staff.send("POST", f"{path}:approve"))["application"]
    shown = await person.post(f"/v1/cards/{approved['card_id']}:reveal")
    assert is_pan(shown["pan"])
    person.told.card_id, person.told.application_id = approved["card_id"], approved["id"]
    person.keep(approved_pan=shown["pan"])
    person.told.secret["approved number and CVV"] = shown["pan"] + shown["cvv"]


async def export_everything(person: Person) -> None:
    """The person reads all that is known of it, applications included, in full."""
    answer = await person.web.get(
        f"/v1/users/{person.user_id}:export",
        headers={"authorization": f"Bearer {person.token}"},
    )
    assert answer.status_code == 200, answer.text
    for text in (NAME, EMAIL, PHONE, TAX_ID, STREET):
        assert text in answer.text, "it is known, only not in clear"


async def apply_and_invite(person: Person, staff: Staff) -> None:
    """Applies for credit with a document and a note; founds a company and invites somebody."""
    usd = "USD"
    programme = f"prog_{uuid.uuid4().hex[:12]}"
    await staff.send(
        "POST",
        "/v1/programmes",
        programme_id=programme,
        display_name="Sweep",
        kind="KIND_CONSUMER",
        network="NETWORK_VISA",
        currency_code=usd,
        bin="400000",
        underwriting={
            "credit_limit_min": {"currency_code": usd, "amount_minor": "50000"},
            "credit_limit_max": {"currency_code": usd, "amount_minor": "1000000"},
            "always_review": True,
        },
    )
    submitted = await person.post(
        "/v1/applications",
        programme_id=programme,
        requested_limit={"currency_code": usd, "amount_minor": "500000"},
        applicant={
            "legal_name": NAME,
            "birth_date": BIRTH_DATE,
            "tax_id": TAX_ID,
            "annual_income": {"currency_code": usd, "amount_minor": "7200000"},
            "housing": "HOUSING_RENTS",
            "monthly_housing": {"currency_code": usd, "amount_minor": "150000"},
            "employment": "EMPLOYMENT_EMPLOYED",
            "employment_months": 48,
            "consents_to_credit_check": True,
            "accepts_terms": True,
        },
    )
    path = f"/v1/applications/{submitted['application']['id']}"
    content = base64.b64encode(DOCUMENT).decode()
    await person.post(
        f"{path}/documents",
        kind="KIND_IDENTITY",
        media_type="application/pdf",
        content=content,
    )
    await staff.send("POST", f"{path}/notes", text=NOTE)
    await approve(person, staff, path)
    founded = await person.post(
        "/v1/companies",
        legal_name="Sweep Inc.",
        registration_number="98-7654321",
        country_code="US",
    )
    invited = await person.post(
        f"/v1/companies/{founded['company']['id']}/invitations", email=GUEST, role="ROLE_EMPLOYEE"
    )
    person.keep(invitation=invited["token"])
