"""Puts the parts of applications together, for the process and for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accounts.applications.checks import Checks
from accounts.applications.documents import Documents
from accounts.applications.erasing import Erasing
from accounts.applications.export import Export
from accounts.applications.fulfilment import Fulfilling
from accounts.applications.notice import Creditor
from accounts.applications.providers import Sandbox
from accounts.applications.rotation import Rotation
from accounts.applications.sealing import ApplicationKeys
from accounts.applications.service import ApplicationService, Parts
from accounts.applications.store import Applications
from accounts.applications.worker import Worker
from accounts.mutation import Mutations
from accounts.person_keys import PersonKeys
from accounts.programme_store import Programmes
from accounts.store import Store
from accounts.vault.vault import Vault
from runtime.clock import Clock
from runtime.ids import IdSource
from runtime.objects import ObjectStorage
from runtime.outbox import Outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """What answers, and what works by itself."""

    service: ApplicationService
    worker: Worker
    rotation: Rotation
    export: Export
    erasing: Erasing


def applying(
    pool: Any,
    mutations: Mutations,
    outbox: Outbox,
    vault: Vault,
    *,
    people: PersonKeys,
    clock: Clock,
    objects: ObjectStorage,
    creditor: Creditor,
    wait_s: float,
) -> Applying:
    """Applications with the sandbox as provider, and documents in `objects`."""
    store, applications, programmes = Store(pool), Applications(pool), Programmes(pool)
    keys = ApplicationKeys(people=people)
    sandbox = Sandbox()
    checks = Checks(
        store,
        applications,
        programmes,
        keys,
        clock,
        identity=sandbox,
        credit=sandbox,
        creditor=creditor,
    )
    fulfilling = Fulfilling(store, outbox, vault, clock, wait_s=wait_s)
    worker = Worker(store, applications, checks, fulfilling, clock)
    service = ApplicationService(
        Parts(
            applications=applications,
            mutations=mutations,
            keys=keys,
            documents=Documents(keys, objects),
            checks=checks,
            fulfilling=fulfilling,
            worker=worker,
            ids=IdSource(clock),
            clock=clock,
        )
    )
    return Applying(
        service=service,
        worker=worker,
        rotation=Rotation(applications, checks, keys),
        export=Export(applications, checks),
        erasing=Erasing(pool, objects),
    )
