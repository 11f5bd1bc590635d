"""Runs the accounts service."""

from __future__ import annotations

import asyncio
from typing import Any

from accounts import ownership, upkeep
from accounts.account_service import AccountService
from accounts.applications.notice import Creditor
from accounts.applications.wiring import Applying, applying
from accounts.billing.store import Statements
from accounts.billing.wiring import BillingParts, billing_parts
from accounts.card_bulk_service import CardBulkService
from accounts.card_service import CardService
from accounts.closing import Closing
from accounts.company_service import CompanyService
from accounts.company_store import Companies
from accounts.disputes.poster import DisputePoster
from accounts.disputes.wiring import dispute_parts
from accounts.event_feed_service import EventFeedService
from accounts.holder_service import HolderService
from accounts.member_service import MemberService
from accounts.mutation import Mutations
from accounts.numbers import CardNumbers
from accounts.ownership_store import OwnershipStore
from accounts.person_keys import PersonKeys, person_keys
from accounts.programme_service import ProgrammeService
from accounts.programme_store import Programmes
from accounts.projection_store import ProjectionStore
from accounts.projector import Projector
from accounts.renewals import Renewals
from accounts.rules_flow import RulesFlow
from accounts.settings import AccountsSettings
from accounts.sign_in_address import SignInAddress
from accounts.store import Store
from accounts.user_export import UserExport
from accounts.user_service import UserService
from accounts.user_store import UserStore
from accounts.vault.guessing import Guesses
from accounts.vault.keys import vault_keys
from accounts.vault.service import VaultService
from accounts.vault.store import VaultStore
from accounts.vault.vault import Vault
from holdfast.accounts.v1 import (
    account_service_pb2,
    application_service_pb2,
    billing_service_pb2,
    card_bulk_service_pb2,
    card_service_pb2,
    company_service_pb2,
    dispute_service_pb2,
    event_feed_service_pb2,
    holder_service_pb2,
    loan_tape_service_pb2,
    member_service_pb2,
    programme_service_pb2,
    statement_service_pb2,
    user_service_pb2,
    vault_service_pb2,
)
from holdfast.accounts.v1.account_service_pb2_grpc import add_AccountServiceServicer_to_server
from holdfast.accounts.v1.application_service_pb2_grpc import (
    add_ApplicationServiceServicer_to_server,
)
from holdfast.accounts.v1.billing_service_pb2_grpc import add_BillingServiceServicer_to_server
from holdfast.accounts.v1.card_bulk_service_pb2_grpc import (
    add_CardBulkServiceServicer_to_server,
)
from holdfast.accounts.v1.card_service_pb2_grpc import add_CardServiceServicer_to_server
from holdfast.accounts.v1.company_service_pb2_grpc import add_CompanyServiceServicer_to_server
from holdfast.accounts.v1.dispute_service_pb2_grpc import add_DisputeServiceServicer_to_server
from holdfast.accounts.v1.event_feed_service_pb2_grpc import (
    add_EventFeedServiceServicer_to_server,
)
from holdfast.accounts.v1.holder_service_pb2_grpc import add_HolderServiceServicer_to_server
from holdfast.accounts.v1.loan_tape_service_pb2_grpc import add_LoanTapeServiceServicer_to_server
from holdfast.accounts.v1.member_service_pb2_grpc import add_MemberServiceServicer_to_server
from holdfast.accounts.v1.programme_service_pb2_grpc import add_ProgrammeServiceServicer_to_server
from holdfast.accounts.v1.statement_service_pb2_grpc import add_StatementServiceServicer_to_server
from holdfast.accounts.v1.user_service_pb2_grpc import add_UserServiceServicer_to_server
from holdfast.accounts.v1.vault_service_pb2_grpc import add_VaultServiceServicer_to_server
from runtime import server
from runtime.audit.writer import AuditLog, spool_of
from runtime.channel import unix_channel
from runtime.clock import Clock, SystemClock
from runtime.events.outbox import EventOutbox
from runtime.ids import IdSource
from runtime.log import configure_logging
from runtime.moved_clock import clock_of
from runtime.objects import objects_of
from runtime.outbox import Outbox
from runtime.postgres import connect_pool
from runtime.request_records import forget_for_ever
from runtime.secrets import secret_text, secrets_of
from runtime.tasks import beside

SERVICE_NAMES = (
    account_service_pb2.DESCRIPTOR.services_by_name["AccountService"].full_name,
    card_service_pb2.DESCRIPTOR.services_by_name["CardService"].full_name,
    programme_service_pb2.DESCRIPTOR.services_by_name["ProgrammeService"].full_name,
    company_service_pb2.DESCRIPTOR.services_by_name["CompanyService"].full_name,
    user_service_pb2.DESCRIPTOR.services_by_name["UserService"].full_name,
    vault_service_pb2.DESCRIPTOR.services_by_name["VaultService"].full_name,
    member_service_pb2.DESCRIPTOR.services_by_name["MemberService"].full_name,
    application_service_pb2.DESCRIPTOR.services_by_name["ApplicationService"].full_name,
    card_bulk_service_pb2.DESCRIPTOR.services_by_name["CardBulkService"].full_name,
    statement_service_pb2.DESCRIPTOR.services_by_name["StatementService"].full_name,
    billing_service_pb2.DESCRIPTOR.services_by_name["BillingService"].full_name,
    loan_tape_service_pb2.DESCRIPTOR.services_by_name["LoanTapeService"].full_name,
    holder_service_pb2.DESCRIPTOR.services_by_name["HolderService"].full_name,
    dispute_service_pb2.DESCRIPTOR.services_by_name["DisputeService"].full_name,
    event_feed_service_pb2.DESCRIPTOR.services_by_name["EventFeedService"].full_name,
)


async def main() -> None:
    """Wires the service and runs it until SIGTERM."""
    settings = AccountsSettings()
    configure_logging(instance=settings.instance, level=settings.log_level)
    clock = clock_of(settings)
    ids = IdSource(clock)
    async with (
        await connect_pool(
            settings, "accounts", max_size=settings.accounts_postgres_connections
        ) as pool,
        await connect_pool(
            settings, "vault", max_size=settings.accounts_vault_connections
        ) as vault_pool,
        unix_channel(settings.egress_socket("accounts")) as channel,
    ):
        store, owners = Store(pool), OwnershipStore(pool)
        keys = person_keys(secrets_of(settings), SystemClock())
        people = UserStore(pool, keys)
        mfa_age_s = settings.accounts_reveal_mfa_age_s
        emails = SignInAddress(channel, people, SystemClock(), mfa_age_s=mfa_age_s)
        projector = Projector(channel, emails.deliver)
        outbox = Outbox(pool, projector.deliver)
        wait_s = settings.accounts_projection_wait_s
        mutations = Mutations(store, outbox, clock, projection_wait_s=wait_s)
        vault = _vault(settings, vault_pool)
        numbers = CardNumbers(vault, bin_digits=settings.accounts_bin)
        renewals = Renewals(store, outbox, numbers, clock, days=settings.accounts_renewal_days)
        audit = AuditLog(pool, secret_text(settings, "audit-seal"), spool_of(settings, "accounts"))
        process = server.Server(settings.socket, audit=audit)
        disputes = _disputes(settings, process, channel, pool, mutations, people=keys, clock=clock)
        accounts = AccountService(store, owners, mutations, ids, clock)
        add_AccountServiceServicer_to_server(accounts, process.services)
        cards = CardService(store, mutations, ids, clock, numbers=numbers)
        add_CardServiceServicer_to_server(cards, process.services)
        bulk = CardBulkService(store, outbox, numbers, keys, clock, projection_wait_s=wait_s)
        add_CardBulkServiceServicer_to_server(bulk, process.services)
        add_VaultServiceServicer_to_server(_vault_service(settings, vault, store), process.services)
        _add_companies(process, pool, mutations, ids, clock)
        applications = _applications(
            settings, pool, mutations, outbox, vault, people=keys, clock=clock
        )
        add_ApplicationServiceServicer_to_server(applications.service, process.services)
        users = _users(
            pool, people, outbox, ids, clock, applications=applications, vault=vault, emails=emails
        )
        add_UserServiceServicer_to_server(users, process.services)
        billing = _billing(
            settings, process, channel, pool, clock=clock, outbox=outbox, mutations=mutations
        )
        async with beside(
            *billing.work(),
            disputes.run(),
            outbox.run(),
            renewals.run(),
            applications.worker.run(),
            Closing(store, projector, clock).run(),
            upkeep.follow_keys(vault.rotate, people.rotate, applications.rotation.rotate),
            audit.run(),
            upkeep.follow_epochs(ProjectionStore(pool), outbox, projector),
            _events(process, pool, owners, people).run(clock),
            forget_for_ever(pool, clock, lifetime_h=settings.accounts_request_lifetime_h),
        ):
            await server.run(settings, process, SERVICE_NAMES)


def _users(
    pool: Any,
    people: UserStore,
    outbox: Outbox,
    ids: IdSource,
    clock: Clock,
    *,
    applications: Applying,
    vault: Vault,
    emails: SignInAddress,
) -> UserService:
    """What knows people, exports and erases them."""
    return UserService(
        people,
        outbox,
        ids,
        clock,
        export=UserExport(pool, applications=applications.export, vault=vault),
        erasing=applications.erasing,
        vault=vault,
        address=emails,
    )


def _events(
    process: server.Server, pool: Any, owners: OwnershipStore, people: UserStore
) -> EventOutbox:
    """What happened; adds what hands it to notify."""
    events = EventOutbox(pool)
    feed = EventFeedService(events, owners, people)
    add_EventFeedServiceServicer_to_server(feed, process.services)
    return events


def _vault(settings: AccountsSettings, pool: Any) -> Vault:
    """Card numbers, with connections of their own. Keys and second factors, here and below, are as
    old as the machine's clock says: others make them.
    """
    clock = SystemClock()
    keys = vault_keys(secrets_of(settings), clock)
    return Vault(
        VaultStore(pool),
        keys,
        clock,
        reveals_per_hour=settings.accounts_reveals_per_hour,
        repeat_s=settings.accounts_reveal_mfa_age_s,
    )


def _vault_service(settings: AccountsSettings, vault: Vault, store: Store) -> VaultService:
    """What shows numbers, and knows cards by them."""
    guesses = Guesses(per_minute=settings.accounts_unknown_pans_per_minute)
    return VaultService(
        vault, store, guesses, SystemClock(), mfa_age_s=settings.accounts_reveal_mfa_age_s
    )


def _applications(
    settings: AccountsSettings,
    pool: Any,
    mutations: Mutations,
    outbox: Outbox,
    vault: Vault,
    *,
    people: PersonKeys,
    clock: Clock,
) -> Applying:
    """What takes applications, and works on them."""
    return applying(
        pool,
        mutations,
        outbox,
        vault,
        people=people,
        clock=clock,
        objects=objects_of(settings),
        creditor=Creditor(name=settings.accounts_creditor, agency=settings.accounts_agency),
        wait_s=settings.accounts_projection_wait_s,
    )


def _disputes(
    settings: AccountsSettings,
    process: server.Server,
    channel: Any,
    pool: Any,
    mutations: Mutations,
    *,
    people: PersonKeys,
    clock: Clock,
) -> DisputePoster:
    """What has posted what disputes come to; adds what takes them, and first of all says to whom
    everything belongs that a request may name.
    """
    owners = OwnershipStore(pool)
    parts = dispute_parts(
        pool,
        channel,
        mutations,
        people=people,
        owners=owners,
        objects=objects_of(settings),
        clock=clock,
        delay_ms=settings.accounts_billing_delay_s * 1000,
    )
    process.services.know_owners({**ownership.lookups(owners), **parts.lookups})
    add_DisputeServiceServicer_to_server(parts.service, process.services)
    return parts.poster


def _billing(
    settings: AccountsSettings,
    process: server.Server,
    channel: Any,
    pool: Any,
    *,
    clock: Clock,
    outbox: Outbox,
    mutations: Mutations,
) -> BillingParts:
    """What closes cycles; adds what shows statements, and tells others of them."""
    parts = billing_parts(
        pool,
        channel,
        Store(pool),
        mutations,
        clock,
        creditor=settings.accounts_creditor,
        delay_ms=settings.accounts_billing_delay_s * 1000,
        outbox=outbox,
    )
    add_StatementServiceServicer_to_server(parts.service, process.services)
    add_BillingServiceServicer_to_server(parts.staff, process.services)
    add_LoanTapeServiceServicer_to_server(parts.tape, process.services)
    holders = HolderService(
        Store(pool), OwnershipStore(pool), Programmes(pool), Statements(pool), clock
    )
    add_HolderServiceServicer_to_server(holders, process.services)
    return parts


def _add_companies(
    process: server.Server, pool: Any, mutations: Mutations, ids: IdSource, clock: Clock
) -> None:
    """The services of programmes, companies and their members."""
    companies, rules = Companies(pool), RulesFlow(Store(pool), mutations, clock)
    add_ProgrammeServiceServicer_to_server(
        ProgrammeService(Programmes(pool), mutations, clock, rules), process.services
    )
    add_CompanyServiceServicer_to_server(
        CompanyService(companies, mutations, ids, clock, rules), process.services
    )
    add_MemberServiceServicer_to_server(
        MemberService(companies, mutations, ids, clock), process.services
    )


if __name__ == "__main__":
    asyncio.run(main())
