"""All that a person applied for, for whoever asks what is known of them."""

from __future__ import annotations

from accounts.applications import convert
from accounts.applications.application import State
from accounts.applications.checks import Checks
from accounts.applications.store import Applications
from holdfast.accounts.v1 import application_pb2
from runtime.paging import Page

#: Applications that an export lists.
EXPORT_MAX = 500

_PAGE = Page(size=EXPORT_MAX, after=None, scope="export")


class Export:
    """Lists applications in full."""

    def __init__(self, applications: Applications, checks: Checks) -> None:
        self._applications = applications
        self._checks = checks

    async def of(self, user_id: str) -> list[application_pb2.Application]:
        """The person's applications, newest first, with what was said and a list of what was handed
        in; without what reviewers wrote.
        """
        found = await self._applications.page(_PAGE, states=list(State), user_id=user_id)
        exported = []
        for application in found[:EXPORT_MAX]:
            if application.user_id != user_id:
                continue
            message = convert.application(application, staff=False)
            if application.readable:
                message.applicant.CopyFrom(self._checks.applicant(application))
            documents = await self._applications.documents(application.id)
            message.documents.extend(convert.document(one) for one in documents)
            exported.append(message)
        return exported
