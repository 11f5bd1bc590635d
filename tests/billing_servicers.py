"""Billing's services on a server of tests; their stubs are made from its channel."""

from __future__ import annotations

from typing import Any

from accounts.billing.billing_service import BillingService
from accounts.billing.service import StatementService
from accounts.billing.store import Statements
from accounts.billing.tape_service import LoanTapeService
from accounts.mutation import Mutations
from accounts.store import Store
from holdfast.accounts.v1.billing_service_pb2_grpc import add_BillingServiceServicer_to_server
from holdfast.accounts.v1.loan_tape_service_pb2_grpc import add_LoanTapeServiceServicer_to_server
from holdfast.accounts.v1.statement_service_pb2_grpc import add_StatementServiceServicer_to_server
from runtime.clock import Clock


def add_billing(services: Any, pool: Any, store: Store, mutations: Mutations, clock: Clock) -> None:
    """Adds what reads and changes billing; nothing works by itself."""
    statements = StatementService(Statements(pool), store, clock, creditor="Test Bank")
    add_StatementServiceServicer_to_server(statements, services)
    staff = BillingService(store, mutations, clock, pool=pool, committed=lambda: None)
    add_BillingServiceServicer_to_server(staff, services)
    add_LoanTapeServiceServicer_to_server(LoanTapeService(pool), services)
