"""Every method that managers or cardholders may call, about something of somebody else."""

from __future__ import annotations

from datetime import timedelta

import grpc
from google.protobuf.message import Message

from holdfast.stats.v1 import report_service_pb2 as rpc
from holdfast.stats.v1 import stats_service_pb2 as stats_rpc
from runtime.access import OWNING_ROLES
from runtime.identity import ROLES_HEADER, SUBJECT_HEADER
from tests.policies import about_owners, fields_of, filled, stub_of
from tests.rpc.stats.test_report_schedules import scheduled
from tests.rpc.stats.test_report_schedules import wanted as schedule_wanted
from tests.stats_mesh import ACCOUNT, ADMIN, MANAGER_USER, OTHER_COMPANY, StatsMesh
from tests.stats_reports import created, got, refused, wanted

STRANGER = "usr_0d" + "6" * 32


async def _closed(mesh: StatsMesh) -> str:
    """A closed day of the account."""
    await mesh.take(mesh.book.entry("FORCE_POST", 500))
    mesh.clock.advance(int(timedelta(days=2).total_seconds()) * 1000)
    await mesh.closer.close_due()
    listed = await mesh.stats.ListStats(
        stats_rpc.ListStatsRequest(subject_id=ACCOUNT), metadata=ADMIN
    )
    return listed.stats[0].id


async def test_foreign_things_are_not_there(mesh: StatsMesh) -> None:
    """Whatever a stranger names, that exists; and nothing is made, shown or removed."""
    report = await created(mesh, wanted(ACCOUNT))
    schedule = await scheduled(
        mesh, schedule_wanted(subject_id=ACCOUNT, user_id=MANAGER_USER), ADMIN
    )
    things = {
        "account_id": ACCOUNT,
        "subject_id": ACCOUNT,
        "report_id": report.id,
        "report_schedule_id": schedule.id,
        "stat_id": await _closed(mesh),
    }
    policies = about_owners("stats")
    assert len(policies) > 10
    for policy in policies:
        assert not fields_of(policy).isdisjoint(things), policy.path
        request: Message = filled(policy, things)
        method = stub_of(mesh.channel, policy)
        for role in sorted(policy.roles & OWNING_ROLES):
            stranger = (
                (SUBJECT_HEADER, STRANGER),
                (ROLES_HEADER, role),
                ("x-auth-company", OTHER_COMPANY),
            )
            error = await refused(method, request, stranger)
            assert error.code is grpc.StatusCode.NOT_FOUND, (policy.path, role, error)
    assert await got(mesh, report.id) == report
    request = rpc.ListReportSchedulesRequest(subject_id=ACCOUNT)
    kept = await mesh.reports.ListReportSchedules(request, metadata=ADMIN)
    assert list(kept.report_schedules) == [schedule]
