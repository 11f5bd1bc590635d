"""The mesh's services as stand-ins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runtime.devstack import services
from runtime.devstack.services import Readiness, ServiceSpec

_PROGRAM = str(Path(__file__).with_name("fake_service.py"))


def service(instance: str, kind: str = "grpc") -> ServiceSpec:
    """One stand-in: grpc, http or broken."""
    readiness = Readiness.HTTP if kind == "http" else Readiness.GRPC
    return ServiceSpec(instance=instance, arguments=(_PROGRAM, kind), readiness=readiness)


def mesh(*, authz_workers: int) -> tuple[ServiceSpec, ...]:
    """A stand-in for every service of the mesh."""
    return tuple(
        replace(spec, arguments=(_PROGRAM, str(spec.readiness)))
        for spec in services.mesh(authz_workers=authz_workers)
    )
