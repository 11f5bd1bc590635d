"""Puts the parts of payments together, for the process and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from holdfast.payments.v1 import (
    back_office_service_pb2,
    erasure_service_pb2,
    event_feed_service_pb2,
    funding_source_service_pb2,
    hook_service_pb2,
    payment_service_pb2,
    refund_service_pb2,
    transfer_service_pb2,
)
from holdfast.payments.v1.back_office_service_pb2_grpc import (
    add_BackOfficeServiceServicer_to_server,
)
from holdfast.payments.v1.erasure_service_pb2_grpc import add_ErasureServiceServicer_to_server
from holdfast.payments.v1.event_feed_service_pb2_grpc import (
    add_EventFeedServiceServicer_to_server,
)
from holdfast.payments.v1.funding_source_service_pb2_grpc import (
    add_FundingSourceServiceServicer_to_server,
)
from holdfast.payments.v1.hook_service_pb2_grpc import add_HookServiceServicer_to_server
from holdfast.payments.v1.payment_service_pb2_grpc import add_PaymentServiceServicer_to_server
from holdfast.payments.v1.refund_service_pb2_grpc import add_RefundServiceServicer_to_server
from holdfast.payments.v1.transfer_service_pb2_grpc import add_TransferServiceServicer_to_server
from payments import ownership
from payments.back_office_service import BackOfficeService
from payments.books import Books
from payments.eraser import Eraser
from payments.erasure_service import ErasureService
from payments.erasure_store import ErasureStore
from payments.event_feed_service import EventFeedService
from payments.funding_source_service import FundingSourceService
from payments.holders import Holders
from payments.hook_service import HookService, Verify
from payments.hooks import Hooks
from payments.in_house import InHouse
from payments.mutation import Mutations
from payments.payment import Source
from payments.payment_service import PaymentService
from payments.processor import Connector, Processor
from payments.refund_service import RefundService
from payments.refund_store import RefundStore
from payments.refund_worker import RefundWorker
from payments.settings import PaymentsSettings
from payments.steps import Steps
from payments.store import Store
from payments.stripe_words import TYPES
from payments.transfer_service import TransferService
from payments.worker import Worker
from runtime.clock import Clock
from runtime.events.outbox import EventOutbox
from runtime.secrets import secret_text
from runtime.server import Server

if TYPE_CHECKING:
    from payments.stripe_processor import StripeProcessor

SERVICE_NAMES = (
    payment_service_pb2.DESCRIPTOR.services_by_name["PaymentService"].full_name,
    funding_source_service_pb2.DESCRIPTOR.services_by_name["FundingSourceService"].full_name,
    back_office_service_pb2.DESCRIPTOR.services_by_name["BackOfficeService"].full_name,
    hook_service_pb2.DESCRIPTOR.services_by_name["HookService"].full_name,
    event_feed_service_pb2.DESCRIPTOR.services_by_name["EventFeedService"].full_name,
    transfer_service_pb2.DESCRIPTOR.services_by_name["TransferService"].full_name,
    refund_service_pb2.DESCRIPTOR.services_by_name["RefundService"].full_name,
    erasure_service_pb2.DESCRIPTOR.services_by_name["ErasureService"].full_name,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What works by itself, and what it works with."""

    store: Store
    steps: Steps
    worker: Worker
    refunds: RefundWorker
    eraser: Eraser
    processors: dict[Source, Processor]
    hooks: Hooks
    events: EventOutbox
    #: None: nothing is charged through Stripe.
    stripe: StripeProcessor | None


def add_services(
    server: Server,
    pool: asyncpg.Pool,
    *,
    books: Books,
    holders: Holders,
    settings: PaymentsSettings,
    clock: Clock,
) -> Parts:
    """Adds all that payments answers."""
    store = Store(pool)
    processors: dict[Source, Processor] = {Source.IN_HOUSE: InHouse(pool, clock)}
    through, verify = _stripe(settings)
    if through:
        processors |= dict.fromkeys(TYPES, through)
    steps = Steps(
        store,
        books,
        holders,
        processors,
        clock,
        hold_days=settings.hold_days,
        credit_minor=settings.payments_credit_minor,
    )
    worker = Worker(store, steps, holders, clock)
    refunds = RefundStore(store)
    refunder = RefundWorker(refunds, books, processors, clock)
    mutations = Mutations(store, clock)
    services: Any = server.services
    services.know_owners(ownership.lookups(store, refunds, holders))
    giving_back = RefundService(
        refunds, mutations, holders, books, clock, available=processors, wake=refunder.wake
    )
    add_RefundServiceServicer_to_server(giving_back, services)
    paying = PaymentService(
        store,
        mutations,
        holders,
        steps,
        clock,
        available=processors,
        credit_minor=settings.payments_credit_minor,
        wake=worker.wake,
    )
    add_PaymentServiceServicer_to_server(paying, services)
    connectors = dict.fromkeys(TYPES, through) if through else {}
    sources = FundingSourceService(
        store, mutations, holders, clock, available=processors, connectors=connectors
    )
    add_FundingSourceServiceServicer_to_server(sources, services)
    hooks = Hooks(store, clock, wake=_both(worker, refunder))
    add_HookServiceServicer_to_server(HookService(hooks, verify), services)
    _add_office(
        services, store, mutations, clock, holders=holders, settings=settings, wake=worker.wake
    )
    return Parts(
        store=store,
        steps=steps,
        worker=worker,
        refunds=refunder,
        eraser=_eraser(services, store, connectors, clock),
        processors=processors,
        hooks=hooks,
        events=_events(services, pool),
        stripe=through,
    )


def _eraser(
    services: Any, store: Store, connectors: Mapping[Source, Connector], clock: Clock
) -> Eraser:
    """What forgets from where erased people paid."""
    erasures = ErasureStore(store)
    eraser = Eraser(erasures, connectors, clock)
    service = ErasureService(erasures, clock, wake=eraser.wake)
    add_ErasureServiceServicer_to_server(service, services)
    return eraser


def _both(worker: Worker, refunder: RefundWorker) -> Callable[[], None]:
    """Something is due, of payments or of refunds."""

    def wake() -> None:
        worker.wake()
        refunder.wake()

    return wake


def _add_office(
    services: Any,
    store: Store,
    mutations: Mutations,
    clock: Clock,
    *,
    holders: Holders,
    settings: PaymentsSettings,
    wake: Callable[[], None],
) -> None:
    """What the issuer's staff do."""
    office = BackOfficeService(mutations, holders, clock, hold_days=settings.hold_days, wake=wake)
    add_BackOfficeServiceServicer_to_server(office, services)
    transfers = TransferService(store, mutations, holders, clock, wake=wake)
    add_TransferServiceServicer_to_server(transfers, services)


def _events(services: Any, pool: asyncpg.Pool) -> EventOutbox:
    """What happened, for notify to ask for."""
    events = EventOutbox(pool)
    add_EventFeedServiceServicer_to_server(EventFeedService(events), services)
    return events


def _stripe(settings: PaymentsSettings) -> tuple[StripeProcessor | None, Verify | None]:
    """Stripe and the check of its signatures, if it is configured."""
    if settings.payments_stripe == "off":
        return None, None
    from payments import stripe_processor  # noqa: PLC0415  slow and large: only where it is used

    secret = secret_text(settings, "stripe-webhook")

    def verify(body: bytes, header: str) -> None:
        stripe_processor.verify(body, header, secret)

    key = secret_text(settings, "stripe-key")
    return stripe_processor.StripeProcessor(key, settings.payments_stripe_url), verify
