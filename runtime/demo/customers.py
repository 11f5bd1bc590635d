"""Scenes of a customer: from nobody to a card, and to the number on it."""

from __future__ import annotations

import asyncio
import secrets
from base64 import b32decode
from typing import Any

import httpx

from gateway import totp
from holdfast.accounts.v1 import card_pb2, programme_pb2
from holdfast.accounts.v1 import programme_service_pb2 as programmes
from holdfast.accounts.v1 import vault_service_pb2 as vault
from runtime.clock import SystemClock
from runtime.demo import answers, requests, web
from runtime.demo.stage import CURRENCY, DemoFailedError, Holder, Person, Stage, money
from runtime.mesh_client import CALL_TIMEOUT_S

_PROGRAMME = "prog_gold"
_BIN = "400000"
_REQUESTED_MINOR = 500_000
_LIMIT_MINOR = 200_000
#: The sandbox bureau finds this one middling: a person has to look.
_TAX_ID = "512-34-0008"
_LOOKS, _LOOK_S = 100, 0.1


async def register(stage: Stage, name: str) -> tuple[str, dict[str, str]]:
    """Registers somebody; returns the user's id, and what it logs in with."""
    # Made up here, for one mesh that lives for a minute.
    login = {
        "email": f"{name.lower()}.{secrets.token_hex(4)}@example.com",
        "password": secrets.token_urlsafe(18),
    }
    body = {**login, "name": f"{name} Sample"}
    registered = await web.post(stage, "/v1/users:register", body, {})
    return registered["user_id"], login


async def apply(stage: Stage) -> None:
    """Somebody whom nobody knew has a card that works."""
    stage.scene("Alice registers, logs in, applies for a card, and pays with it")
    await _offer_programme(stage)
    user_id, login = await register(stage, "Alice")
    session = await web.post(stage, "/v1/sessions:login", login, {})
    alice = stage.people["Alice"] = Person(
        user_id=user_id, tokens=session["tokens"], password=login["password"]
    )
    roles = session["session"]["roles"]
    stage.check("roles", found=roles, expected=["cardholder"])
    stage.tell(
        f"registered and logged in: a token for {alice.tokens['expires_in_s']} s, role {roles[0]}",
        user_id=user_id,
    )
    profile = await _profile(stage, user_id)
    stage.check("the profile", found=profile["masked"], expected=True)
    stage.tell(
        f"her profile, as an operator sees it: {profile['name']}, {profile['email']}",
        email=profile["email"],
    )
    submitted = await web.post(stage, "/v1/applications", _application(), alice.bearer)
    path = f"/v1/applications/{submitted['application']['id']}"
    checked = await _checked(stage, path, alice)
    stage.check("state", found=checked["state"], expected="STATE_IN_REVIEW")
    judged = web.answer_of(stage, await stage.mesh.web.get(path))["application"]["decision"]
    stage.tell(f"applied for a limit of {money(_REQUESTED_MINOR)}: IN_REVIEW")
    stage.tell(
        f"the scorecard gives {judged['score']} of 1,000, so a person looks; it counted\n"
        f"  {', '.join(judged['factors'][:3])}, …",
        score=judged["score"],
    )
    await _approve(stage, path, alice)
    card_id = stage.holders["Alice"].card_id
    await answers.approved(stage, requests.purchase(stage, card_id, 1_275, requests.COFFEE))


async def _profile(stage: Stage, user_id: str) -> dict[str, Any]:
    """The profile of somebody who has just registered: it appears a moment later."""
    for _ in range(_LOOKS):
        answer = await stage.mesh.web.get(f"/v1/users/{user_id}")
        if answer.status_code != httpx.codes.NOT_FOUND:
            profile: dict[str, Any] = web.answer_of(stage, answer)["user"]
            return profile
        await asyncio.sleep(_LOOK_S)
    raise DemoFailedError(f"{user_id} has no profile after {_LOOKS * _LOOK_S:.0f} s")


async def _offer_programme(stage: Stage) -> None:
    """The product that is applied for."""
    underwriting = programme_pb2.Underwriting(
        credit_limit_min=requests.money_of(50_000), credit_limit_max=requests.money_of(1_000_000)
    )
    await stage.mesh.programmes.CreateProgramme(
        programmes.CreateProgrammeRequest(
            request_id=stage.request_id(),
            programme_id=_PROGRAMME,
            display_name="Gold",
            kind=programme_pb2.Programme.KIND_CONSUMER,
            network=programme_pb2.Programme.NETWORK_VISA,
            currency_code=CURRENCY,
            bin=_BIN,
            underwriting=underwriting,
            first_card_kind=card_pb2.Card.KIND_VIRTUAL,
        ),
        timeout=CALL_TIMEOUT_S,
    )


def _application() -> dict[str, Any]:
    return {
        "programme_id": _PROGRAMME,
        "requested_limit": web.json_money(_REQUESTED_MINOR),
        "applicant": {
            "legal_name": "Alice Sample",
            "birth_date": "1987-05-04",
            "tax_id": _TAX_ID,
            "annual_income": web.json_money(7_200_000),
            "housing": "HOUSING_RENTS",
            "monthly_housing": web.json_money(150_000),
            "employment": "EMPLOYMENT_EMPLOYED",
            "employment_months": 48,
            "consents_to_credit_check": True,
            "accepts_terms": True,
        },
    }


async def _checked(stage: Stage, path: str, applicant: Person) -> dict[str, Any]:
    """The application once its checks have run: the applicant asks now and then."""
    for _ in range(_LOOKS):
        answer = web.answer_of(stage, await web.get(stage, path, applicant.bearer))
        application: dict[str, Any] = answer["application"]
        if application["state"] != "STATE_SUBMITTED":
            return application
        await asyncio.sleep(_LOOK_S)
    raise DemoFailedError(f"{path}: the checks did not run within {_LOOKS * _LOOK_S:.0f} s")


async def _approve(stage: Stage, path: str, applicant: Person) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    approved = web.answer_of(
        stage,
        await stage.mesh.web.post(
            f"{path}:approve",
            json={"credit_limit": web.json_money(_LIMIT_MINOR)},
            headers={"Idempotency-Key": stage.request_id()},
        ),
    )["application"]
    took_ms = (loop.time() - began) * 1000
    found = (approved["state"], approved["fulfilled"])
    stage.check("approval", found=found, expected=("STATE_APPROVED", True))
    card_path = f"/v1/cards/{approved['card_id']}"
    card = web.answer_of(stage, await web.get(stage, card_path, applicant.bearer))["card"]
    stage.check("state", found=card["state"], expected="STATE_ACTIVE")
    stage.holders["Alice"] = Holder(
        name="Alice",
        account_id=approved["account_id"],
        card_id=card["id"],
        limit_minor=_LIMIT_MINOR,
    )
    stage.tell(
        f"an operator approves {money(_LIMIT_MINOR)}; {took_ms:.0f} ms later she has an account"
        f"\n  and a virtual card, …{card['last4']}",
        application=approved["state"],
        card_id=card["id"],
    )


async def reveal(stage: Stage) -> None:
    """A number is shown to its holder, who has to prove it twice, and it is on record."""
    stage.scene("Alice looks at her card's number: with a second factor, and on record")
    alice, card_id = stage.people["Alice"], stage.holders["Alice"].card_id
    path = f"/v1/cards/{card_id}:reveal"
    refused = await web.send(stage, path, {}, alice.bearer)
    found = (refused.status_code, web.reason_of(refused))
    expected = (httpx.codes.FORBIDDEN, "SECOND_FACTOR_REQUIRED")
    stage.check("without a second factor", found=found, expected=expected)
    stage.tell(f"with her password alone: HTTP {refused.status_code}, {found[1]}", style="yellow")
    await _second_factor(stage, alice)
    shown = await web.post(stage, path, {}, alice.bearer)
    pan = shown["pan"]
    stage.check("the number", found=(pan[:6], len(pan)), expected=(_BIN, 16))
    stage.tell(
        f"with a code of her app: {pan[:6]}******{pan[-4:]} and its CVV (masked only here)",
        style="green",
    )
    resolved = await stage.mesh.vault.ResolvePan(
        vault.ResolvePanRequest(pan=pan), timeout=CALL_TIMEOUT_S
    )
    stage.tell("card networks ask once which card that number is, and get a token")
    request = requests.purchase(stage, resolved.pan_token, 1_500, requests.ONLINE)
    await answers.approved(stage, request)
    await _show_reveals(stage, alice, card_id)


async def _second_factor(stage: Stage, person: Person) -> None:
    """An app for codes is added, and a new token says that a code was given."""
    known = {"password": person.password}
    enrolled = await web.post(stage, "/v1/secondFactors:enroll", known, person.bearer)
    step = SystemClock().now_ms() // totp.STEP_MS
    code = totp.code_at(b32decode(enrolled["secret"]), step)
    await web.post(stage, "/v1/secondFactors:confirm", {"code": code}, person.bearer)
    old = {"refresh_token": person.tokens["refresh_token"]}
    person.tokens = (await web.post(stage, "/v1/sessions:refresh", old, {}))["tokens"]


async def _show_reveals(stage: Stage, person: Person, card_id: str) -> None:
    entries = [
        (one.id, one.entry)
        for one in await stage.backstage.audited(card_id)
        if one.entry.method.endswith("/RevealCard")
    ]
    found = [(entry.actor, entry.code) for _, entry in entries]
    expected = [(person.user_id, "PERMISSION_DENIED"), (person.user_id, "OK")]
    stage.check("the audit log", found=found, expected=expected)
    for row, entry in entries:
        stage.tell(
            f"audit log, row {row}: RevealCard, Alice, {entry.reason or entry.code}",
            revealed=entry.code,
        )
