"""All that a person applied for, for whoever asks what is known of them."""

from __future__ import annotations

from dataclasses import replace

from accounts.applications import convert
from accounts.applications.application import Application, State
from accounts.applications.checks import Checks
from accounts.applications.store import Applications
from holdfast.accounts.v1 import application_pb2
from runtime.paging import Page, Position

#: Applications that are read at once.
_READ_AT_ONCE = 500


class Export:
    """Lists applications in full."""

    def __init__(self, applications: Applications, checks: Checks) -> None:
        self._applications = applications
        self._checks = checks

    async def of(
        self, user_id: str, *, offset: int, limit: int
    ) -> list[application_pb2.Application]:
        """The person's applications, newest first, with what was said and a list of what was handed
        in; without what reviewers wrote.
        """
        exported = []
        for application in (await self._own(user_id, most=offset + limit))[offset:]:
            message = convert.application(application, staff=False)
            if application.readable:
                message.applicant.CopyFrom(self._checks.applicant(application))
            documents = await self._applications.documents(application.id)
            message.documents.extend(convert.document(one) for one in documents)
            exported.append(message)
        return exported

    async def _own(self, user_id: str, *, most: int) -> list[Application]:
        """The newest that are the person's, not those of a company that it administers."""
        own: list[Application] = []
        page = Page(size=_READ_AT_ONCE, after=None, scope="export")
        more = True
        while more and len(own) < most:
            read = await self._applications.page(page, states=list(State), user_id=user_id)
            found, more = page.cut(read)
            own += [one for one in found if one.user_id == user_id]
            if more:
                page = replace(page, after=Position(found[-1].create_time_ms, found[-1].id))
        return own[:most]
