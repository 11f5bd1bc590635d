"""A mesh that was told secrets and what is personal, for those who look for it."""

from __future__ import annotations

import asyncio
import ssl

import httpx
import pytest

from runtime import pki
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import connect
from tests.e2e.security.telling import (
    PASSWORD,
    Person,
    Staff,
    Told,
    apply_and_invite,
    export_everything,
    see_the_card,
)
from tests.e2e.security.telling_others import come_from_an_issuer, import_and_export
from tests.oidc_emulator import Emulator


@pytest.fixture(scope="session")
async def told(
    full_mesh: Devstack, elsewhere: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Told:
    """All of it, done once."""
    told = Told()
    url = f"https://localhost:{full_mesh.ports['edge_https']}"
    trust = ssl.create_default_context(cafile=str(pki.ca_path(full_mesh.settings)))
    async with (
        connect(full_mesh.settings, full_mesh.ports) as client,
        httpx.AsyncClient(base_url=url, verify=trust, timeout=10) as web,
    ):
        person = Person(web, told)
        await person.sign_up()
        await person.forget_the_password(full_mesh.settings.home)
        await person.second_factor()
        staff = Staff(client, person)
        await staff.look_people_up()
        await staff.api_key()
        await see_the_card(full_mesh, person, await staff.card())
        await apply_and_invite(person, staff)
        await export_everything(person)
        await import_and_export(full_mesh, told, tmp_path_factory.mktemp("told"))
        await come_from_an_issuer(web, told, elsewhere)
        # Whoever is refused is not quoted.
        refused = await web.get("/v1/accounts", headers={"authorization": f"Bearer {PASSWORD}"})
        assert refused.status_code == 401
        await asyncio.sleep(2)  # usage log, sealer, settler and outboxes have written
    return told
