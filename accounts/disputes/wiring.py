"""Puts the parts of disputes together, for the process and for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc

from accounts.applications.sealing import ApplicationKeys
from accounts.disputes import convert
from accounts.disputes.documents import DisputeDocuments
from accounts.disputes.poster import DisputePoster
from accounts.disputes.purchase import Purchases
from accounts.disputes.service import DisputeService, Parts
from accounts.disputes.store import Disputes
from accounts.mutation import Mutations
from accounts.ownership_store import OwnershipStore
from accounts.person_keys import PersonKeys
from runtime import ids
from runtime.clock import Clock
from runtime.ids import IdSource
from runtime.objects import ObjectStorage
from runtime.ownership import Belongs, Lookup, Lookups


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeParts:
    """What answers, what works by itself, and to whom disputes and purchases belong."""

    service: DisputeService
    poster: DisputePoster
    lookups: Lookups


def dispute_parts(
    pool: Any,
    channel: grpc.aio.Channel,
    mutations: Mutations,
    *,
    people: PersonKeys,
    owners: OwnershipStore,
    objects: ObjectStorage,
    clock: Clock,
    delay_ms: int,
) -> DisputeParts:
    """Disputes on the service's pool, with the authorizer behind `channel`, and documents in
    `objects`.
    """
    disputes, poster = Disputes(pool), DisputePoster(pool, channel, clock)
    purchases, keys = Purchases(disputes, channel), ApplicationKeys(people=people)

    async def purchase_belongs(authorization_id: str, user_id: str) -> Belongs | None:
        card_id = await purchases.card_of(authorization_id)
        return await owners.card_belongs(card_id, user_id) if card_id else None

    service = DisputeService(
        Parts(
            disputes=disputes,
            mutations=mutations,
            keys=keys,
            documents=DisputeDocuments(keys, objects),
            purchases=purchases,
            poster=poster,
            ids=IdSource(clock),
            clock=clock,
            delay_ms=delay_ms,
        )
    )
    return DisputeParts(
        service=service,
        poster=poster,
        lookups={
            ids.AUTHORIZATION: Lookup(
                find=purchase_belongs, not_found=convert.authorization_not_found
            ),
            ids.DISPUTE: Lookup(find=disputes.belongs, not_found=convert.dispute_not_found),
        },
    )
