"""MemberService: convert, load, decide, commit, convert."""

from __future__ import annotations

import secrets
from dataclasses import replace

from accounts import convert_company as convert
from accounts.caller import (
    calling_user,
    company_not_found,
    is_staff,
    require,
    require_seeing,
    require_user,
    sees_all,
)
from accounts.company import (
    Action,
    Company,
    CompanyState,
    Invitation,
    InvitationState,
    LastAdmin,
    Member,
    action_on,
    change_member,
    mask_email,
    move_invitation,
)
from accounts.company_store import Companies
from accounts.convert import refusal
from accounts.convert_company import INVITATION_DAYS, MemberRequest
from accounts.leaving import leave_all
from accounts.machine import IllegalTransition
from accounts.mutation import Context, Mutations
from accounts.requests import Answer
from accounts.transaction import Transaction
from holdfast.accounts.v1 import company_pb2, member_pb2
from holdfast.accounts.v1 import member_service_pb2 as pb
from holdfast.accounts.v1.member_service_pb2_grpc import MemberServiceServicer
from runtime import ids
from runtime.clock import Clock
from runtime.errors import AlreadyExists, InvalidArgument, NotFound, Violation
from runtime.pages import cut

#: Random bytes of an invitation's token.
TOKEN_BYTES = 32
_DAY_MS = 86_400_000


class MemberService(MemberServiceServicer):
    """Members of companies, and how they are invited."""

    def __init__(
        self, companies: Companies, mutations: Mutations, new_ids: ids.IdSource, clock: Clock
    ) -> None:
        self._companies = companies
        self._mutations = mutations
        self._ids = new_ids
        self._clock = clock

    async def ListMembers(
        self, request: pb.ListMembersRequest, context: Context
    ) -> pb.ListMembersResponse:
        """Lists the members of a company, newest first."""
        del context
        page = convert.page_of_company(request)
        await self._require_seeing_members(request.company_id)
        listed = await self._companies.members(page, company_id=request.company_id)
        found, token = cut(page, listed, lambda one: one.user_id)
        return pb.ListMembersResponse(
            members=[convert.member(one) for one in found], next_page_token=token
        )

    async def ListMemberships(
        self, request: pb.ListMembershipsRequest, context: Context
    ) -> pb.ListMembershipsResponse:
        """Lists what companies a user belongs to, newest first."""
        del context
        page = convert.memberships_page(request)
        if not sees_all() and calling_user() != request.user_id:
            raise NotFound("no such user", reason="USER_NOT_FOUND")
        listed = await self._companies.memberships(page, user_id=request.user_id)
        found, token = cut(page, listed, lambda one: one.company_id)
        return pb.ListMembershipsResponse(
            members=[convert.member(one) for one in found], next_page_token=token
        )

    async def UpdateMember(
        self, request: pb.UpdateMemberRequest, context: Context
    ) -> pb.UpdateMemberResponse:
        """Changes a member's role or department."""
        key = convert.member_request(request, context)

        async def effect(transaction: Transaction) -> Answer:
            companies = Companies(transaction.connection)
            member = await self._locked_member(companies, request)
            role = convert.role_of(request.role) if request.HasField("role") else member.role
            department_id = member.department_id
            if request.HasField("department_id"):
                department_id = request.department_id
                await _check_department(companies, request.company_id, department_id)
            await require(companies, member.company_id, action_on(member.role, role))
            wanted = replace(member, role=role, department_id=department_id)
            return await self._change(transaction, member, wanted)

        answer = await self._mutations.run(key, effect, context)
        return pb.UpdateMemberResponse(member=member_pb2.Member.FromString(answer))

    async def RemoveMember(
        self, request: pb.RemoveMemberRequest, context: Context
    ) -> pb.RemoveMemberResponse:
        """Removes a member, and ends what the member has of the company's accounts."""
        key = convert.member_request(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Answer:
            companies = Companies(transaction.connection)
            member = await self._locked_member(companies, request)
            await require(companies, member.company_id, action_on(member.role))
            company_id = member.company_id
            await leave_all(
                transaction, member.user_id, now_ms=now_ms, key=company_id, owner_id=company_id
            )
            return await self._change(transaction, member, replace(member, active=False))

        answer = await self._mutations.run(key, effect, context)
        return pb.RemoveMemberResponse(member=member_pb2.Member.FromString(answer))

    async def CreateInvitation(
        self, request: pb.CreateInvitationRequest, context: Context
    ) -> pb.CreateInvitationResponse:
        """Invites somebody. The token is not stored, so a repetition is answered without it."""
        key = convert.create_invitation(request, context)
        now_ms = self._clock.now_ms()
        token = secrets.token_urlsafe(TOKEN_BYTES)
        made: list[str] = []

        async def effect(transaction: Transaction) -> Answer:
            companies = Companies(transaction.connection)
            role = convert.role_of(request.role)
            await require(companies, request.company_id, action_on(role))
            company = await _active(companies, request.company_id)
            await _check_department(companies, company.id, request.department_id)
            settings = company_pb2.CompanySettings.FromString(company.settings)
            days = settings.invitation_days or INVITATION_DAYS
            invitation = Invitation(
                id=self._ids.new(ids.INVITATION, ids.partition_of(company.id)),
                company_id=company.id,
                email=mask_email(request.email),
                role=role,
                department_id=request.department_id,
                state=InvitationState.PENDING,
                expire_time_ms=now_ms + days * _DAY_MS,
                user_id="",
                version=1,
                create_time_ms=now_ms,
                update_time_ms=now_ms,
            )
            hashed = convert.token_hash(token)
            await companies.insert_invitation(invitation, token_hash=hashed)
            made.append(invitation.id)
            return self._invitation_answer(invitation)

        answer = await self._mutations.run(key, effect, context)
        invitation = member_pb2.Invitation.FromString(answer)
        return pb.CreateInvitationResponse(
            invitation=invitation, token=token if invitation.id in made else ""
        )

    async def ListInvitations(
        self, request: pb.ListInvitationsRequest, context: Context
    ) -> pb.ListInvitationsResponse:
        """Lists the invitations of a company, newest first."""
        del context
        page = convert.page_of_company(request)
        await self._require_seeing_members(request.company_id)
        listed = await self._companies.invitations(page, company_id=request.company_id)
        found, token = cut(page, listed, lambda one: one.id)
        now_ms = self._clock.now_ms()
        return pb.ListInvitationsResponse(
            invitations=[convert.invitation(one, now_ms=now_ms) for one in found],
            next_page_token=token,
        )

    async def AcceptInvitation(
        self, request: pb.AcceptInvitationRequest, context: Context
    ) -> pb.AcceptInvitationResponse:
        """Makes the calling user a member."""
        key, hashed = convert.accept_invitation(request, context)
        user_id = require_user()
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Answer:
            companies = Companies(transaction.connection)
            found = await companies.invitation_of_token(hashed)
            if found is None:
                raise convert.invitation_not_found()
            await _active(companies, found.company_id)
            # Read again: under the company's lock nobody else accepts or revokes it.
            invitation = await companies.invitation(found.id) or found
            moved = move_invitation(
                invitation, InvitationState.ACCEPTED, now_ms=now_ms, user_id=user_id
            )
            if isinstance(moved, IllegalTransition):
                raise refusal(moved)
            member = await _joined(companies, moved, now_ms=now_ms)
            await companies.update_invitation(moved)
            await transaction.tell_membership(member)
            return _answer(member)

        answer = await self._mutations.run(key, effect, context)
        return pb.AcceptInvitationResponse(member=member_pb2.Member.FromString(answer))

    async def RevokeInvitation(
        self, request: pb.RevokeInvitationRequest, context: Context
    ) -> pb.RevokeInvitationResponse:
        """Makes an invitation that was not accepted useless."""
        key = convert.revoke_invitation(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Answer:
            companies = Companies(transaction.connection)
            found = await companies.invitation(request.invitation_id)
            if found is None or not await _sees_company(companies, found.company_id):
                raise convert.invitation_not_found()
            await require(companies, found.company_id, action_on(found.role))
            await companies.get(found.company_id, locked=True)
            invitation = await companies.invitation(found.id) or found
            moved = move_invitation(invitation, InvitationState.REVOKED, now_ms=now_ms)
            if isinstance(moved, IllegalTransition):
                raise refusal(moved)
            if moved is not invitation:
                await companies.update_invitation(moved)
            return self._invitation_answer(moved)

        answer = await self._mutations.run(key, effect, context)
        return pb.RevokeInvitationResponse(invitation=member_pb2.Invitation.FromString(answer))

    async def _require_seeing_members(self, company_id: str) -> None:
        await require_seeing(self._companies, company_id, Action.SEE_MEMBERS)
        if await self._companies.get(company_id) is None:
            raise company_not_found(company_id)

    async def _locked_member(self, companies: Companies, request: MemberRequest) -> Member:
        """A member of a company that is locked, and that the caller may see members of."""
        await require(companies, request.company_id, Action.SEE_MEMBERS)
        if await companies.get(request.company_id, locked=True) is None:
            raise company_not_found(request.company_id)
        member = await companies.member(request.company_id, request.user_id)
        if member is None or not member.active:
            raise convert.member_not_found(request.user_id)
        return member

    async def _change(self, transaction: Transaction, member: Member, wanted: Member) -> Answer:
        companies = Companies(transaction.connection)
        changed = change_member(
            member,
            role=wanted.role,
            department_id=wanted.department_id,
            active=wanted.active,
            others=await companies.has_other_admin(member),
            now_ms=self._clock.now_ms(),
        )
        if isinstance(changed, LastAdmin):
            raise convert.last_admin()
        if changed is not member:
            await companies.update_member(changed)
            await transaction.tell_membership(changed)
        return _answer(changed)

    def _invitation_answer(self, invitation: Invitation) -> Answer:
        message = convert.invitation(invitation, now_ms=self._clock.now_ms())
        return Answer(response=message.SerializeToString(), outbox_key=invitation.company_id)


async def _active(companies: Companies, company_id: str) -> Company:
    """A company that takes members, locked."""
    company = await companies.get(company_id, locked=True)
    if company is None:
        raise company_not_found(company_id)
    if company.state is not CompanyState.ACTIVE:
        raise convert.company_not_active(company)
    return company


async def _sees_company(companies: Companies, company_id: str) -> bool:
    if is_staff():
        return True
    member = await companies.member(company_id, calling_user())
    return member is not None and member.active


async def _check_department(companies: Companies, company_id: str, department_id: str) -> None:
    if not department_id:
        return
    department = await companies.department(department_id)
    if department is None or department.company_id != company_id or department.closed:
        raise InvalidArgument.of(
            [Violation("department_id", "names no open department of the company")]
        )


async def _joined(companies: Companies, invitation: Invitation, *, now_ms: int) -> Member:
    before = await companies.member(invitation.company_id, invitation.user_id)
    member = Member(
        company_id=invitation.company_id,
        user_id=invitation.user_id,
        role=invitation.role,
        department_id=invitation.department_id,
        active=True,
        version=before.version + 1 if before else 1,
        create_time_ms=now_ms,
        update_time_ms=now_ms,
    )
    if not await companies.insert_member(member):
        raise AlreadyExists("you are a member of this company", reason="ALREADY_MEMBER")
    return member


def _answer(member: Member) -> Answer:
    return Answer(response=convert.member(member).SerializeToString(), outbox_key=member.company_id)
