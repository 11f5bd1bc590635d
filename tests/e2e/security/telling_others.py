"""Others who tell a mesh what is personal: who stands in a file, and who signs in elsewhere."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from runtime.devstack.supervisor import Devstack
from tests.e2e.security.telling import Person, Told
from tests.oidc_emulator import REDIRECT_URI, Emulator


async def holdfast(mesh: Devstack, *arguments: str) -> Any:
    """What a command says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from runtime.cli.main import main; main()", *arguments),
        *("--json", "--home", str(mesh.settings.home)),
        stdout=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if "HOLDFAST" not in name},
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0, stdout
    return json.loads(stdout)


async def import_and_export(mesh: Devstack, told: Told, folder: Path) -> None:
    """People of a file: rehearsed, imported, imported again, exported in full."""
    mark = uuid.uuid4().hex[:8]
    row = {
        "reference": f"core-banking-{mark}",
        "name": "Ignatius Throckmorton",
        "email": f"i.throckmorton.{mark}@example.com",
        "phone": "+12025550167",
        "birth_date": "1948-11-03",
        "tax_id": "531-46-2097",
        "tax_country_code": "US",
        "line1": "902 Persimmon Quay",
        "city": "Gaithersburg",
        "region": "MD",
        "postal_code": "20878",
        "country_code": "US",
        "verified": "true",
    }
    path, out = folder / "users.csv", folder / "out.csv"
    with path.open("w", newline="") as text:
        table = csv.DictWriter(text, list(row))
        table.writeheader()
        table.writerow(row)
    await holdfast(mesh, "import", "users", str(path), "--dry-run")
    for created in (1, 0):
        assert (await holdfast(mesh, "import", "users", str(path)))["created"] == created
    await holdfast(mesh, "export", "users", str(out), "--full")
    assert row["tax_id"] in out.read_text()
    personal = ("reference", "name", "email", "birth_date", "tax_id", "line1")
    told.personal.update({f"the imported {name}": row[name] for name in personal})
    told.personal["the imported phone"] = row["phone"].lstrip("+")


async def come_from_an_issuer(web: httpx.AsyncClient, told: Told, elsewhere: Emulator) -> None:
    """Somebody signs in elsewhere, and is registered; gateway shows the issuer a secret of ours."""
    mark = uuid.uuid4().hex[:8]
    subject, address = f"subject-{mark}", f"o.quillfeather.{mark}@example.com"
    name = "Ottoline Quillfeather"
    told.personal.update(
        {
            "the issuer's subject": subject,
            "the issuer's address": address,
            "the issuer's name": name,
        }
    )
    person = Person(web, told)
    elsewhere.knows(subject, email=address, email_verified=True, name=name)
    begun = await person.post("/v1/sessions:beginOidc", issuer="sweep", redirect_uri=REDIRECT_URI)
    url = begun["authorization_url"]
    person.keep(flow=begun["flow_token"], nonce=parse_qs(urlsplit(url).query)["nonce"][0])
    state, code = await asyncio.to_thread(elsewhere.agree, url, subject)
    person.keep(authorization_code=code)
    shown = {"flow_token": begun["flow_token"], "state": state, "authorization_code": code}
    completed = await person.post("/v1/sessions:completeOidc", **shown)
    assert completed["registered"]
    person.take(completed["tokens"])
    # One that is begun and not ended stays where sign-ins under way are kept.
    left = await person.post("/v1/sessions:beginOidc", issuer="sweep", redirect_uri=REDIRECT_URI)
    person.keep(left_flow=left["flow_token"])
