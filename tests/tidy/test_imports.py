"""Who may import whom."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.tidy.sources import ROOT, SERVICES, imported, module, own, tree

#: Modules that decide: no I/O, no clock, no wire, so that a table of cases tests them whole.
PURE = frozenset(
    {
        "authz.commands",
        "authz.controls",
        "authz.decision",
        "authz.entry",
        "authz.expiry",
        "authz.fraud",
        "authz.hold",
        "authz.keys",
        "authz.lateness",
        "authz.ledger",
        "authz.outcome",
        "authz.snapshot",
        "authz.windows",
        "accounts.account",
        "gateway.credential",
        "gateway.junk_keys",
        "gateway.limits",
        "gateway.resets",
        "gateway.totp",
        "accounts.account_user",
        "accounts.card",
        "accounts.card_life",
        "accounts.machine",
        "accounts.suspension",
        "accounts.user",
        "accounts.vault.cvv",
        "accounts.vault.guessing",
        "accounts.vault.pan",
        "accounts.applications.application",
        "accounts.applications.identity",
        "accounts.applications.notice",
        "accounts.applications.scorecard",
        "accounts.company",
        "accounts.disputes.dispute",
        "accounts.disputes.happenings",
        "accounts.programme",
        "accounts.happenings",
        "notify.addresses",
        "notify.endpoint",
        "notify.from_ledger",
        "notify.lane",
        "notify.notices.kind",
        "notify.notices.notice",
        "notify.notices.planning",
        "notify.notices.preferences",
        "notify.payload",
        "notify.sinks.kafka_config",
        "stats.anomaly",
        "stats.closing",
        "stats.adding",
        "stats.fold",
        "stats.refunds",
        "stats.reversals",
        "stats.happenings",
        "stats.measures",
        "stats.movement",
        "stats.period",
        "stats.reports.cells",
        "stats.reports.chart",
        "stats.reports.happenings",
        "stats.reports.journal",
        "stats.reports.report",
        "stats.reports.schedule",
        "stats.reports.table",
        "stats.usage_fold",
        "runtime.formulas",
        "runtime.luhn",
        "runtime.events.about_accounts",
        "runtime.events.about_cards",
        "runtime.events.about_others",
        "runtime.events.about_payments",
        "runtime.events.catalogue",
        "runtime.events.event_type",
        "runtime.events.fields",
        "accounts.billing.account",
        "accounts.billing.advance",
        "accounts.billing.aside",
        "accounts.billing.balances",
        "accounts.billing.calendar",
        "accounts.billing.chargeoff",
        "accounts.billing.charges",
        "accounts.billing.closing",
        "accounts.billing.delinquency",
        "accounts.billing.demanded",
        "accounts.billing.disputed",
        "accounts.billing.fees",
        "accounts.billing.happenings",
        "accounts.billing.interest",
        "accounts.billing.minimum",
        "accounts.billing.product",
        "accounts.billing.recompute",
        "accounts.billing.rounding",
        "accounts.billing.stored",
        "accounts.billing.tape",
        "accounts.billing.terms",
        "accounts.billing.unearned",
        "accounts.billing.waiver",
        "payments.autopay",
        "payments.calendar",
        "payments.funding",
        "payments.happenings",
        "payments.making",
        "payments.owed",
        "payments.payment",
        "payments.reconcile",
        "payments.reconcile_refunds",
        "payments.refund",
        "payments.stripe_words",
        "payments.transfer",
    }
)
#: What pure modules may use of `runtime`.
PURE_RUNTIME = (
    "runtime.money",
    "runtime.record",
    "runtime.ids",
    "runtime.clock",
    "runtime.email_address",
    "runtime.events.catalogue",
    "runtime.settings.PARTITIONS",
)
#: Libraries of storage; wire modules leave them to the stores.
STORAGE = ("asyncpg", "redis", "hiredis", "runtime.redis", "runtime.postgres")
#: What operators run: it stands outside of the services and may use the code of any.
COMPOSITION = ("runtime.cli.", "runtime.demo.", "runtime.replay.")


def below(name: str, package: str) -> bool:
    """True for the package and what is in it."""
    return name == package or name.startswith(f"{package}.")


def test_every_pure_module_exists() -> None:
    """The list above names files, so that a renamed module does not escape the rule."""
    for name in PURE:
        assert (ROOT / (name.replace(".", "/") + ".py")).is_file(), name


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_import_pure_things_only(name: str) -> None:
    """A pure module imports the standard library, money, ids, clock and other pure modules."""
    path = Path(name.replace(".", "/") + ".py")
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from authz import outcome` imports the module, not the package.
            modules = sorted(inner) if inner & PURE.union(PURE_RUNTIME) else [str(node.module)]
        else:
            continue
        for one in modules:
            allowed = (
                one.partition(".")[0] in sys.stdlib_module_names
                or any(below(one, pure) for pure in PURE)
                or any(below(one, shared) for shared in PURE_RUNTIME)
            )
            assert allowed, f"{name} is pure and imports {one}"


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_never_wait(name: str) -> None:
    """Nothing in a pure module is async: a decision cannot be interrupted."""
    path = Path(name.replace(".", "/") + ".py")
    for node in ast.walk(tree(path)):
        waits = isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith)
        assert not waits, f"{name} is pure and waits"


def test_no_service_imports_another() -> None:
    """A service calls another through its stub; `runtime` knows none of them."""
    for path in own(".py", below=("runtime", *SERVICES)):
        home = path.parts[0]
        if module(path).startswith(COMPOSITION):
            continue
        for other in SERVICES:
            if other == home:
                continue
            wrong = [name for name in imported(path) if below(name, other)]
            assert not wrong, f"{path} imports {wrong[0]}: call its RPCs instead"


def test_wire_modules_leave_storage_to_the_stores() -> None:
    """`service.py` and `convert.py` import no database: four files lead from wire to storage."""
    for path in own(".py", below=SERVICES):
        if not path.stem.endswith("service") and not path.stem.startswith("convert"):
            continue
        wrong = [name for name in imported(path) for one in STORAGE if below(name, one)]
        assert not wrong, f"{path} imports {wrong[0]}"


def test_stores_know_nothing_of_the_wire() -> None:
    """A store does not import grpc: what it raises is an error of ours."""
    for path in own(".py", below=SERVICES):
        if not path.stem.endswith("store"):
            continue
        wrong = [name for name in imported(path) if below(name, "grpc")]
        assert not wrong, f"{path} imports {wrong[0]}"


def test_tests_are_imported_by_tests_only() -> None:
    """Production code does not lean on test code."""
    for path in own(".py", below=("runtime", "tools", *SERVICES)):
        wrong = [name for name in imported(path) if below(name, "tests")]
        assert not wrong, f"{path} imports {wrong[0]}"


def test_envoy_and_holdfast_are_no_packages_of_ours() -> None:
    """`envoy/` would shadow the package that brings Envoy; `holdfast` is a namespace of stubs."""
    names = {path.as_posix() for path in own(".py")}
    assert not [name for name in names if name.startswith("envoy/")]
    assert not list((ROOT / "gen" / "holdfast").glob("__init__.py"))
