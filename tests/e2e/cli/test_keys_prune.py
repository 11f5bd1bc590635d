"""`holdfast keys prune` on a running mesh."""

from __future__ import annotations

import json

from runtime.devstack.supervisor import Devstack
from tests.e2e.cli.conftest import Holdfast


async def test_rings_are_pruned_by_what_the_stores_need(
    full_mesh: Devstack, holdfast: Holdfast
) -> None:
    home = str(full_mesh.settings.home)
    for ring in ("vault-sealing", "gateway-users", "gateway-requests"):
        ended = await holdfast("keys", "prune", ring, "--home", home, "--json")
        assert ended.code == 0, ended.stderr
        assert json.loads(ended.stdout) == {"removed": [], "left": 1}
    refused = await holdfast("keys", "prune", "person-references", "--home", home)
    assert (refused.code, "no key ring that may be pruned" in refused.stderr) == (2, True)
