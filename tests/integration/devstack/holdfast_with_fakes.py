"""The `holdfast` command, with stand-ins for the services: run as a script."""

from __future__ import annotations

from runtime import envoyconfig
from runtime.cli.main import main
from runtime.devstack import services
from tests.integration.devstack import fakes

if __name__ == "__main__":
    stand_ins = fakes.mesh(authz_workers=1)
    # The stand-in for gateway serves no keys.
    envoyconfig.JWKS_READY_STATS = ()  # type: ignore[assignment]
    services.mesh = lambda *, authz_workers: stand_ins  # noqa: ARG005
    main()
